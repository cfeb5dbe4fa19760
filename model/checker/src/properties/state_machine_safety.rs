//! **State Machine Safety** (paper, Figure 3 and section 5.4.3): if a server has applied a log
//! entry at a given index to its state machine, no other server will ever apply a different log
//! entry for the same index.
//!
//! Exactly: over the whole run, before and after restarts, all applications at one index (those in
//! restored snapshots included) are of the same entry. If a leader has committed an entry there,
//! which is a promise to apply it, it is that entry. The [history](crate::cluster::history)
//! compares them. And within the life of one process, a state machine applies in order, without gap
//! or repetition, from the index at which it was started or restored. The server model checks this
//! when it applies.
//!
//! Witness: every server has applied a client's command.

use super::View;

/// Returns whether every server has applied a client's command.
pub fn witnessed(views: &[&View]) -> bool {
    views.iter().all(|view| view.commands_applied > 0)
}
