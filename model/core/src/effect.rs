//! What goes into a step and what comes out of it. Both are data; nothing happens here.

use serde::{Deserialize, Serialize};

use crate::log::Snapshot;
use crate::message::Message;
use crate::types::{Bytes, Entry, Index, Mark, NodeId, ReadId, Term};

/// Something that happens to a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The election timer ran out (section 5.2).
    ElectionTimeout,
    /// The heartbeat timer ran out (section 5.2). Leaders only; others ignore it.
    Heartbeat,
    /// Clients ask for commands to be appended, in this order.
    Propose {
        /// The commands.
        commands: Vec<Bytes>,
    },
    /// A client asks for a linearizable read (thesis, section 6.4).
    Read {
        /// The caller's name for it.
        id: ReadId,
    },
    /// A message arrived. Whoever calls vouches for the sender's identity.
    Receive {
        /// Who sent it.
        from: NodeId,
        /// What it says.
        message: Message,
    },
    /// Every write up to `mark` is on the disk and will survive a crash.
    Durable {
        /// The newest durable write.
        mark: Mark,
    },
    /// The state machine now reflects the log up to `index`, by applying entries or by being
    /// restored from a snapshot.
    Applied {
        /// The last index that it reflects.
        index: Index,
    },
    /// The shell has stored a snapshot of the state machine, durably, as it was at `index`.
    SnapshotTaken {
        /// The last index that the snapshot reflects.
        index: Index,
        /// Where its data is.
        handle: Bytes,
    },
}

/// Something that the caller of a step has to do, in the order of the list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Write this to the disk, as one unit, after all earlier writes; then say
    /// [`Input::Durable`]. At most one in a step, and the first of its effects.
    Persist {
        /// The number of the write.
        mark: Mark,
        /// What to write.
        write: Write,
    },
    /// Send a message. It may be lost, repeated and overtaken.
    Send {
        /// The receiver.
        to: NodeId,
        /// What to say.
        message: Message,
        /// Not before this write is durable.
        after: Option<Mark>,
    },
    /// Apply these committed entries to the state machine, in order, after everything requested
    /// before; then say [`Input::Applied`], once or several times.
    Apply {
        /// The index of the first of them.
        first: Index,
        /// The entries.
        entries: Vec<Entry>,
    },
    /// Replace the state machine's state by the snapshot, after everything requested before; then
    /// say [`Input::Applied`].
    Restore {
        /// The snapshot.
        snapshot: Snapshot,
        /// Not before this write is durable.
        after: Mark,
    },
    /// Start the election timer anew, with a fresh random timeout.
    ResetElectionTimer,
    /// The commands were appended; they are *not* committed yet. A command is done when an entry
    /// of this term and index is applied, and lost when another one is.
    Proposed {
        /// The index of the first command.
        first: Index,
        /// The term under which all of them were appended.
        term: Term,
    },
    /// The commands were not appended: this server does not lead.
    ProposalRefused {
        /// Who does, as far as this server knows.
        leader: Option<NodeId>,
    },
    /// The read may be served now, from the state machine as it is.
    ReadReady {
        /// The caller's name for it.
        id: ReadId,
        /// The index that the state must, and does, reflect.
        read_index: Index,
    },
    /// The read cannot be served here; ask again, perhaps somewhere else.
    ReadRefused {
        /// The caller's name for it.
        id: ReadId,
        /// Why.
        reason: ReadRefusal,
    },
    /// The input was wrong and nothing was changed. To be counted, not to be answered.
    Rejected(Rejection),
    /// This server contradicts itself. Stop it: going on could lose data.
    Halt(HaltReason),
}

/// What one write puts on the disk, all of it or nothing.
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

/// Why a read is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadRefusal {
    /// This server does not lead, or no longer.
    NotLeader {
        /// Who does, as far as this server knows.
        leader: Option<NodeId>,
    },
    /// It leads, but has not committed an entry of its own term yet; soon.
    NothingCommittedInTerm,
    /// Too many reads are waiting ([`Limits::reads`](crate::Limits::reads)).
    TooManyReads,
}

/// Why an input was refused without any effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// The sender is not a voter, or it is this server itself.
    UnknownSender,
    /// Fields contradict each other, or a number is out of range.
    Malformed,
    /// A server claims to lead a term that another one leads.
    SecondLeader,
    /// The message would change what is committed here. An honest deposed leader can send such a one:
    /// if a crash took the later term in which this server learned the commit index, and left what it
    /// had applied.
    ContradictsCommitted,
    /// A reply says more than this leader has ever sent.
    AcknowledgesUnsent,
}

/// Why a server must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HaltReason {
    /// The server is not among its voters, or a limit is 0.
    BadConfig,
    /// Terms on the disk decrease along the log, or exceed the current term, or are out of range.
    BadDisk,
    /// The state machine lacks what the log has already compacted.
    StateMachineBehindSnapshot,
    /// The state machine reflects entries that the log does not have.
    StateMachineAheadOfLog,
    /// A write is reported durable that was never issued.
    DurableUnissued,
    /// The state machine reports what it was not asked to apply, or goes back.
    AppliedUnrequested,
    /// A snapshot of a state that was never applied.
    SnapshotUnapplied,
    /// A follower's next index points behind the leader's log.
    NextIndexBeyondLog,
}
