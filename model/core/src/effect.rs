//! The inputs and the effects of a step. Both are plain data.

use serde::{Deserialize, Serialize};

use crate::log::Snapshot;
use crate::message::Message;
use crate::types::{Bytes, Entry, Index, Mark, NodeId, ReadId, Term};

/// An event at a server, which one step handles.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The election timer ran out (section 5.2).
    ElectionTimeout,
    /// The heartbeat timer ran out (section 5.2). Leaders only; others ignore it.
    Heartbeat,
    /// Clients ask the server to append commands, in this order.
    Propose {
        /// The commands.
        commands: Vec<Bytes>,
    },
    /// A client asks for a linearizable read (thesis, section 6.4).
    Read {
        /// The id that the caller gave to the read.
        id: ReadId,
    },
    /// A message arrived. The caller guarantees that `from` has really sent it.
    Receive {
        /// The sender.
        from: NodeId,
        /// The message.
        message: Message,
    },
    /// Every write up to `mark` is on the disk and will survive a crash.
    Durable {
        /// The newest durable write.
        mark: Mark,
    },
    /// The state machine now reflects the log up to `index`, because it has applied entries or was
    /// restored from a snapshot.
    Applied {
        /// The last index that the state machine reflects.
        index: Index,
    },
    /// The shell has durably stored a snapshot of the state machine as it was at `index`.
    SnapshotTaken {
        /// The last index that the snapshot reflects.
        index: Index,
        /// The handle to the snapshot's data.
        handle: Bytes,
    },
}

/// An action that the caller of a step has to carry out, in the order of the list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Write this to the disk, as one unit, after all earlier writes; then report it with
    /// [`Input::Durable`]. A step has at most one such effect, and it is the first one.
    Persist {
        /// The number of the write.
        mark: Mark,
        /// The content of the write.
        write: Write,
    },
    /// Send a message. The network may lose it, repeat it, or deliver it out of order.
    Send {
        /// The receiver.
        to: NodeId,
        /// The message.
        message: Message,
        /// The write that must be durable before the message leaves; none if the message need not
        /// wait.
        after: Option<Mark>,
    },
    /// Apply these committed entries to the state machine, in order, after all earlier requests;
    /// then report the progress with [`Input::Applied`], once or several times.
    Apply {
        /// The index of the first entry.
        first: Index,
        /// The entries.
        entries: Vec<Entry>,
    },
    /// Replace the state machine's state by the snapshot, after all earlier requests; then report
    /// it with [`Input::Applied`].
    Restore {
        /// The snapshot.
        snapshot: Snapshot,
        /// The write that must be durable before the state is replaced.
        after: Mark,
    },
    /// Restart the election timer, with a new random timeout.
    ResetElectionTimer,
    /// The commands were appended; they are *not* committed yet. A command is done when the entry
    /// with its index and this term is applied. It is lost when another entry is applied at its
    /// index.
    Proposed {
        /// The index of the first command.
        first: Index,
        /// The term of all these entries.
        term: Term,
    },
    /// The commands were not appended: this server is not the leader.
    ProposalRefused {
        /// The leader, as far as this server knows.
        leader: Option<NodeId>,
    },
    /// The read may be served now, from the current state of the state machine.
    ReadReady {
        /// The id that the caller gave to the read.
        id: ReadId,
        /// The index that the state must reflect. The state machine has applied it.
        read_index: Index,
    },
    /// The read cannot be served here. The client should ask again, perhaps at another server.
    ReadRefused {
        /// The id that the caller gave to the read.
        id: ReadId,
        /// The reason.
        reason: ReadRefusal,
    },
    /// The message was wrong, and the node did not change. The caller should count it and not
    /// answer it.
    Rejected(Rejection),
    /// The server's state contradicts itself. The caller must stop the server: to continue could
    /// lose data.
    Halt(HaltReason),
}

/// The content of one write. It becomes durable as a whole or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Write {
    /// The new term and vote, if they changed.
    pub vote: Option<VoteRecord>,
    /// The change of the log, if there is one.
    pub log: Option<LogWrite>,
}

/// The term and the vote cast in it, always written together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VoteRecord {
    /// The latest term seen.
    pub current_term: Term,
    /// The candidate voted for in that term.
    pub voted_for: Option<NodeId>,
}

/// A change of the log on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogWrite {
    /// Remove everything from `first` on and put `entries` there.
    Append {
        /// The index of the first new entry.
        first: Index,
        /// The entries.
        entries: Vec<Entry>,
    },
    /// Replace the prefix that the snapshot covers by the snapshot; keep the rest.
    Compact(Snapshot),
    /// Replace the whole log by the snapshot.
    Install(Snapshot),
}

/// The reason why a read is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadRefusal {
    /// This server is not the leader, or no longer.
    NotLeader {
        /// The leader, as far as this server knows.
        leader: Option<NodeId>,
    },
    /// This server leads, but has not committed an entry of its own term yet. The client should ask
    /// again soon.
    NothingCommittedInTerm,
    /// Too many reads are waiting ([`Limits::reads`](crate::Limits::reads)).
    TooManyReads,
}

/// The reason why a message was rejected without any effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// The sender is not a voter, or it is this server itself.
    UnknownSender,
    /// Fields contradict each other, or a number is out of range.
    Malformed,
    /// A server claims to lead a term that another server leads.
    SecondLeader,
    /// The message would change entries that are committed here. A correct but deposed leader can
    /// send such a message in one case: a crash of this server lost the later term in which it
    /// learned the commit index, and kept the entries that it had applied.
    ContradictsCommitted,
    /// A reply confirms something that this server has never sent.
    AcknowledgesUnsent,
}

/// The reason why a server must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HaltReason {
    /// The server is not among its voters, or a limit is 0.
    BadConfig,
    /// Terms on the disk decrease along the log, or exceed the current term, or are out of range.
    BadDisk,
    /// The state machine lacks entries that the log has already compacted.
    StateMachineBehindSnapshot,
    /// The state machine reflects entries that the log does not have.
    StateMachineAheadOfLog,
    /// The caller reported a write as durable that was never issued.
    DurableUnissued,
    /// The caller reported an applied index that was never requested, or one below the last
    /// reported index.
    AppliedUnrequested,
    /// The caller reported a snapshot that covers entries which were never applied.
    SnapshotUnapplied,
    /// A follower's `next_index` points beyond the end of the leader's log.
    NextIndexBeyondLog,
}
