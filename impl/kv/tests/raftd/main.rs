//! Real processes: `raftd` on loopback, killed, damaged, shouted at.

mod browsers;
mod clients;
mod cluster;
mod configuration;
mod exposition;
mod failures;
mod garbage;
mod kills;
mod members;
mod metrics;
mod programs;
mod raw;
mod tls;
