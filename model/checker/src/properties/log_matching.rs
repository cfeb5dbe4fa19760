//! **Log Matching** (paper, Figure 3 and section 5.3): if two logs contain an entry with the same
//! index and term, then the logs are identical in all entries up through the given index.
//!
//! Exactly: for two servers and the highest index at which their logs (snapshots unfolded) have
//! entries of the same term, all entries up to there are equal, commands included.
//!
//! Witness: a follower removed conflicting entries.

use raft_core::{Node, TermAt};

use super::View;

/// Returns whether two logs have entries of the same term at an index, and differ at or before it.
pub fn broken(a: &View, b: &View) -> bool {
    let agreeing = a.log.iter().zip(&b.log).rposition(|(a, b)| a.term == b.term);
    agreeing.is_some_and(|last| a.log[..=last] != b.log[..=last])
}

/// Returns whether a server that does not lead lost entries from its log, other than to a snapshot.
pub fn witnessed(before: &Node, after: &Node) -> bool {
    let base = before.log.base().index;
    !after.is_leader()
        && after.log.base().index == base
        && (1..)
            .map(|n| base.plus(n))
            .zip(before.log.entries())
            .any(|(index, entry)| after.log.term_at(index) != TermAt::Present(entry.term))
}
