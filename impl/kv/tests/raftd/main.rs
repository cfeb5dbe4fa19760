//! Tests with real `raftd` processes on loopback: kills, damaged files and invalid input.

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
