//! Explores systems of servers and messages exhaustively.
//!
//! A [`System`] is servers that take inputs and send messages. It can be explored over two kinds of
//! networks:
//!
//! - [`any_network`]: any number of messages in flight, lost, repeated and delivered in any order;
//! - [`bounded_network`]: a bounded number of messages in flight and of repetitions. It finds
//!   shortest runs.
//!
//! Two known techniques make both fast, so that a system can be written for the reader:
//!
//! - every distinct server, message and history is *interned*, and a state is a few numbers (SPIN's
//!   collapse mode);
//! - the step of a server depends only on that server and its input, so each *local transition* is
//!   computed once and looked up from then on (`LTSmin`'s transition caching).
//!
//! [`explicit`] explores without any reduction, to compare with.

pub mod any_network;
pub mod bounded_network;
pub mod control;
pub mod explicit;
mod hash;
mod intern;
mod local;
mod message_set;
pub mod system;
mod table;

pub use system::{Findings, Initial, Input, MAX_SERVERS, Relevance, RunStep, Step, System};
