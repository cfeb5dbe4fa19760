//! The metrics of a node, and their descriptions.
//!
//! The names follow the conventions of Prometheus: base units, `_total` for counters. Each label
//! has few values: the peers of a cluster, or words that are fixed in the source.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use metrics::{Counter, Gauge, Unit};
use raft_core::{Entry, Node, NodeId, Payload, Rejection, Role, Term};

use crate::shell::Shell;

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that never decreases while the process runs.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// A distribution of observed values.
    Histogram,
}

impl Kind {
    /// Returns the name of the type in Prometheus' text format.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// A metric, as it is documented and exposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The unit of its values.
    pub unit: Unit,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// Its description, in one or two sentences.
    pub help: &'static str,
}

/// Describes a metric that counts events.
pub const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, unit: Unit::Count, labels, help }
}

/// Describes a metric that goes up and down.
pub const fn gauge(
    name: &'static str,
    unit: Unit,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Gauge, unit, labels, help }
}

/// Describes a metric that is a distribution.
pub const fn histogram(
    name: &'static str,
    unit: Unit,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Histogram, unit, labels, help }
}

/// All metrics of a node.
pub const METRICS: &[Metric] = &[
    gauge("raft_term", Unit::Count, &[], "The current term."),
    gauge("raft_is_leader", Unit::Count, &[], "1 on a server that leads, else 0."),
    counter("raft_elections_started_total", &[], "Elections that this server called."),
    counter(
        "raft_leader_changes_total",
        &[],
        "How often this server came to know another leader than before, or one of another term.",
    ),
    gauge("raft_last_index", Unit::Count, &[], "The index of the last entry of the log."),
    gauge("raft_commit_index", Unit::Count, &[], "The highest index known to be committed."),
    gauge("raft_applied_index", Unit::Count, &[], "The last index that the state reflects."),
    gauge(
        "raft_snapshot_index",
        Unit::Count,
        &[],
        "The last index that the snapshot at the base of the log covers.",
    ),
    gauge("raft_log_bytes", Unit::Bytes, &[], "Memory that the entries of the log take, about."),
    gauge(
        "raft_follower_lag_entries",
        Unit::Count,
        &["peer"],
        "Entries of this leader's log that the peer is not known to have. 0 on others than the leader.",
    ),
    gauge(
        "raft_follower_lag_bytes",
        Unit::Bytes,
        &["peer"],
        "The same in bytes, without what the snapshot covers. 0 on others than the leader.",
    ),
    counter("raft_proposals_total", &[], "Commands that clients asked this server to replicate."),
    gauge("raft_unanswered_proposals", Unit::Count, &[], "Commands that wait for their answer."),
    counter(
        "raft_overloaded_total",
        &[],
        "Commands of clients that were refused, and entries of a leader that were dropped, because \
         too much was under way.",
    ),
    counter("raft_messages_sent_total", &["peer"], "Messages that were queued for the peer."),
    counter(
        "raft_messages_dropped_total",
        &["peer"],
        "Messages that were dropped because the queue for the peer was full.",
    ),
    counter("raft_messages_received_total", &[], "Messages that were received from peers."),
    counter(
        "raft_rejected_messages_total",
        &["reason"],
        "Messages that no correct server can have sent.",
    ),
    counter(
        "raft_rejected_frames_total",
        &["reason"],
        "What came to the port for servers and was refused, damaged, or broke off.",
    ),
    gauge(
        "raft_peer_connections",
        Unit::Count,
        &["direction"],
        "Connections with peers, after their greeting, by who dialled: this server (outgoing) or the \
         peer (incoming).",
    ),
    histogram(
        "raft_disk_commit_seconds",
        Unit::Seconds,
        &[],
        "How long one transaction of the log took to be written and synced.",
    ),
    histogram(
        "raft_snapshot_duration_seconds",
        Unit::Seconds,
        &["operation"],
        "How long it took to take, send, receive or restore a snapshot, when that succeeded.",
    ),
    histogram(
        "raft_snapshot_size_bytes",
        Unit::Bytes,
        &["operation"],
        "The sizes of the snapshots that were taken, sent, received or restored.",
    ),
    counter(
        "raft_snapshot_failures_total",
        &["operation"],
        "Snapshots that could not be sent or received to the end.",
    ),
];

/// Gives the descriptions of the metrics to the installed recorder.
pub fn describe<'m>(metrics: impl IntoIterator<Item = &'m Metric>) {
    for Metric { name, kind, unit, help, .. } in metrics {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *unit, *help),
            Kind::Gauge => metrics::describe_gauge!(*name, *unit, *help),
            Kind::Histogram => metrics::describe_histogram!(*name, *unit, *help),
        }
    }
}

/// An operation on a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SnapshotOperation {
    Take,
    Send,
    Receive,
    Restore,
}

impl SnapshotOperation {
    const ALL: [SnapshotOperation; 4] = [
        SnapshotOperation::Take,
        SnapshotOperation::Send,
        SnapshotOperation::Receive,
        SnapshotOperation::Restore,
    ];

    fn label(self) -> &'static str {
        match self {
            SnapshotOperation::Take => "take",
            SnapshotOperation::Send => "send",
            SnapshotOperation::Receive => "receive",
            SnapshotOperation::Restore => "restore",
        }
    }

    fn duration(self) -> metrics::Histogram {
        metrics::histogram!("raft_snapshot_duration_seconds", "operation" => self.label())
    }

    fn size(self) -> metrics::Histogram {
        metrics::histogram!("raft_snapshot_size_bytes", "operation" => self.label())
    }

    /// Records a success of the operation, with a snapshot of `length` bytes.
    #[expect(clippy::cast_precision_loss, reason = "a histogram's values are floating point")]
    pub(crate) fn done(self, began: Instant, length: u64) {
        self.duration().record(began.elapsed());
        self.size().record(length as f64);
    }

    /// Counts a failure of the operation.
    pub(crate) fn failed(self) {
        self.failures().increment(1);
    }

    fn failures(self) -> Counter {
        metrics::counter!("raft_snapshot_failures_total", "operation" => self.label())
    }
}

/// The direction of a connection between servers. The server that dialled sees it as outgoing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Incoming,
    Outgoing,
}

/// A guard that counts a connection as open for as long as the guard exists.
#[derive(Debug)]
pub(crate) struct OpenConnection(Gauge);

impl OpenConnection {
    pub(crate) fn new(direction: Direction) -> OpenConnection {
        let gauge = peer_connections(direction);
        gauge.increment(1);
        OpenConnection(gauge)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

fn peer_connections(direction: Direction) -> Gauge {
    let label = match direction {
        Direction::Incoming => "incoming",
        Direction::Outgoing => "outgoing",
    };
    metrics::gauge!("raft_peer_connections", "direction" => label)
}

/// Returns the counter of messages that no correct server can have sent.
pub(crate) fn rejected_message(rejection: Rejection) -> Counter {
    let reason = match rejection {
        Rejection::UnknownSender => "unknown_sender",
        Rejection::Malformed => "malformed",
        Rejection::SecondLeader => "second_leader",
        Rejection::ContradictsCommitted => "contradicts_committed",
        Rejection::AcknowledgesUnsent => "acknowledges_unsent",
    };
    metrics::counter!("raft_rejected_messages_total", "reason" => reason)
}

/// Returns the counter of refused, damaged or broken input on the port for servers.
pub(crate) fn rejected_frame(reason: &'static str) -> Counter {
    metrics::counter!("raft_rejected_frames_total", "reason" => reason)
}

/// Returns the histogram of the durations of the log's transactions.
pub(crate) fn disk_commits() -> metrics::Histogram {
    metrics::histogram!("raft_disk_commit_seconds")
}

/// Returns the approximate memory that the entries take, in bytes.
pub(crate) fn log_bytes(entries: &[Entry]) -> u64 {
    let size = |entry: &Entry| match &entry.payload {
        Payload::Noop => 64,
        Payload::Command(command) => 64 + command.as_slice().len() as u64,
    };
    entries.iter().map(size).sum()
}

/// The metrics of one node.
#[derive(Clone)]
pub(crate) struct NodeMetrics {
    handles: Arc<Handles>,
    /// The last leader that the node knew, and its term.
    leader: Option<(Term, NodeId)>,
    /// The length of the last snapshot that was taken or installed, in bytes.
    pub(crate) snapshot_bytes: u64,
}

struct Handles {
    proposals: Counter,
    received: Counter,
    overloaded: Counter,
    elections: Counter,
    leader_changes: Counter,
    term: Gauge,
    is_leader: Gauge,
    last_index: Gauge,
    commit_index: Gauge,
    applied_index: Gauge,
    snapshot_index: Gauge,
    log_bytes: Gauge,
    unanswered: Gauge,
    /// The lag of each peer, in entries and in bytes.
    lag: BTreeMap<NodeId, (Gauge, Gauge)>,
}

impl NodeMetrics {
    /// Registers all metrics, so that each one exists before its first event.
    pub(crate) fn new(node: &Node) -> NodeMetrics {
        for operation in SnapshotOperation::ALL {
            drop((operation.duration(), operation.size()));
        }
        drop((SnapshotOperation::Send.failures(), SnapshotOperation::Receive.failures()));
        drop([Direction::Incoming, Direction::Outgoing].map(peer_connections));
        for rejection in [
            Rejection::UnknownSender,
            Rejection::Malformed,
            Rejection::SecondLeader,
            Rejection::ContradictsCommitted,
            Rejection::AcknowledgesUnsent,
        ] {
            drop(rejected_message(rejection));
        }
        drop(rejected_frame("refused"));
        let lag = |peer: NodeId| {
            let label = peer.0.to_string();
            let entries = metrics::gauge!("raft_follower_lag_entries", "peer" => label.clone());
            let bytes = metrics::gauge!("raft_follower_lag_bytes", "peer" => label);
            (peer, (entries, bytes))
        };
        let handles = Handles {
            proposals: metrics::counter!("raft_proposals_total"),
            received: metrics::counter!("raft_messages_received_total"),
            overloaded: metrics::counter!("raft_overloaded_total"),
            elections: metrics::counter!("raft_elections_started_total"),
            leader_changes: metrics::counter!("raft_leader_changes_total"),
            term: metrics::gauge!("raft_term"),
            is_leader: metrics::gauge!("raft_is_leader"),
            last_index: metrics::gauge!("raft_last_index"),
            commit_index: metrics::gauge!("raft_commit_index"),
            applied_index: metrics::gauge!("raft_applied_index"),
            snapshot_index: metrics::gauge!("raft_snapshot_index"),
            log_bytes: metrics::gauge!("raft_log_bytes"),
            unanswered: metrics::gauge!("raft_unanswered_proposals"),
            lag: node.peers().map(lag).collect(),
        };
        NodeMetrics { handles: Arc::new(handles), leader: None, snapshot_bytes: 0 }
    }

    pub(crate) fn proposed(&self, commands: usize) {
        self.handles.proposals.increment(commands as u64);
    }

    pub(crate) fn received(&self) {
        self.handles.received.increment(1);
    }

    pub(crate) fn overloaded(&self) {
        self.handles.overloaded.increment(1);
    }

    pub(crate) fn election_started(&self) {
        self.handles.elections.increment(1);
    }

    /// Counts a leader change if the known leader or its term is new.
    pub(crate) fn observe_leader(&mut self, node: &Node) {
        let Some(leader) = node.known_leader() else { return };
        let leader = Some((node.current_term, leader));
        if self.leader != leader {
            self.leader = leader;
            self.handles.leader_changes.increment(1);
        }
    }

    /// Sets the gauges. `log_bytes` is the size of the whole log.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
    pub(crate) fn publish(&self, shell: &Shell, log_bytes: u64) {
        let (node, handles) = (shell.node(), &self.handles);
        handles.term.set(node.current_term.0 as f64);
        handles.is_leader.set(if node.is_leader() { 1.0 } else { 0.0 });
        handles.last_index.set(node.log.last_index().0 as f64);
        handles.commit_index.set(node.commit_index.0 as f64);
        handles.applied_index.set(node.last_applied.0 as f64);
        handles.snapshot_index.set(node.log.base().index.0 as f64);
        handles.log_bytes.set(log_bytes as f64);
        handles.unanswered.set(shell.unanswered() as f64);
        for (peer, (entries, bytes)) in &handles.lag {
            let lag = lag(node, *peer, log_bytes).unwrap_or_default();
            entries.set(lag.entries as f64);
            bytes.set(lag.bytes as f64);
        }
    }
}

/// The part of a leader's log that a follower is not known to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lag {
    entries: u64,
    /// The size of the missing entries that the log still holds. `log_bytes` if the follower lacks
    /// all of the log's entries.
    bytes: u64,
}

/// Returns the lag of a peer, or none if this server does not lead.
fn lag(node: &Node, peer: NodeId, log_bytes_in_all: u64) -> Option<Lag> {
    let Role::Leader(leadership) = &node.role else { return None };
    let matched = leadership.followers.get(&peer)?.match_index;
    let bytes = if matched <= node.log.base().index {
        log_bytes_in_all
    } else {
        log_bytes(node.log.entries_from(matched.next(), usize::MAX))
    };
    Some(Lag { entries: node.log.last_index().since(matched), bytes })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use raft_core::{
        AppendEntriesReply, AppendOutcome, Bytes, Config, Index, Input, Limits, Message, Paper,
        ReadRound, RequestVoteReply,
    };

    use super::*;
    use crate::shell::ProposalId;

    const OTHERS: [NodeId; 2] = [NodeId(2), NodeId(3)];

    /// Returns a candidate of term 1 that has voted for itself, in a cluster of three servers.
    fn candidate() -> Shell {
        let voters = BTreeSet::from([NodeId(1), OTHERS[0], OTHERS[1]]);
        let config = Config { id: NodeId(1), voters, limits: Limits::default() };
        let mut shell = Shell::new(Node::boot(&Paper, config).expect("a sound configuration"));
        shell.input(Input::ElectionTimeout, None);
        let (mark, _) = shell.take_writes().expect("its vote");
        shell.input(Input::Durable { mark }, None);
        shell
    }

    fn receive(shell: &mut Shell, message: Message) {
        shell.input(Input::Receive { from: OTHERS[0], message }, None);
    }

    #[test]
    fn the_lag_of_a_follower_is_what_lies_behind_its_match() {
        let mut shell = candidate();
        assert_eq!(lag(shell.node(), OTHERS[0], 0), None, "it does not lead");
        let reply = RequestVoteReply { term: Term(1), granted: true };
        receive(&mut shell, Message::RequestVoteReply(reply));
        let outcome = AppendOutcome::Matched { match_index: Index(1) };
        let reply = AppendEntriesReply { term: Term(1), outcome, read_round: ReadRound(0) };
        receive(&mut shell, Message::AppendEntriesReply(reply));
        let commands = ["four", "letters"].map(|text| (ProposalId(1), Bytes::from(text)));
        shell.propose(commands.into(), None);

        let node = shell.node();
        let all = log_bytes(node.log.entries());
        assert_eq!(all, 3 * 64 + 4 + 7);
        let ahead = Lag { entries: 2, bytes: 2 * 64 + 4 + 7 };
        assert_eq!(lag(node, OTHERS[0], all), Some(ahead));
        assert_eq!(lag(node, OTHERS[1], all), Some(Lag { entries: 3, bytes: all }));
    }
}
