//! The orders that a [`Replica`](crate::replica::Replica) gives to its caller.

use raft_core::{Bytes, Index, InstallSnapshot, Mark, NodeId, Term, Write};

use crate::handle::{ProposeError, ReadError};
use crate::peer_message::PeerMessage;
use crate::shell::{ProposalId, Task};
use crate::snapshot_store::SnapshotName;
use crate::state_machine::SnapshotView;

/// The replica's id for a client that waits for a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReaderId(pub u64);

/// Whether the disk and the state machine can take an order. Orders for the disk must be executed
/// one after the other, and so must orders for the state machine. In production, each of them has
/// at most one order at a time, so that the next order contains everything that arrived meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    /// Whether the disk is free.
    pub disk: bool,
    /// Whether the state machine is free.
    pub machine: bool,
}

/// An order of a replica.
pub enum Order {
    /// Send a message. It may be lost.
    Send {
        /// The receiver.
        to: NodeId,
        /// The message.
        message: PeerMessage,
    },
    /// Send a snapshot, unless one is already being sent to the receiver. The receiver's node gets
    /// the message only after the whole file has arrived.
    SendSnapshot {
        /// The receiver.
        to: NodeId,
        /// The message.
        offer: InstallSnapshot,
    },
    /// Write to the disk as one transaction, then call
    /// [`durable`](crate::replica::Replica::durable).
    Commit {
        /// The mark to report.
        mark: Mark,
        /// The writes.
        writes: Vec<Write>,
    },
    /// Give the state machine a task, then call [`applied`](crate::replica::Replica::applied).
    Apply {
        /// The task.
        task: Task,
        /// Whether at most one client waits for an answer to a command.
        alone: bool,
    },
    /// Ask the state machine for a view, then call [`view`](crate::replica::Replica::view).
    TakeView,
    /// Write the view into a file, then call
    /// [`snapshot_stored`](crate::replica::Replica::snapshot_stored).
    StoreSnapshot {
        /// The view.
        view: Box<dyn SnapshotView>,
        /// The term of the last entry that it reflects.
        term: Term,
    },
    /// Make the state machine durable, after the earlier orders for the state machine.
    SyncState,
    /// Remove the snapshots before this one. This is not urgent.
    RemoveSnapshots {
        /// The snapshot to keep.
        keep: SnapshotName,
    },
    /// Send a client the result of its command.
    AnswerProposal(ProposalId, Result<Bytes, ProposeError>),
    /// Tell a client whether its read may be served.
    AnswerRead(ReaderId, Result<Index, ReadError>),
}
