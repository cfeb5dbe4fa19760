//! A state in about a hundred bytes: numbers of interned parts, and the fingerprint of the whole.

use std::hash::{Hash, Hasher};

use crate::local::{HistoryId, Label, ServerId, UsedId};
use crate::message_set::MessageId;
use crate::system::MAX_SERVERS;

/// The most messages that can be in flight.
pub const MAX_IN_FLIGHT: usize = 16;

/// A state. Equal states have equal fingerprints; with symmetry, so have states that differ only by
/// a renaming of the servers.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) servers: [ServerId; MAX_SERVERS],
    pub(crate) network: Network,
    pub(crate) history: HistoryId,
    pub(crate) used: UsedId,
    /// How many messages the network has repeated.
    pub(crate) repeats: u8,
    /// The properties broken by the step that led here, as far as they end a search.
    pub(crate) broken: u64,
    /// The number of states that this state stands for.
    pub(crate) orbit: u16,
    /// The sum of the parts' hashes, from which the fingerprint is made without symmetry.
    pub(crate) sum: u64,
    pub(crate) fingerprint: u64,
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.fingerprint);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &State) -> bool {
        self.fingerprint == other.fingerprint
    }
}

/// The messages in flight: a multiset, kept sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    len: u8,
    ids: [MessageId; MAX_IN_FLIGHT],
}

impl Network {
    pub(crate) const EMPTY: Network = Network { len: 0, ids: [0; MAX_IN_FLIGHT] };

    pub(crate) fn messages(&self) -> &[MessageId] {
        &self.ids[..usize::from(self.len)]
    }

    /// Adds a message. Returns false if the network is full.
    pub(crate) fn put(&mut self, message: MessageId, cap: usize) -> bool {
        let len = usize::from(self.len);
        if len >= cap.min(MAX_IN_FLIGHT) {
            return false;
        }
        let place = self.messages().partition_point(|other| *other < message);
        self.ids.copy_within(place..len, place + 1);
        self.ids[place] = message;
        self.len += 1;
        true
    }

    /// Removes one copy of a message that is there.
    pub(crate) fn take(&mut self, message: MessageId) {
        let place = self.messages().partition_point(|other| *other < message);
        debug_assert_eq!(self.messages().get(place), Some(&message), "only take what is there");
        self.ids.copy_within(place + 1..usize::from(self.len), place);
        self.len -= 1;
        self.ids[usize::from(self.len)] = 0;
    }
}

/// An action in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A server acts by itself.
    Act {
        /// The place of the server.
        server: u8,
        /// The action.
        label: Label,
        /// The budgets after it.
        used: UsedId,
    },
    /// A message arrives.
    Deliver {
        /// Its number.
        message: MessageId,
    },
    /// A message is lost.
    Drop {
        /// Its number.
        message: MessageId,
    },
    /// A message is repeated.
    Duplicate {
        /// Its number.
        message: MessageId,
    },
}
