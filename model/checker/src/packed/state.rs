//! A cluster state in a hundred bytes: numbers of interned parts, and the fingerprint of the whole.

use std::hash::{Hash, Hasher};

use raft_core::Index;
use raft_explore::MAX_SERVERS;

use crate::cluster::budget::{MAX_IN_FLIGHT, Used};
use crate::cluster::local_action::LocalAction;
use crate::properties::{Property, PropertySet};

/// One state of the cluster model. Equal states have equal fingerprints; with symmetry, so have
/// states that differ only by a renaming of the servers.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) servers: [u32; MAX_SERVERS],
    pub(crate) network: Network,
    pub(crate) history: u32,
    pub(crate) used: Used,
    /// The properties broken by the step that led here.
    pub(crate) broken: PropertySet,
    /// The number of states that this state stands for.
    pub(crate) orbit: u16,
    /// The sum of the parts' hashes, from which the fingerprint is made without symmetry.
    pub(crate) sum: u64,
    pub(crate) fingerprint: u64,
}

impl State {
    /// Returns whether the step that led here broke the property.
    pub fn breaks(&self, property: Property) -> bool {
        self.broken.contains(property)
    }
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
    ids: [u32; MAX_IN_FLIGHT],
}

impl Network {
    pub(crate) const EMPTY: Network = Network { len: 0, ids: [0; MAX_IN_FLIGHT] };

    pub(crate) fn messages(&self) -> &[u32] {
        &self.ids[..usize::from(self.len)]
    }

    /// Adds a message. Returns false if the network is full.
    pub(crate) fn put(&mut self, message: u32, cap: usize) -> bool {
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
    pub(crate) fn take(&mut self, message: u32) {
        let place = self.messages().partition_point(|other| *other < message);
        debug_assert_eq!(self.messages().get(place), Some(&message), "only take what is there");
        self.ids.copy_within(place + 1..usize::from(self.len), place);
        self.len -= 1;
        self.ids[usize::from(self.len)] = 0;
    }
}

/// An action on a packed state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackedAction {
    /// A local action of a server.
    Local {
        /// The place of the server.
        server: u8,
        /// The label of the action.
        label: Label,
    },
    /// A message arrives.
    Deliver {
        /// Its number.
        message: u32,
    },
    /// A message is lost.
    Drop {
        /// Its number.
        message: u32,
    },
    /// A message is repeated.
    Duplicate {
        /// Its number.
        message: u32,
    },
}

/// The cause of a local transition, in one word: a message, by its number, or an action of the
/// server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label(pub(crate) u32);

impl Label {
    const LOCAL: u32 = 1 << 31;

    /// Makes the label of the arrival of a message.
    pub(crate) fn deliver(message: u32) -> Label {
        debug_assert!(message < Label::LOCAL, "message numbers leave room for local actions");
        Label(message)
    }

    /// Makes the label of a local action. For a proposal or a read, `number` is its number.
    pub(crate) fn local(action: LocalAction, number: u8) -> Label {
        let small = |value: u64| u32::try_from(value.min(0xfff)).unwrap_or(0xfff);
        let (kind, first, second) = match action {
            LocalAction::ElectionTimeout => (0, 0, 0),
            LocalAction::Heartbeat => (1, 0, 0),
            LocalAction::Propose => (2, u32::from(number), 0),
            LocalAction::Read => (3, u32::from(number), 0),
            LocalAction::Sync { writes } => (4, small(writes as u64), 0),
            LocalAction::Apply => (5, 0, 0),
            LocalAction::StartSnapshot => (6, 0, 0),
            LocalAction::FinishSnapshot => (7, 0, 0),
            LocalAction::Crash { writes_kept, applied_kept } => {
                (8, small(writes_kept as u64), small(applied_kept.0))
            }
            LocalAction::Restart => (9, 0, 0),
        };
        Label(Label::LOCAL | kind << 24 | first << 12 | second)
    }

    /// Returns the local action; none if the label is the arrival of a message.
    pub(crate) fn as_local(self) -> Option<LocalAction> {
        let (first, second) = (self.0 >> 12 & 0xfff, self.0 & 0xfff);
        (self.0 & Label::LOCAL != 0).then_some(match self.0 >> 24 & 0x7f {
            0 => LocalAction::ElectionTimeout,
            1 => LocalAction::Heartbeat,
            2 => LocalAction::Propose,
            3 => LocalAction::Read,
            4 => LocalAction::Sync { writes: first as usize },
            5 => LocalAction::Apply,
            6 => LocalAction::StartSnapshot,
            7 => LocalAction::FinishSnapshot,
            8 => LocalAction::Crash {
                writes_kept: first as usize,
                applied_kept: Index(u64::from(second)),
            },
            _ => LocalAction::Restart,
        })
    }
}
