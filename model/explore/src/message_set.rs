//! Sets of messages by number: equal sets are stored once, and unions are computed once.
//!
//! A set holds the messages to one receiver. The states of a search share few of them.

use crate::hash::mix;
use crate::intern::{Interner, pair};
use crate::local::MessageId;
use crate::table::Table;

/// The number of a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// Ascending.
    messages: Box<[MessageId]>,
    /// One bit for each message, which several may share: most sets that are not part of another one
    /// differ here.
    signature: u64,
    /// The same for equal contents, whatever the numbers of the messages are.
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

    /// Whether every message of `a` is in `b`.
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
