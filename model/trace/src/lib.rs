//! Traces of Raft clusters: the steps of a run, as lines of JSON. People and programs can read and
//! write them, and replay them years later.
//!
//! A [`ClusterTrace`] is an explicit list of [`Action`]s with the [`Settings`] under which they are
//! possible. It never holds a random seed or the number of an action in some list. The meaning of
//! both changes as soon as anything is reordered.
//!
//! A file is one header line, one line for each step, and a last line with the number of steps, so
//! that a truncated file is recognised:
//!
//! ```json
//! {"schema":"raft-cluster-trace","version":2,"settings":{"servers":3, ..},"about":".."}
//! {"step":1,"action":{"election_timeout":{"server":1}}}
//! {"end":{"steps":1}}
//! ```

mod action;
mod file;
mod node_log;

pub use action::{Action, ApplyMode, DiskMode, Envelope, Settings};
pub use file::{ClusterTrace, SCHEMA, TraceError, VERSION};
pub use node_log::{NODE_LOG_SCHEMA, NODE_LOG_VERSION, NodeDigest, NodeRecord};
