//! The tests of the library, as one program. The tests of `raftcheck` are in `cli`.

mod any_network;
mod baseline;
mod controls;
mod corpus;
mod counts;
mod node_log;
mod pictures;
mod scenarios;
mod schedules;
