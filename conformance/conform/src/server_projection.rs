//! The part of a cluster's trace that concerns one server.

use raft_core::NodeId;
use raft_trace::{Action, Settings};

/// The actions of one server in a trace.
#[derive(Clone, Debug)]
pub(super) struct Projected<'a> {
    /// The settings of the cluster.
    pub(super) settings: &'a Settings,
    /// The server.
    pub(super) id: NodeId,
    /// The actions of the server.
    pub(super) actions: Vec<Action>,
}
