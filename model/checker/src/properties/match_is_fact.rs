//! **Match is a fact** (paper, Figure 2, "Volatile state on leaders", and section 5.3):
//! `match_index` is the highest log entry *known to be replicated* on a server.
//!
//! Exactly: the follower's disk holds the leader's entry at the follower's `match_index`, and so
//! (Log Matching) all entries before it. An exception is a follower whose disk is in a later term:
//! a later leader may have overwritten uncommitted entries there. Servers that are down count with
//! their disks.
//!
//! The paper commits by this number, so a false value loses data some elections later. This
//! property reports it at once.
//!
//! Witness: a leader knows of a match.

use super::View;

/// Returns whether a leader believes that a follower has entries which it does not have.
pub fn broken(leader: &View, views: &[&View]) -> bool {
    let Some(term) = leader.leads else {
        return false;
    };
    leader.matches.iter().any(|(follower, matched)| {
        let place = usize::try_from(matched.prev().0).unwrap_or(usize::MAX);
        let follower = views.iter().find(|view| view.id == *follower);
        matched.0 > 0
            && follower.is_some_and(|follower| {
                let entry = leader.log.get(place);
                follower.disk_term <= term
                    && (entry.is_none() || follower.durable.get(place) != entry)
            })
    })
}

/// Returns whether a leader knows of a match.
pub fn witnessed(leader: &View) -> bool {
    leader.leads.is_some() && leader.matches.iter().any(|(_, matched)| matched.0 > 0)
}
