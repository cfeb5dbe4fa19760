//! **Vote once** (paper, section 5.2, and Figure 2's `votedFor` on stable storage): each server votes
//! for at most one candidate in a given term.
//!
//! Exactly: of the votes that a server *releases* in a term, by sending a grant or by counting its
//! own, all are for the same candidate, across crashes. A vote that dies unsent with its server
//! never was. The server model remembers the newest released vote until the disk has a later term;
//! going back behind that breaks [`super::monotonic`].
//!
//! Witness: a server refused a vote because it had given it to somebody else.

use raft_core::{Message, Node, NodeId, Term};
use raft_trace::{Action, Envelope};

/// Whether releasing a vote contradicts the one released before.
pub fn broken_by(released: Option<(Term, NodeId)>, term: Term, candidate: NodeId) -> bool {
    released.is_some_and(|(in_term, voted_for)| in_term == term && voted_for != candidate)
}

/// Whether a second candidate of the term asks for the vote.
pub fn witnessed(before: &Node, action: &Action) -> bool {
    let Action::Deliver(Envelope { from, message: Message::RequestVote(request), .. }) = action
    else {
        return false;
    };
    request.term == before.current_term
        && before.voted_for.is_some_and(|voted_for| voted_for != *from)
}
