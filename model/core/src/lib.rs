//! Raft's transition functions as pure code. The crate implements *In Search of an Understandable
//! Consensus Algorithm* (Ongaro and Ousterhout, 2014; "the paper") and Ongaro's dissertation ("the
//! thesis") as one function, [`step`]. The function takes a node and an input, changes the node,
//! and emits a list of effects.
//!
//! The crate does no I/O. It has no disk, no network, no clock and no randomness: timeouts and
//! finished writes come in as [`Input`], writes and messages go out as [`Effect`]. Therefore a
//! model checker, a production server and a conformance test can all run *this* code, and the
//! server behaves as the checker has explored it.
//!
//! # The order of writes and messages
//!
//! A step neither writes nor sends. It emits [`Effect::Persist`] with a [`Mark`], and
//! [`Effect::Send`] with the mark of the write that must be durable before the message may leave.
//! The caller may have any number of writes under way, in order; [`Input::Durable`] reports the
//! newest durable one. The following has to wait for the disk:
//!
//! - every reply waits for the newest write issued so far, even if its own step wrote nothing;
//! - RequestVote waits for the term and the log tail that it advertises;
//! - a candidate's own vote and a leader's own entries count only when they are durable;
//! - an entry is applied, and a snapshot restored, only when the log that contains it is durable.
//!
//! A leader's AppendEntries need not wait (thesis, section 10.2.1): followers may write in parallel
//! with the leader's own disk.
//!
//! # Example
//!
//! ```
//! use std::collections::BTreeSet;
//!
//! use raft_core::{Config, Effect, Input, Limits, Node, NodeId, Paper, step};
//!
//! # fn main() -> Result<(), raft_core::HaltReason> {
//! // Server 1 of three starts for the first time, and its election timeout runs out.
//! let voters = BTreeSet::from([NodeId(1), NodeId(2), NodeId(3)]);
//! let config = Config { id: NodeId(1), voters, limits: Limits::default() };
//! let mut node = Node::boot(&Paper, config)?;
//! let mut effects = Vec::new();
//! step(&Paper, &mut node, Input::ElectionTimeout, &mut effects);
//!
//! // Its term and its vote have to be on the disk before it may ask the others for their votes.
//! let vote = effects.iter().find_map(|effect| match effect {
//!     Effect::Persist { mark, .. } => Some(*mark),
//!     _ => None,
//! });
//! let waits = |effect: &&Effect| matches!(effect, Effect::Send { after, .. } if *after == vote);
//! assert_eq!(effects.iter().filter(waits).count(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! # Where to look
//!
//! | paper | here |
//! | --- | --- |
//! | Figure 2, State | [`Node`], [`Log`] |
//! | 5.2 and 5.4.1, leader election | `election.rs` |
//! | 5.3, log replication, leader | `replication.rs` |
//! | 5.3, log replication, follower | `append_entries.rs` |
//! | 5.3 and 5.4.2, commitment | `commit.rs` |
//! | 7, log compaction | `snapshot.rs` |
//! | 8, read-only operations | `read_index.rs` |
//! | every sentence of the paper that the code enforces | [`Rule`] |

#![forbid(unsafe_code)]

mod append_entries;
mod commit;
mod effect;
mod election;
mod log;
mod message;
mod message_validation;
mod node;
mod persistent_state;
pub mod quorum;
mod read_index;
mod replication;
mod rules;
mod snapshot;
mod step;
mod types;

pub use effect::{Effect, HaltReason, Input, LogWrite, ReadRefusal, Rejection, VoteRecord, Write};
pub use log::{Log, LogPosition, Snapshot, TermAt};
pub use message::{
    AppendEntries, AppendEntriesReply, AppendOutcome, InstallOutcome, InstallSnapshot,
    InstallSnapshotReply, Message, RequestVote, RequestVoteReply,
};
pub use node::{
    Config, DiskProgress, Leadership, Limits, Node, Pace, PendingRead, Progress, Role, Unsynced,
};
pub use persistent_state::PersistentState;
pub use rules::{Handler, Paper, Rule, RuleText, Rules};
pub use step::step;
pub use types::{
    Bytes, DISK_LIMIT, Entry, Index, Mark, NUMBER_LIMIT, NodeId, Payload, ReadId, ReadRound, Term,
};
