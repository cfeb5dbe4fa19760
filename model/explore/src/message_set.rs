//! Numbers for sets of messages. Every distinct set is stored once, and every union is computed
//! once.
//!
//! A set holds the messages to one receiver. A search has few distinct sets, which its states
//! share.

use serde::{Deserialize, Serialize};

use crate::hash::mix;
use crate::intern::{Interner, pair};
use crate::table::Table;

/// The number of a message.
pub(crate) type MessageId = u32;

/// The number of a set.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub(crate) struct SetId(pub(crate) u32);

impl SetId {
    /// The set without messages.
    pub(crate) const EMPTY: SetId = SetId(0);
}

pub(crate) struct MessageSets {
    sets: Interner<KnownSet>,
    unions: Table,
}

struct KnownSet {
    /// The messages in ascending order of their numbers.
    messages: Box<[MessageId]>,
    /// The bits of the messages. Each message has one bit, which others may share. A set with a bit
    /// that another set lacks is no subset of it, which decides most comparisons.
    signature: u64,
    /// A hash of the contents of the messages. It does not depend on their numbers.
    hash: u64,
}

impl MessageSets {
    pub(crate) fn new() -> MessageSets {
        let sets = MessageSets { sets: Interner::new(), unions: Table::new() };
        let empty = sets.of(Vec::new(), |_| 0);
        debug_assert_eq!(empty, SetId::EMPTY, "the first set has the number 0");
        sets
    }

    pub(crate) fn of(
        &self,
        mut messages: Vec<MessageId>,
        message_hash: impl Fn(MessageId) -> u64,
    ) -> SetId {
        messages.sort_unstable();
        messages.dedup();
        let hashes = messages.iter().map(|id| mix(message_hash(*id)));
        let hash = hashes.fold(0, u64::wrapping_add);
        let same = |known: &KnownSet| *known.messages == *messages;
        SetId(self.sets.intern(hash, same, || KnownSet {
            signature: messages.iter().fold(0, |bits, id| bits | 1 << (id % 64)),
            messages: messages.clone().into(),
            hash,
        }))
    }

    pub(crate) fn free_old_tables(&mut self) {
        self.sets.free_old_tables();
        self.unions.free_old();
    }

    pub(crate) fn messages(&self, id: SetId) -> &[MessageId] {
        &self.sets.get(id.0).messages
    }

    pub(crate) fn hash(&self, id: SetId) -> u64 {
        self.sets.get(id.0).hash
    }

    pub(crate) fn union(
        &self,
        a: SetId,
        b: SetId,
        message_hash: impl Fn(MessageId) -> u64,
    ) -> SetId {
        let (a, b) = (a.min(b), a.max(b));
        if a == b || a == SetId::EMPTY {
            return b;
        }
        SetId(self.unions.get_or_compute(pair(a.0, b.0), || {
            self.of([self.messages(a), self.messages(b)].concat(), message_hash).0
        }))
    }

    /// Returns whether every message of `a` is in `b`.
    pub(crate) fn is_subset(&self, a: SetId, b: SetId) -> bool {
        if a == b || a == SetId::EMPTY {
            return true;
        }
        let (a, b) = (self.sets.get(a.0), self.sets.get(b.0));
        if a.messages.len() >= b.messages.len() || a.signature & !b.signature != 0 {
            return false;
        }
        let mut rest = b.messages.iter();
        a.messages.iter().all(|message| rest.find(|other| *other >= message) == Some(message))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use quickcheck::quickcheck;

    use super::*;

    quickcheck! {
        /// Numbers that differ by 64 share a bit of the signature.
        fn sets_behave_as_sets_do(a: BTreeSet<u8>, b: BTreeSet<u8>) -> bool {
            let sets = MessageSets::new();
            let hash = |id: MessageId| u64::from(id);
            let of = |set: &BTreeSet<u8>| {
                sets.of(set.iter().map(|id| MessageId::from(*id)).collect(), hash)
            };
            let (all, both) = (a.union(&b).copied().collect(), a.intersection(&b).copied().collect());
            let larger = |set: &BTreeSet<u8>| sets.is_subset(of(set), of(&all));
            sets.union(of(&a), of(&b), hash) == of(&all)
                && sets.is_subset(of(&a), of(&b)) == a.is_subset(&b)
                && larger(&a)
                && larger(&both)
                && sets.is_subset(of(&all), of(&a)) == (all == a)
                && sets.is_subset(of(&a), of(&both)) == (both == a)
        }
    }

    #[test]
    fn one_message_more_is_not_part_of_a_larger_set_that_lacks_it() {
        let sets = MessageSets::new();
        let of = |messages: &[MessageId]| sets.of(messages.to_vec(), u64::from);
        // 65 has the bit of 1.
        assert!(!sets.is_subset(of(&[2, 65]), of(&[1, 2, 3])));
        assert!(!sets.is_subset(of(&[1, 2]), of(&[2, 3, 65])));
        assert!(sets.is_subset(of(&[2, 65]), of(&[1, 2, 65])));
    }
}
