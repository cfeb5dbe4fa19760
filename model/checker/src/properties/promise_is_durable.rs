//! **A promise is durable** (paper, Figure 2: "Updated on stable storage before responding to
//! RPCs"): the state that a message confirms or advertises is on the sender's disk when the message
//! leaves.
//!
//! Exactly, for all messages but the requests of a leader, which need not wait (thesis, section
//! 10.2.1): the disk's term is at least the message's. If the two terms are equal,
//!
//! - a granted vote is on the disk;
//! - the entries that an answer to AppendEntries or InstallSnapshot confirms are on the disk;
//! - if the sender is still a candidate in that term, its disk holds the log that its RequestVote
//!   advertises.
//!
//! Witness: a message had to wait for the disk.

use raft_core::{
    AppendOutcome, Index, InstallOutcome, LogPosition, Message, NodeId, PersistentState, Role,
    TermAt,
};
use raft_trace::{Action, Envelope};

use crate::cluster::server::{Process, Server};

/// Returns whether a message that leaves promises something that its sender could still lose.
pub fn broken_by(envelope: &Envelope, disk: &PersistentState, process: &Process) -> bool {
    let Envelope { to, message, .. } = envelope;
    if matches!(message, Message::AppendEntries(_) | Message::InstallSnapshot(_)) {
        return false;
    }
    if disk.current_term != message.term() {
        return disk.current_term < message.term();
    }
    match message {
        Message::RequestVoteReply(reply) => reply.granted && disk.voted_for != Some(*to),
        Message::RequestVote(request) => {
            // A server that is no longer a candidate in that term does not use the votes for it.
            let campaigns = matches!(process.node.role, Role::Candidate { .. })
                && process.node.current_term == request.term;
            campaigns && advertises_more(request.last_log, disk, process.node.id())
        }
        Message::AppendEntriesReply(reply) => match reply.outcome {
            AppendOutcome::Matched { match_index } => lacks(match_index, disk, process),
            AppendOutcome::StaleTerm | AppendOutcome::Conflict { .. } => false,
        },
        Message::InstallSnapshotReply(reply) => match reply.outcome {
            InstallOutcome::Covered { last_included_index } => {
                lacks(last_included_index, disk, process)
            }
            InstallOutcome::StaleTerm => false,
        },
        Message::AppendEntries(_) | Message::InstallSnapshot(_) => false,
    }
}

/// Returns whether the disk lacks the candidate's vote for itself or the log that it advertises.
fn advertises_more(last_log: LogPosition, disk: &PersistentState, candidate: NodeId) -> bool {
    disk.voted_for != Some(candidate) || disk.log.last() != last_log
}

fn lacks(index: Index, disk: &PersistentState, process: &Process) -> bool {
    match (disk.log.term_at(index), process.node.log.term_at(index)) {
        (TermAt::Beyond, _) => true,
        (TermAt::Present(durable), TermAt::Present(term)) => {
            // In a later term the log may have been overwritten since the message was made.
            let same_term = process.node.current_term == disk.current_term;
            same_term && durable != term
        }
        (TermAt::Compacted, _) | (_, TermAt::Compacted | TermAt::Beyond) => false,
    }
}

/// Returns whether a finished write released a waiting message.
pub fn witnessed(before: &Server, after: &Server, action: &Action) -> bool {
    let waiting = |server: &Server| server.process.as_ref().map_or(0, |p| p.outbox.len());
    matches!(action, Action::Sync { .. }) && waiting(after) < waiting(before)
}
