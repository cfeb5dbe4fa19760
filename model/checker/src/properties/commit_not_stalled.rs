//! **Commit not stalled** (paper, Figure 2, Leaders): if there is an N above `commit_index` that a
//! majority has and that is of the current term, the leader sets `commit_index` to it.
//!
//! Exactly: after each step of a leader there is no such N. The leader itself counts with the
//! entries on its disk. The check goes entry by entry, without sorting.
//!
//! Witness: a leader committed several entries in one step.

use raft_core::{Index, Node, PersistentState, TermAt};

use super::{leads_throughout, on_majority};

/// Returns whether a leader could commit and did not.
pub fn broken(after: &Node, disk: &PersistentState) -> bool {
    let own_term = TermAt::Present(after.current_term);
    let is_own_and_durable =
        |index: Index| disk.log.term_at(index) == own_term && after.log.term_at(index) == own_term;
    let durable = (after.commit_index.0 + 1..=after.log.last_index().0)
        .map(Index)
        .filter(|index| is_own_and_durable(*index))
        .max()
        .unwrap_or(Index::ZERO);
    (after.commit_index.0 + 1..=after.log.last_index().0)
        .map(Index)
        .any(|index| after.log.term_at(index) == own_term && on_majority(after, durable, index))
}

/// Returns whether a leader committed several entries at once.
pub fn witnessed(before: &Node, after: &Node) -> bool {
    leads_throughout(before, after) && after.commit_index.since(before.commit_index) > 1
}
