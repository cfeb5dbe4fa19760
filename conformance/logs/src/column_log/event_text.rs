//! Texts for messages, writes and numbers.

use itertools::Itertools as _;
use raft_checker::notation::describe_message;
use raft_core::{
    AppendOutcome, Bytes, Index, InstallOutcome, LogWrite, Message, NodeId, ReadRefusal, Write,
};

use super::event_topic::Topic;

/// The description of a message: its topic, the log indexes that it concerns, and its text.
pub(super) struct MessageText {
    pub(super) topic: Topic,
    pub(super) indexes: Option<(Index, Index)>,
    pub(super) text: String,
}

impl MessageText {
    pub(super) fn of(message: &Message) -> MessageText {
        let (topic, indexes) = match message {
            Message::RequestVote(_) | Message::RequestVoteReply(_) => (Topic::Elec, None),
            Message::AppendEntries(request) => {
                let first = request.prev_log.index.next();
                match request.entries.len() {
                    0 => (Topic::Timr, None),
                    count => (Topic::Log, Some((first, first.prev().plus(count)))),
                }
            }
            Message::AppendEntriesReply(reply) => match reply.outcome {
                AppendOutcome::StaleTerm => (Topic::Log, None),
                AppendOutcome::Matched { match_index } => {
                    (Topic::Log, Some((match_index, match_index)))
                }
                AppendOutcome::Conflict { prev_log_index, hint } => {
                    (Topic::Log, Some((hint.index.min(prev_log_index), prev_log_index)))
                }
            },
            Message::InstallSnapshot(request) => {
                (Topic::Snap, Some((Index(1), request.snapshot.last_included_index)))
            }
            Message::InstallSnapshotReply(reply) => match reply.outcome {
                InstallOutcome::StaleTerm => (Topic::Snap, None),
                InstallOutcome::Covered { last_included_index } => {
                    (Topic::Snap, Some((Index(1), last_included_index)))
                }
            },
        };
        MessageText { topic, indexes, text: message_text(message, indexes) }
    }
}

/// Describes a message like the checker, except for its entries. Here a message may have hundreds
/// of entries, so only their indexes are shown.
fn message_text(message: &Message, indexes: Option<(Index, Index)>) -> String {
    let Message::AppendEntries(request) = message else {
        return describe_message(message);
    };
    let (term, commit, prev) = (request.term, request.leader_commit, request.prev_log);
    let after = match prev.index {
        Index::ZERO => "start".to_owned(),
        index => format!("{index}@{}", prev.term),
    };
    match indexes {
        Some(indexes) => format!("append {} t{term} c{commit} after {after}", span(indexes)),
        None => format!("heartbeat t{term} c{commit} at {after}"),
    }
}

/// Writes a range as `5`, or as `5..7` with both ends included.
pub(super) fn span((first, last): (Index, Index)) -> String {
    if first == last { first.to_string() } else { format!("{first}..{last}") }
}

/// Lists the receivers of a message. Returns `all` if the message goes to every other server.
pub(super) fn receivers(to: &[NodeId], others: usize) -> String {
    if to.len() > 1 && to.len() == others { "all".to_owned() } else { to.iter().join(" ") }
}

/// The number of commands that are listed.
const COMMANDS: usize = 8;

/// Lists the first few commands of a proposal, and counts the others.
pub(super) fn commands(commands: &[Bytes]) -> String {
    let shown = commands.iter().take(COMMANDS).join(" ");
    match commands.len().saturating_sub(COMMANDS) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Describes a write to the disk: `t3 v2, 5..7`.
pub(super) fn write(write: &Write) -> String {
    let vote = write.vote.map(|vote| match vote.voted_for {
        Some(candidate) => format!("t{} v{}", vote.current_term, candidate.0),
        None => format!("t{}", vote.current_term),
    });
    let log = write.log.as_ref().map(|log| match log {
        LogWrite::Append { .. } => log_indexes(log).map_or_else(|| "nothing".to_owned(), span),
        LogWrite::Compact(snapshot) => format!("compaction to {}", snapshot.last_included_index),
        LogWrite::Install(snapshot) => format!("snapshot {}", snapshot.last_included_index),
    });
    vote.into_iter().chain(log).join(", ")
}

/// Returns the log indexes that a write concerns.
pub(super) fn log_indexes(write: &LogWrite) -> Option<(Index, Index)> {
    match write {
        LogWrite::Append { entries, .. } if entries.is_empty() => None,
        LogWrite::Append { first, entries } => Some((*first, first.prev().plus(entries.len()))),
        LogWrite::Compact(snapshot) | LogWrite::Install(snapshot) => {
            Some((Index(1), snapshot.last_included_index))
        }
    }
}

/// Describes why a read is not served.
pub(super) fn read_refusal(reason: ReadRefusal) -> String {
    match reason {
        ReadRefusal::NotLeader { leader } => ask(leader),
        ReadRefusal::NothingCommittedInTerm => "nothing of its term is committed".to_owned(),
        ReadRefusal::TooManyReads => "too many reads wait".to_owned(),
    }
}

/// Describes the server that a client should ask instead.
pub(super) fn ask(leader: Option<NodeId>) -> String {
    leader.map_or_else(|| "no leader is known".to_owned(), |leader| format!("ask {leader}"))
}

/// Writes the name of a variant as words: `SecondLeader` becomes `second leader`.
pub(super) fn variant(value: impl std::fmt::Debug) -> String {
    let mut text = String::new();
    for letter in format!("{value:?}").chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.extend(letter.to_lowercase());
    }
    text
}
