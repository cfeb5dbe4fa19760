//! Real processes: `raftd` on loopback, killed, damaged, shouted at.

mod browsers;
mod clients;
mod cluster;
mod failures;
mod garbage;
mod kills;
mod members;
mod programs;
mod raw;
mod tls;
