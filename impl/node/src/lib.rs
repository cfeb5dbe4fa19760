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
//! # Example
//!
//! One server, whose state is the number of commands. `examples/counter.rs` has three, and snapshots.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::io::Read;
//!
//! use raft_core::{Bytes, Entry, Index, NodeId, Payload};
//! use raft_node::{Options, RunningNode, SnapshotView, StateMachine, StateMachineError};
//!
//! #[derive(Default)]
//! struct Commands {
//!     applied: Index,
//!     count: u64,
//! }
//!
//! impl StateMachine for Commands {
//!     fn applied(&self) -> Index {
//!         self.applied
//!     }
//!
//!     fn apply(&mut self, first: Index, entries: &[Entry]) -> Result<Vec<Bytes>, StateMachineError> {
//!         self.applied = first.prev().plus(entries.len());
//!         let mut answer = |entry: &Entry| {
//!             self.count += u64::from(entry.payload != Payload::Noop);
//!             Bytes::from(self.count.to_string().as_str())
//!         };
//!         Ok(entries.iter().map(&mut answer).collect())
//!     }
//!
//!     fn snapshot(&self) -> Result<Box<dyn SnapshotView>, StateMachineError> {
//!         Err("this example is too short for snapshots".into())
//!     }
//!
//!     fn restore(&mut self, _: Index, _: &mut dyn Read) -> Result<(), StateMachineError> {
//!         Err("this example is too short for snapshots".into())
//!     }
//!
//!     fn sync(&mut self) -> Result<(), StateMachineError> {
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let home = tempfile::tempdir()?;
//! let voters = BTreeMap::from([(NodeId(1), "127.0.0.1:1".to_owned())]);
//! let listen = "127.0.0.1:0".parse()?;
//! let options = Options::new("example", NodeId(1), voters, listen, home.path().join("data"));
//! let node = RunningNode::start(options, Box::new(Commands::default()))?;
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! runtime.block_on(async {
//!     // It does not lead yet, for some hundred milliseconds.
//!     while node.handle.read_barrier().await.is_err() {
//!         tokio::task::yield_now().await;
//!     }
//!     let answer = node.handle.propose(Bytes::from("a command")).await?;
//!     assert_eq!(answer.as_slice(), b"1");
//!     node.handle.shutdown().await;
//!     Ok::<_, raft_node::ProposeError>(())
//! })?;
//! node.join()?;
//! # Ok(())
//! # }
//! ```
//!
//! # When something fails
//!
//! A write or a sync that fails stops the node, for good: what a disk holds after a failed sync
//! nobody knows until it has been read again. A log that is damaged is not opened. The panic of a thread
//! stops the node as well, with the reason. A message that no correct server can have sent is counted and
//! ignored. A queue that is full drops messages, as a
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
pub mod orders;
mod owner;
mod panic_supervisor;
pub mod peer_message;
pub mod pending_requests;
pub mod replica;
pub mod shell;
pub mod snapshot_store;
pub mod snapshot_transfer;
pub mod start;
mod state_machine;
pub mod timers;
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
