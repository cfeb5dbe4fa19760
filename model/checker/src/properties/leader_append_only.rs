//! **Leader Append-Only** (paper, Figure 3 and section 5.3): a leader never overwrites or deletes
//! entries in its log; it only appends new ones.
//!
//! Exactly: if a server leads the same term before and after a step, the step leaves every entry
//! that the log still holds unchanged, and does not shorten the log. Compaction is not shortening.
//!
//! Witness: a leader appended a command to a log with entries of an older term.

use raft_core::{Node, TermAt};
use raft_trace::Action;

use super::leads_throughout;

/// Returns whether a leader changed or removed entries of its log.
pub fn broken(before: &Node, after: &Node) -> bool {
    if !leads_throughout(before, after) {
        return false;
    }
    let base = before.log.base().index;
    let changed = (1..).map(|n| base.plus(n)).zip(before.log.entries()).any(|(index, entry)| {
        match after.log.term_at(index) {
            TermAt::Compacted => false,
            TermAt::Present(term) if index == after.log.base().index => term != entry.term,
            TermAt::Present(_) | TermAt::Beyond => after.log.entry(index) != Some(entry),
        }
    });
    changed || after.log.last_index() < before.log.last_index()
}

/// Returns whether a leader appended to a log with entries of earlier leaders.
pub fn witnessed(before: &Node, after: &Node, action: &Action) -> bool {
    matches!(action, Action::Propose { .. })
        && leads_throughout(before, after)
        && before.log.entries().first().is_some_and(|entry| entry.term < before.current_term)
        && after.log.last_index() > before.log.last_index()
}
