//! **Votes are facts** (paper, section 5.2): a candidate wins with the votes of a majority *for the
//! same term*, and a vote is on the voter's disk.
//!
//! Exactly: each server whose vote a candidate has counted has on its disk either that term with
//! this vote, or a later term. For every leader, the same is true of a majority of the servers. And
//! if a disk names a candidate as its choice in a term, that candidate has entered the term.
//!
//! To break Election Safety, two leaders are needed; to break this property, one leader that was
//! not elected is enough. The property also covers the purpose of an election: a leader that a
//! majority has not accepted may lack committed entries.
//!
//! Witness: a server leads while the disk of another server is in a later term.

use raft_core::{NodeId, Term};

use super::View;

/// Returns whether a candidate or a leader counts on a vote that was not given.
pub fn broken(views: &[&View]) -> bool {
    views.iter().any(|view| {
        let counted = |voter: NodeId| {
            let voter = views.iter().find(|view| view.id == voter);
            voter.is_some_and(|voter| has_voted(voter, view.term, view.id))
        };
        let supporters = || views.iter().filter(|v| has_voted(v, view.term, view.id)).count();
        view.votes.iter().any(|voter| !counted(*voter))
            || (view.leads.is_some() && 2 * supporters() <= views.len())
            || votes_for_nobody(view, views)
    })
}

fn has_voted(voter: &View, term: Term, candidate: NodeId) -> bool {
    voter.disk_term > term || (voter.disk_term == term && voter.disk_vote == Some(candidate))
}

fn votes_for_nobody(voter: &View, views: &[&View]) -> bool {
    voter.disk_vote.is_some_and(|candidate| {
        let candidate = views.iter().find(|view| view.id == candidate);
        candidate.is_none_or(|candidate| candidate.disk_term < voter.disk_term)
    })
}

/// Returns whether a server leads while the disk of another server is in a later term.
pub fn witnessed(views: &[&View]) -> bool {
    let leads = |term: Term| views.iter().any(|view| view.leads.is_some_and(|leads| leads < term));
    views.iter().any(|view| leads(view.disk_term))
}
