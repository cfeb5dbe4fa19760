//! The six messages of the paper's Figures 2 and 13: three requests and their replies.
//!
//! The messages add three things to the paper's fields. The reply to a refused `AppendEntries` says
//! *where* the logs diverge (section 5.3, last paragraphs). The reply to a successful one says up
//! to which index the logs agree, so that a late or repeated reply is still a true statement.
//! Requests to followers carry the leader's [`ReadRound`], which the reply returns (thesis, section
//! 6.4).

use serde::{Deserialize, Serialize};

use crate::log::{LogPosition, Snapshot};
use crate::types::{Entry, Index, ReadRound, Term};

/// A message from one server to another. Its envelope names the sender and the receiver.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// A candidate's request for a vote.
    RequestVote(RequestVote),
    /// The reply to RequestVote.
    RequestVoteReply(RequestVoteReply),
    /// A leader's request that replicates entries or serves as a heartbeat.
    AppendEntries(AppendEntries),
    /// The reply to AppendEntries.
    AppendEntriesReply(AppendEntriesReply),
    /// A leader's snapshot for a follower that needs compacted entries.
    InstallSnapshot(InstallSnapshot),
    /// The reply to InstallSnapshot.
    InstallSnapshotReply(InstallSnapshotReply),
}

impl Message {
    /// Returns the sender's term at the time when it wrote the message.
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
    /// The position of the candidate's last log entry.
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
    /// Any prefix of the entries that the follower lacks; empty in a heartbeat.
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
    /// The result of the request.
    pub outcome: AppendOutcome,
    /// The read round of the answered request.
    pub read_round: ReadRound,
}

/// The result of an [`AppendEntries`] at a follower.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppendOutcome {
    /// The request was refused because its term is older than the follower's. The reply carries the
    /// newer term.
    StaleTerm,
    /// The follower's log agrees with the leader's log up to `match_index`.
    Matched {
        /// The last index covered by the request.
        match_index: Index,
    },
    /// The follower has no entry at `prev_log_index` with the right term.
    Conflict {
        /// The `prev_log` index of the refused request.
        prev_log_index: Index,
        /// The follower's last entry that can agree with the leader's log: the last one up to
        /// `prev_log_index` whose term is at most the request's `prev_log` term. Position 0 if
        /// there is none.
        hint: LogPosition,
    },
}

/// Figure 13, InstallSnapshot RPC, arguments. The snapshot is whole: the shell cuts it into chunks.
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
    /// The result of the request.
    pub outcome: InstallOutcome,
    /// The read round of the answered request.
    pub read_round: ReadRound,
}

/// The result of an [`InstallSnapshot`] at a follower.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstallOutcome {
    /// The request was refused because its term is older than the follower's. The reply carries the
    /// newer term.
    StaleTerm,
    /// The follower holds everything that the snapshot covers.
    Covered {
        /// The last index that the snapshot covers.
        last_included_index: Index,
    },
}
