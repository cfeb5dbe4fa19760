//! **Reads** (paper, section 8; thesis, section 6.4): a read-only operation returns nothing stale.
//!
//! Exactly: when a read is served, the state that it is served from reflects at least the highest
//! index that had been committed anywhere when the read began. The
//! [history](crate::cluster::history) notes that index for each read.
//!
//! And no read is forgotten: one that a leader has accepted is served or refused, unless its server
//! stops.
//!
//! Witness: a read was served.

use raft_core::Index;

use crate::cluster::history::Fact;
use crate::cluster::server::Server;

/// Whether a read is stale that began when `committed` was the highest committed index, and is
/// served from a state that reflects the log up to `applied`.
pub fn broken(committed: Index, applied: Index) -> bool {
    applied < committed
}

/// Whether a step forgot a read that was waiting.
pub fn forgotten(before: &Server, after: &Server, facts: &[Fact]) -> bool {
    before.pending_reads().any(|read| {
        let ended = |fact: &Fact| {
            matches!(fact, Fact::ReadServed(id, _) | Fact::ReadEnded(id) if *id == read)
        };
        after.pending_reads().all(|waiting| waiting != read) && !facts.iter().any(ended)
    })
}
