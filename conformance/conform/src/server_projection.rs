//! A trace of a cluster, as one of its servers sees it.

use raft_core::NodeId;
use raft_trace::{Action, Settings};

/// What happens to one server of a trace.
#[derive(Clone, Debug)]
pub(super) struct Projected<'a> {
    /// How the cluster is set up.
    pub(super) settings: &'a Settings,
    /// The server.
    pub(super) id: NodeId,
    /// What happens to it.
    pub(super) actions: Vec<Action>,
}
