//! What a [`Replica`](crate::replica::Replica) wants done, by whoever runs it.

use raft_core::{Bytes, Index, InstallSnapshot, Mark, NodeId, Term, Write};

use crate::handle::{ProposeError, ReadError};
use crate::peer_message::PeerMessage;
use crate::shell::{ProposalId, Task};
use crate::snapshot_store::SnapshotName;
use crate::state_machine::SnapshotView;

/// The replica's name for a client that waits for a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReaderId(pub u64);

/// Who can take an order. Orders for the disk have to be done one after the other, and so have those
/// for the state machine; production gives one at a time, so that the next has everything that came
/// meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    /// The disk.
    pub disk: bool,
    /// The state machine.
    pub machine: bool,
}

/// What a replica wants done.
pub enum Order {
    /// Send this; it may be lost.
    Send {
        /// To whom.
        to: NodeId,
        /// The message.
        message: PeerMessage,
    },
    /// Send a snapshot, unless one is on its way there: the file, and then the message.
    SendSnapshot {
        /// To whom.
        to: NodeId,
        /// The message.
        offer: InstallSnapshot,
    },
    /// Put writes on the disk as one transaction, then say [`durable`](crate::replica::Replica::durable).
    Commit {
        /// What to report.
        mark: Mark,
        /// The writes.
        writes: Vec<Write>,
    },
    /// Give the state machine a task, then say [`applied`](crate::replica::Replica::applied).
    Apply {
        /// The task.
        task: Task,
        /// Whether a client waits for this and for nothing else.
        alone: bool,
    },
    /// Ask the state machine for a view, then say [`view`](crate::replica::Replica::view).
    TakeView,
    /// Write the view into a file, then say [`snapshot_stored`](crate::replica::Replica::snapshot_stored).
    StoreSnapshot {
        /// The view.
        view: Box<dyn SnapshotView>,
        /// The term of the last entry that it reflects.
        term: Term,
    },
    /// Make the state machine durable, after what it was told to do before.
    SyncState,
    /// Remove snapshots before this one, some time.
    RemoveSnapshots {
        /// The one to keep.
        keep: SnapshotName,
    },
    /// Tell a client what became of its command.
    AnswerProposal(ProposalId, Result<Bytes, ProposeError>),
    /// Tell a client whether its read may be served.
    AnswerRead(ReaderId, Result<Index, ReadError>),
}
