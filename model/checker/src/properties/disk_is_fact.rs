//! **The disk is a fact** (paper, Figure 2, "Persistent state on all servers"): a server knows the
//! contents of its disk, and all persistent state is there or on its way.
//!
//! Exactly, for a server that runs: the contents of its disk, together with the waiting writes, are
//! the node's current term, vote and log. And up to the index that the node takes for durable, the
//! log on the disk is the node's. The second half fails if an acknowledged write counts for entries
//! that have overwritten its own (ABA).
//!
//! Witness: a write that changes the log waits for the disk.

use raft_core::{Log, LogWrite, TermAt};

use crate::cluster::server::Server;

/// Returns whether a server is mistaken about its disk.
pub fn broken(server: &Server) -> bool {
    let Some(process) = &server.process else {
        return false;
    };
    let node = &process.node;
    let mut image = server.disk.clone();
    process.writes.iter().for_each(|(_, write)| image.write(write));
    let written = image.current_term == node.current_term
        && image.voted_for == node.voted_for
        && image.log == node.log;
    !written || !agree_up_to_durable(&node.log, &server.disk.log, node.durable_index().0)
}

/// Returns whether two logs have the same terms up to an index. Entries that one of them has
/// compacted were committed, and are not compared.
fn agree_up_to_durable(log: &Log, disk: &Log, durable: u64) -> bool {
    let from = log.base().index.max(disk.base().index).0;
    (from..=durable).map(raft_core::Index).all(|index| match log.term_at(index) {
        // The log is a snapshot that is not durable yet, so the node claims nothing about the disk.
        TermAt::Compacted => true,
        TermAt::Present(_) => log.term_at(index) == disk.term_at(index),
        TermAt::Beyond => false,
    })
}

/// Returns whether a change of the log waits for the disk.
pub fn witnessed(server: &Server) -> bool {
    let waits = |writes: &std::collections::VecDeque<(raft_core::Mark, raft_core::Write)>| {
        writes.iter().any(|(_, write)| matches!(write.log, Some(LogWrite::Append { .. })))
    };
    server.process.as_ref().is_some_and(|process| waits(&process.writes))
}
