//! A replicated key-value service: [`raft_node`] with a [`store`] as its state machine, and a service
//! for clients that speak HTTP.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`api`] | what clients and servers say to each other |
//! | [`command`] | what stands in the log |
//! | [`store`] | the state that the commands change, with the sessions that make retries harmless |
//! | [`server`] | a running server |
//! | [`config`] | what its configuration file says |
//! | [`client`] | the other side: follows the leader, and repeats what may be repeated |
//!
//! The programs are `raftd`, the server, and `raftctl`, the client.
//!
//! # What an answer means
//!
//! A write is answered with success when its command is committed and applied on the leader, and
//! never before. A read is served by the leader after a majority has confirmed that it still leads,
//! from a state that reflects everything that was acknowledged before the read began
//! ([`NodeHandle::read_barrier`](raft_node::NodeHandle::read_barrier); thesis, section 6.4). Whatever
//! else an answer says, it says what became of the command: not done, or unknown
//! ([`api::Outcome`]).

pub mod api;
pub mod client;
pub mod command;
pub mod config;
pub mod server;
pub mod store;
