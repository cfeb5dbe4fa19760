//! Validation of messages before they are handled. A message is rejected if no correct server can
//! have sent it, or if it contradicts the entries that are committed here. Validation changes
//! nothing, so a rejected message has no effect.

use crate::effect::Rejection;
use crate::log::{LogPosition, Snapshot, TermAt, terms_ascend};
use crate::message::{AppendEntries, AppendOutcome, InstallOutcome, Message, RequestVote};
use crate::node::{Node, Role};
use crate::types::{Entry, Index, NUMBER_LIMIT, NodeId, ReadRound, Term};

/// Decides whether the node may act on the message.
pub(crate) fn check(node: &Node, from: NodeId, message: &Message) -> Result<(), Rejection> {
    if from == node.id() || !node.config.voters.contains(&from) {
        return Err(Rejection::UnknownSender);
    }
    let term = message.term();
    ensure(term > Term::ZERO && term.0 <= NUMBER_LIMIT, Rejection::Malformed)?;
    let current = term >= node.current_term;
    match message {
        Message::RequestVote(request) => request_vote(request),
        Message::RequestVoteReply(reply) => {
            ensure(!reply.granted || term <= node.current_term, Rejection::AcknowledgesUnsent)
        }
        Message::AppendEntries(request) => {
            append_entries(request)?;
            if current {
                second_leader(node, from, term)?;
                contradicts_committed(node, request.prev_log, &request.entries)?;
            }
            Ok(())
        }
        Message::AppendEntriesReply(reply) => match reply.outcome {
            AppendOutcome::StaleTerm => Ok(()),
            AppendOutcome::Matched { match_index } => {
                accepted(node, term, reply.read_round, match_index)
            }
            AppendOutcome::Conflict { prev_log_index, hint } => {
                let ordered = Index::ZERO < prev_log_index && hint.index <= prev_log_index;
                let sound = is_position(hint) && hint.term <= term;
                ensure(ordered && sound, Rejection::Malformed)?;
                accepted(node, term, reply.read_round, Index::ZERO)
            }
        },
        Message::InstallSnapshot(request) => {
            snapshot(&request.snapshot, term)?;
            if current {
                second_leader(node, from, term)?;
                contradicts_committed(node, position(&request.snapshot), &[])?;
            }
            Ok(())
        }
        Message::InstallSnapshotReply(reply) => match reply.outcome {
            InstallOutcome::StaleTerm => Ok(()),
            InstallOutcome::Covered { last_included_index } => {
                accepted(node, term, reply.read_round, last_included_index)
            }
        },
    }
}

fn ensure(condition: bool, otherwise: Rejection) -> Result<(), Rejection> {
    if condition { Ok(()) } else { Err(otherwise) }
}

/// Returns whether the position can occur in a log: it is the start, or its index and its term are
/// both above 0.
fn is_position(position: LogPosition) -> bool {
    (position.index == Index::ZERO) == (position.term == Term::ZERO)
        && position.index.0 <= NUMBER_LIMIT
}

/// Checks a RequestVote. A candidate has no entry of its new term yet, so its last entry is of an
/// older term.
fn request_vote(request: &RequestVote) -> Result<(), Rejection> {
    let sound = is_position(request.last_log) && request.last_log.term < request.term;
    ensure(sound, Rejection::Malformed)
}

fn append_entries(request: &AppendEntries) -> Result<(), Rejection> {
    let AppendEntries { term, prev_log, entries, .. } = request;
    let ascending = terms_ascend(prev_log.term.max(Term(1)), entries, *term);
    let in_range = prev_log.index.plus(entries.len()).0 <= NUMBER_LIMIT;
    ensure(is_position(*prev_log) && ascending && in_range, Rejection::Malformed)
}

fn position(snapshot: &Snapshot) -> LogPosition {
    LogPosition { term: snapshot.last_included_term, index: snapshot.last_included_index }
}

fn snapshot(snapshot: &Snapshot, term: Term) -> Result<(), Rejection> {
    let last = position(snapshot);
    let sound = is_position(last) && last.index > Index::ZERO && last.term <= term;
    ensure(sound, Rejection::Malformed)
}

/// Checks Election Safety, as far as this server can tell: a term has one leader.
fn second_leader(node: &Node, from: NodeId, term: Term) -> Result<(), Rejection> {
    let known = if term == node.current_term { node.known_leader() } else { None };
    ensure(known.is_none_or(|leader| leader == from), Rejection::SecondLeader)
}

/// Checks Leader Completeness, as far as this server can tell: the leader's log holds the entries
/// that are committed here.
fn contradicts_committed(
    node: &Node,
    prev_log: LogPosition,
    entries: &[Entry],
) -> Result<(), Rejection> {
    let entry_terms = entries.iter().map(|entry| entry.term);
    let mut index = prev_log.index;
    for term in std::iter::once(prev_log.term).chain(entry_terms) {
        if index > node.commit_index {
            break;
        }
        if let TermAt::Present(committed) = node.log.term_at(index) {
            ensure(committed == term, Rejection::ContradictsCommitted)?;
        }
        index = index.next();
    }
    Ok(())
}

/// Checks an answer from a follower that accepted this server as the leader of `term`. If this
/// server leads that term, it must have registered the round and must hold the index. Otherwise the
/// term must not be above its current term.
fn accepted(node: &Node, term: Term, round: ReadRound, index: Index) -> Result<(), Rejection> {
    let sent = match &node.role {
        Role::Leader(leadership) if term == node.current_term => {
            round <= leadership.read_round && index <= node.log.last_index()
        }
        _ => term <= node.current_term,
    };
    ensure(sent, Rejection::AcknowledgesUnsent)
}
