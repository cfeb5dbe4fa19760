//! **Reads** (paper, section 8; thesis, section 6.4): a read-only operation returns no stale data.
//!
//! Exactly: when a read is served, the state that it is served from reflects at least the highest
//! index that had been committed anywhere when the read began. The
//! [history](crate::cluster::history) notes that index for each read.
//!
//! Also, no read is forgotten: a read that a leader has accepted is served or refused, unless its
//! server stops.
//!
//! Witness: a read was served.

use raft_core::Index;

use crate::cluster::history::Fact;
use crate::cluster::server::Server;

/// Returns whether a read is stale. `committed` was the highest committed index when the read
/// began, and the state that serves it reflects the log up to `applied`.
pub fn broken(committed: Index, applied: Index) -> bool {
    applied < committed
}

/// Returns whether a step forgot a waiting read.
pub fn forgotten(before: &Server, after: &Server, facts: &[Fact]) -> bool {
    before.pending_reads().any(|read| {
        let ended = |fact: &Fact| {
            matches!(fact, Fact::ReadServed(id, _) | Fact::ReadEnded(id) if *id == read)
        };
        after.pending_reads().all(|waiting| waiting != read) && !facts.iter().any(ended)
    })
}
