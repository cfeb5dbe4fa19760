//! **Reads** (paper, section 8; thesis, section 6.4): a read-only operation returns nothing stale.
//!
//! Exactly: when a read is served, the state that it is served from reflects at least the highest
//! index that had been committed anywhere when the read began. The
//! [history](crate::cluster::history) notes that index for each read.
//!
//! Witness: a read was served.

use raft_core::Index;

/// Whether a read is stale that began when `committed` was the highest committed index, and is
/// served from a state that reflects the log up to `applied`.
pub fn broken(committed: Index, applied: Index) -> bool {
    applied < committed
}
