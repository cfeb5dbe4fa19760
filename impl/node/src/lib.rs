//! The runtime around raft-core. It turns the pure step function of raft-core into a server whose
//! acknowledged writes survive a power failure.
//!
//! raft-core contains the rules of Raft, and a model checker has explored them. This crate contains
//! everything else, in parts that can be run one step at a time. In production, threads run the
//! parts. A test can run them itself and stop between any two steps:
//!
//! | task | module | must not |
//! | --- | --- | --- |
//! | step the node, queue the effects | [`shell`] | send a message before its write is durable |
//! | store term, vote and log on the disk | [`log_store`] | report a write before it is durable |
//! | store snapshots as files | [`snapshot_store`] | name a file that is not complete and durable |
//! | run the state machine's tasks | [`applier`] | apply entries out of order |
//! | encode and decode messages | [`wire`] | trust received bytes |
//! | time elections and heartbeats | [`timers`] | affect safety |
//!
//! [`RunningNode`] runs these parts on threads. One task owns the node: it drains its inboxes,
//! calls the step function, sends the messages that may be sent, and gives all waiting writes to
//! the disk as *one* transaction. While one transaction is being synced, the next one collects
//! writes. A leader sends its entries to the followers while its own disk is still writing them.
//! The state machine works in parallel. To take a snapshot, the state machine only returns a view
//! of its state. The snapshot is written and sent in the background, at a bounded rate.
//!
//! A user implements [`StateMachine`], and calls [`NodeHandle::propose`] and
//! [`NodeHandle::read_barrier`].
//!
//! # Example
//!
//! One server, whose state is the number of commands. `examples/counter.rs` has three servers, and
//! snapshots.
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
//!     // For the first few hundred milliseconds the server does not lead.
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
//! A failed write or sync stops the node permanently, because the contents of the disk after a
//! failed sync are unknown until they are read again. A damaged log is not opened. A panic in a
//! thread also stops the node, and the error contains the reason. A message that no correct server
//! can have sent is counted and ignored. A full queue of messages drops further messages, as a
//! network may drop them. A full queue of requests refuses further requests, with an error which
//! says that nothing was done.

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
