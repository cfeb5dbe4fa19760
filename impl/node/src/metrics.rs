//! What a node counts and publishes.

use raft_core::{Entry, Node, Payload};

use crate::shell::Shell;

/// About how much memory the entries take.
pub(crate) fn log_bytes(node: &Node) -> u64 {
    let size = |entry: &Entry| match &entry.payload {
        Payload::Noop => 64,
        Payload::Command(command) => 64 + command.as_slice().len() as u64,
    };
    node.log.entries().iter().map(size).sum()
}

/// The numbers of one node; they are named as `/metrics` names them.
#[derive(Clone)]
pub(crate) struct Numbers {
    pub(crate) proposals: metrics::Counter,
    pub(crate) received: metrics::Counter,
    pub(crate) overloaded: metrics::Counter,
    term: metrics::Gauge,
    leads: metrics::Gauge,
    last_index: metrics::Gauge,
    commit_index: metrics::Gauge,
    applied_index: metrics::Gauge,
    snapshot_index: metrics::Gauge,
    log_bytes: metrics::Gauge,
    unanswered: metrics::Gauge,
    /// The length of the last snapshot that was taken.
    pub(crate) snapshot_bytes: u64,
}

impl Numbers {
    pub(crate) fn new() -> Numbers {
        Numbers {
            proposals: metrics::counter!("raft_proposals_total"),
            received: metrics::counter!("raft_messages_received_total"),
            overloaded: metrics::counter!("raft_overloaded_total"),
            term: metrics::gauge!("raft_term"),
            leads: metrics::gauge!("raft_is_leader"),
            last_index: metrics::gauge!("raft_last_index"),
            commit_index: metrics::gauge!("raft_commit_index"),
            applied_index: metrics::gauge!("raft_applied_index"),
            snapshot_index: metrics::gauge!("raft_snapshot_index"),
            log_bytes: metrics::gauge!("raft_log_bytes"),
            unanswered: metrics::gauge!("raft_unanswered_proposals"),
            snapshot_bytes: 0,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
    pub(crate) fn publish(&self, shell: &Shell, log_bytes: u64) {
        let node = shell.node();
        self.term.set(node.current_term.0 as f64);
        self.leads.set(if node.is_leader() { 1.0 } else { 0.0 });
        self.last_index.set(node.log.last_index().0 as f64);
        self.commit_index.set(node.commit_index.0 as f64);
        self.applied_index.set(node.last_applied.0 as f64);
        self.snapshot_index.set(node.log.base().index.0 as f64);
        self.log_bytes.set(log_bytes as f64);
        self.unanswered.set(shell.unanswered() as f64);
    }
}
