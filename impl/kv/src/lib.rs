//! A replicated key-value service: a [`raft_node`] server whose state machine is the [`store`], and
//! an HTTP interface for clients.
//!
//! | module | content |
//! | --- | --- |
//! | [`api`] | the HTTP requests and answers, as data types |
//! | [`command`] | the commands in the log, and the answers to them |
//! | [`store`] | the state that the commands change, with the sessions that make retries safe |
//! | [`server`] | a running server |
//! | [`config`] | the configuration file of a server |
//! | [`client`] | a client: it follows the leader, and repeats the requests that are safe to repeat |
//!
//! The programs are `raftd`, the server, and `raftctl`, the client.
//!
//! # The meaning of an answer
//!
//! The leader answers a write with success only after it has committed and applied the command. It
//! serves a read only after a majority has confirmed that it is still the leader. The read sees
//! everything that was acknowledged before it began
//! ([`NodeHandle::read_barrier`](raft_node::NodeHandle::read_barrier); thesis, section 6.4). Every
//! other answer states the outcome of the command, either not done or unknown ([`api::Outcome`]).

pub mod api;
pub mod client;
pub mod command;
pub mod config;
pub mod server;
pub mod store;
