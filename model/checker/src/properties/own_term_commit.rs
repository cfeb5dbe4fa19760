//! **Own-term commit** (paper, section 5.4.2 and Figure 8): only log entries from the leader's
//! current term are committed by counting replicas.
//!
//! Exactly: if a server leads the same term before and after a step, the step moves `commit_index`
//! only onto an entry of that term. (Entries before it are committed with it.) A violation loses
//! data only many steps later, as in Figure 8; the property reports it at once.
//!
//! Witness: a leader knew an older term's entry to be on a majority and did not commit it.

use raft_core::{Node, TermAt};

use super::{leads_throughout, on_majority};

/// Returns whether a leader moved its commit index onto another term's entry.
pub fn broken(before: &Node, after: &Node) -> bool {
    leads_throughout(before, after)
        && after.commit_index != before.commit_index
        && after.log.term_at(after.commit_index) != TermAt::Present(after.current_term)
}

/// Returns whether a leader holds back an entry of another term that a majority has.
pub fn witnessed(after: &Node) -> bool {
    let held_back = after.commit_index.next();
    on_majority(after, after.durable_index(), held_back)
        && after.log.term_at(held_back) != TermAt::Present(after.current_term)
}
