//! Real processes: `raftd` on loopback, killed, damaged, shouted at.

mod cluster;
mod failures;
mod garbage;
mod kills;
mod members;
mod tls;
