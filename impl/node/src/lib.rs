//! The runtime around raft-core: what turns a pure step function into a server that keeps its word
//! when the power fails.
//!
//! The rules of Raft are in raft-core, and a model checker has explored them. Here is everything
//! else, in pieces that can be run one at a time, by threads in production and by a test that stops
//! between any two of them:
//!
//! | what | where | what it may not do |
//! | --- | --- | --- |
//! | step, and queue what the step asks for | [`shell`] | let a message go before its write is durable |
//! | term, vote and log on the disk | [`log_store`] | report a write before it is durable |
//! | snapshots as files | [`snapshot_store`] | name a file that is not whole and durable |
//! | the state machine's tasks | [`applier`] | apply out of order |
//! | bytes on the network | [`wire`] | trust what arrives |
//! | election timeouts and heartbeats | [`timers`] | matter for safety |
//!
//! [`RunningNode`] puts them on threads. One task owns the node: it drains its inboxes, steps, sends
//! what may be sent, and gives the disk everything that waits as *one* transaction. So while a
//! transaction is being synced, the next one fills; a leader's entries are on their way to the
//! followers while its own disk is still busy with them; and the state machine works beside all
//! that. Taking a snapshot costs the state machine a view and nobody else anything; it is written
//! and sent at a bounded rate beside everything else.
//!
//! What a user provides is a [`StateMachine`]. What a user calls is [`NodeHandle::propose`] and
//! [`NodeHandle::read_barrier`].
//!
//! # When something fails
//!
//! A write or a sync that fails stops the node, for good: what a disk holds after a failed sync
//! nobody knows until it has been read again. A log that is damaged is not opened. The panic of a thread stops the node as well, with
//! the reason. A message that no
//! correct server can have sent is counted and ignored. A queue that is full drops messages, as a
//! network may, or refuses clients, who are told that nothing was done.

pub mod applier;
pub mod directory;
mod error;
mod handle;
pub mod log_store;
pub mod metrics;
mod net;
mod node;
mod node_log;
mod options;
pub mod order;
mod owner;
pub mod peer_message;
pub mod replica;
pub mod shell;
pub mod snapshot_store;
pub mod snapshot_transfer;
pub mod start;
mod state_machine;
mod supervisor;
pub mod timers;
pub mod waiting;
pub mod wire;
mod workers;

pub use error::NodeError;
pub use handle::{
    NodeHandle, NodeStatus, PeerStatus, ProposeError, ReadError, Replication, Request,
};
pub use net::{Security, certificate_name};
pub use node::RunningNode;
pub use options::{Bounds, Options};
pub use state_machine::{SnapshotView, StateMachine, StateMachineError};
