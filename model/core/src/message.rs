//! The six messages of the paper's Figures 2 and 13: three requests and their replies.
//!
//! Three things are added to the paper's fields. A refused `AppendEntries` says *where* the logs
//! part (section 5.3, last paragraphs), a successful one says up to where they agree (so that a late
//! or repeated reply is still a true statement), and requests to followers carry the leader's
//! [`ReadRound`], which the reply brings back (thesis, section 6.4).

use serde::{Deserialize, Serialize};

use crate::log::{LogPosition, Snapshot};
use crate::types::{Entry, Index, ReadRound, Term};

/// What one server says to another. Who says it to whom is written on the envelope.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// A candidate asks for a vote.
    RequestVote(RequestVote),
    /// The answer to it.
    RequestVoteReply(RequestVoteReply),
    /// A leader replicates entries, or shows that it is alive.
    AppendEntries(AppendEntries),
    /// The answer to it.
    AppendEntriesReply(AppendEntriesReply),
    /// A leader sends its snapshot to a follower that needs compacted entries.
    InstallSnapshot(InstallSnapshot),
    /// The answer to it.
    InstallSnapshotReply(InstallSnapshotReply),
}

impl Message {
    /// The sender's term when it wrote the message.
    pub fn term(&self) -> Term {
        match self {
            Message::RequestVote(message) => message.term,
            Message::RequestVoteReply(message) => message.term,
            Message::AppendEntries(message) => message.term,
            Message::AppendEntriesReply(message) => message.term,
            Message::InstallSnapshot(message) => message.term,
            Message::InstallSnapshotReply(message) => message.term,
        }
    }
}

/// Figure 2, RequestVote RPC, arguments. The candidate is the sender.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestVote {
    /// The candidate's term.
    pub term: Term,
    /// Where the candidate's log ends.
    pub last_log: LogPosition,
}

/// Figure 2, RequestVote RPC, results.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestVoteReply {
    /// The voter's term, for the candidate to update itself.
    pub term: Term,
    /// Whether the candidate received the vote.
    pub granted: bool,
}

/// Figure 2, AppendEntries RPC, arguments. The leader is the sender.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AppendEntries {
    /// The leader's term.
    pub term: Term,
    /// The entry right before the new ones.
    pub prev_log: LogPosition,
    /// Any prefix of what the follower lacks; empty in a heartbeat.
    pub entries: Vec<Entry>,
    /// The leader's commit index, whether or not these entries reach it.
    pub leader_commit: Index,
    /// The newest read round when the message was sent.
    pub read_round: ReadRound,
}

/// Figure 2, AppendEntries RPC, results.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AppendEntriesReply {
    /// The follower's term, for the leader to update itself.
    pub term: Term,
    /// What became of the entries.
    pub outcome: AppendOutcome,
    /// The read round of the request that this answers.
    pub read_round: ReadRound,
}

/// What a follower did with an [`AppendEntries`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppendOutcome {
    /// The request's term is over; the reply's own term says so.
    StaleTerm,
    /// The follower's log agrees with the leader's up to here.
    Matched {
        /// The last index covered by the request.
        match_index: Index,
    },
    /// The follower has no entry at `prev_log_index` with the right term.
    Conflict {
        /// The `prev_log` index of the refused request.
        prev_log_index: Index,
        /// The follower's last entry that can agree with the leader's log: the last one up to
        /// `prev_log_index` whose term is at most the request's `prev_log` term. Position 0 if there
        /// is none.
        hint: LogPosition,
    },
}

/// Figure 13, InstallSnapshot RPC, arguments, without the chunking, which belongs to the shell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstallSnapshot {
    /// The leader's term.
    pub term: Term,
    /// The snapshot that replaces the compacted prefix.
    pub snapshot: Snapshot,
    /// The newest read round when the message was sent.
    pub read_round: ReadRound,
}

/// Figure 13, InstallSnapshot RPC, results.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstallSnapshotReply {
    /// The follower's term, for the leader to update itself.
    pub term: Term,
    /// What became of the snapshot.
    pub outcome: InstallOutcome,
    /// The read round of the request that this answers.
    pub read_round: ReadRound,
}

/// What a follower did with an [`InstallSnapshot`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstallOutcome {
    /// The request's term is over; the reply's own term says so.
    StaleTerm,
    /// The follower holds everything that the snapshot covers.
    Covered {
        /// The last index that the snapshot covers.
        last_included_index: Index,
    },
}
