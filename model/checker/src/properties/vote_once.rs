//! **Vote once** (paper, section 5.2, and Figure 2's `votedFor` on stable storage): each server
//! votes for at most one candidate in a given term.
//!
//! Exactly: all votes that a server *releases* in a term are for the same candidate, across
//! crashes. A server releases a vote when it sends the grant or counts its own vote. A vote that a
//! crash loses before it is sent does not count. The server model keeps the newest released vote
//! until the disk has a later term. A disk that goes back to an earlier term breaks
//! [`super::monotonic`].
//!
//! Witness: a server refused a vote because it had voted for another candidate.

use raft_core::{Message, Node, NodeId, Term};
use raft_trace::{Action, Envelope};

/// Returns whether releasing a vote contradicts the one released before.
pub fn broken_by(released: Option<(Term, NodeId)>, term: Term, candidate: NodeId) -> bool {
    released.is_some_and(|(in_term, voted_for)| in_term == term && voted_for != candidate)
}

/// Returns whether a second candidate of the term asks for the vote.
pub fn witnessed(before: &Node, action: &Action) -> bool {
    let Action::Deliver(Envelope { from, message: Message::RequestVote(request), .. }) = action
    else {
        return false;
    };
    request.term == before.current_term
        && before.voted_for.is_some_and(|voted_for| voted_for != *from)
}
