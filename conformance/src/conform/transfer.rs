//! Snapshot transfers.
