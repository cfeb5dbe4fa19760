//! The actions that can happen in a cluster.

use raft_core::{Bytes, Index, Limits, Message, NodeId, ReadId};
use serde::{Deserialize, Serialize};

/// What decides which actions are possible and what they do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How many servers there are; their ids are 1, 2, 3, ..
    pub servers: u64,
    /// The bounds on what one server sends and keeps.
    pub limits: Limits,
    /// When writes become durable.
    pub disk: DiskMode,
    /// When committed entries are applied.
    pub apply: ApplyMode,
}

/// When writes become durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskMode {
    /// A step's write is durable when the step ends; crashes happen between steps.
    Atomic,
    /// Writes queue up; any prefix of them may become durable, and a crash loses the others.
    Queued,
}

/// When committed entries are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApplyMode {
    /// In the step that commits them; the state machine is volatile and snapshots take no time.
    AtOnce,
    /// One entry an action, beside everything else; a crash loses any suffix of what the state
    /// machine has applied, and storing a snapshot takes time.
    Separate,
}

/// A message on the network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Envelope {
    /// The sender.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
    /// The message itself.
    pub message: Message,
}

/// One step of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A server's election timer runs out.
    ElectionTimeout {
        /// The server.
        server: NodeId,
    },
    /// A leader's heartbeat timer runs out.
    Heartbeat {
        /// The leader.
        server: NodeId,
    },
    /// A client asks a server to append a command.
    Propose {
        /// The server.
        server: NodeId,
        /// The command.
        command: Bytes,
    },
    /// A client asks a server for a linearizable read.
    Read {
        /// The server.
        server: NodeId,
        /// The id of the read, unique in the trace.
        id: ReadId,
    },
    /// A message arrives.
    Deliver(Envelope),
    /// The network loses a message.
    Drop(Envelope),
    /// The network repeats a message.
    Duplicate(Envelope),
    /// The oldest of a server's waiting writes become durable.
    Sync {
        /// The server.
        server: NodeId,
        /// The number of these writes; at least 1.
        writes: usize,
    },
    /// A server's state machine does its oldest task.
    Apply {
        /// The server.
        server: NodeId,
    },
    /// A server stops.
    Crash {
        /// The server.
        server: NodeId,
        /// The number of its waiting writes, oldest first, that still reached the disk.
        writes_kept: usize,
        /// The last entry whose effect its state machine still has after the crash.
        applied_kept: Index,
    },
    /// A stopped server starts again.
    Restart {
        /// The server.
        server: NodeId,
    },
    /// A server begins to store a snapshot of its state machine as it is now.
    StartSnapshot {
        /// The server.
        server: NodeId,
    },
    /// A server has stored the snapshot that it began.
    FinishSnapshot {
        /// The server.
        server: NodeId,
    },
}

impl Action {
    /// Returns the server whose state the action may change; none for an action of the network
    /// alone.
    pub fn server(&self) -> Option<NodeId> {
        match self {
            Action::ElectionTimeout { server }
            | Action::Heartbeat { server }
            | Action::Propose { server, .. }
            | Action::Read { server, .. }
            | Action::Sync { server, .. }
            | Action::Apply { server }
            | Action::Crash { server, .. }
            | Action::Restart { server }
            | Action::StartSnapshot { server }
            | Action::FinishSnapshot { server } => Some(*server),
            Action::Deliver(envelope) => Some(envelope.to),
            Action::Drop(_) | Action::Duplicate(_) => None,
        }
    }
}
