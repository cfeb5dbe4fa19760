//! Real processes: `raftd` on loopback, killed, damaged, shouted at.

mod cluster;
mod configuration;
mod exposition;
mod failures;
mod garbage;
mod kills;
mod metrics;
mod tls;
