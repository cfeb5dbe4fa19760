//! Makes events from cluster traces. The trace is replayed, and the replayed servers keep node
//! logs.

use std::cell::RefCell;
use std::collections::BTreeMap;

use raft_checker::cluster::{Cluster, Impossible};
use raft_checker::properties::{Property, PropertySet, can_recover};
use raft_checker::protocol::{Memory, Protocol};
use raft_core::{
    Config, Effect, HaltReason, Index, Input, Mark, Node, NodeId, Paper, PersistentState, step,
};
use raft_trace::{Action, ApplyMode, ClusterTrace, DiskMode, Envelope, NodeDigest, NodeRecord};

use super::event::{Event, Flag};
use super::event_builder::EventBuilder;
use super::event_text::MessageText;
use super::event_topic::Topic;

/// The greatest number of servers whose traces are shown. At the end of a trace, every majority is
/// checked for recovery, and larger clusters have too many majorities.
pub const MOST_SERVERS: u64 = 9;

/// A protocol that follows the paper's rules and records every step as a node log does.
#[derive(Default)]
struct Recording {
    records: RefCell<Vec<Recorded>>,
}

struct Recorded {
    server: NodeId,
    record: NodeRecord,
    /// The newest durable write.
    durable: Mark,
}

impl Protocol for Recording {
    fn step(&self, node: &mut Node, _: &mut Memory, input: Input, effects: &mut Vec<Effect>) {
        step(&Paper, node, input.clone(), effects);
        // The cluster's observation shows when a message leaves.
        let kept = effects.iter().filter(|effect| !matches!(effect, Effect::Send { .. }));
        let effects = kept.cloned().collect();
        let record = NodeRecord::Step { seq: 0, input, effects, after: NodeDigest::of(node) };
        let (server, durable) = (node.id(), node.disk.durable);
        self.records.borrow_mut().push(Recorded { server, record, durable });
    }

    fn restart(
        &self,
        config: Config,
        disk: PersistentState,
        applied: Index,
    ) -> Result<Node, HaltReason> {
        let (server, state, durable) = (config.id, disk.clone(), Mark::default());
        let record = NodeRecord::Start { config: config.clone(), state, applied };
        let node = Node::restart(&Paper, config, disk, applied)?;
        self.records.borrow_mut().push(Recorded { server, record, durable });
        Ok(node)
    }
}

/// A cluster trace, replayed step by step.
pub struct Replayed {
    trace: ClusterTrace,
    cluster: Cluster,
    builders: BTreeMap<NodeId, EventBuilder>,
    done: usize,
    /// The properties that are broken so far. A broken property is shown only once.
    broken: PropertySet,
}

/// The reason why a trace is shown only up to some step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// The impossible step, counted from 1.
    pub step: u64,
    /// The reason why it is impossible.
    pub reason: Impossible,
}

impl Replayed {
    /// Creates a cluster before the first step of its trace.
    pub fn new(trace: ClusterTrace) -> Replayed {
        let recording = Recording::default();
        let cluster = Cluster::boot(&trace.settings, &recording);
        let ids = cluster.servers.iter().map(|server| server.id);
        let mut builders: BTreeMap<_, _> = ids.map(|id| (id, EventBuilder::new(id))).collect();
        for Recorded { server, record, .. } in recording.records.take() {
            if let Some(builder) = builders.get_mut(&server) {
                // At the start, all servers exist and are empty. This is not shown.
                builder.events(0, &record, Flag::None);
            }
        }
        Replayed { trace, cluster, builders, done: 0, broken: PropertySet::default() }
    }

    /// Returns the servers.
    pub fn servers(&self) -> Vec<NodeId> {
        self.builders.keys().copied().collect()
    }

    /// Returns a description of the trace, in words.
    pub fn about(&self) -> &str {
        &self.trace.about
    }

    /// Replays the next step and returns its events, or `None` after the last step.
    ///
    /// # Errors
    ///
    /// [`Stuck`] if the step is not possible. Later calls fail in the same way.
    pub fn next_step(&mut self) -> Result<Option<Vec<Event>>, Stuck> {
        let Some(action) = self.trace.actions.get(self.done) else {
            return Ok(None);
        };
        let number = self.done as u64 + 1;
        let recording = Recording::default();
        let observation = self
            .cluster
            .act(&self.trace.settings, &recording, action)
            .map_err(|reason| Stuck { step: number, reason })?;
        let mut events = self.action_events(number);
        let mut durable = Mark::default();
        for recorded in recording.records.take() {
            durable = recorded.durable;
            let silent = usize::from(self.is_silent(&recorded.record));
            if let Some(builder) = self.builders.get_mut(&recorded.server) {
                let more = builder.events(number, &recorded.record, Flag::None);
                events.extend(more.into_iter().skip(silent));
            }
        }
        let server = self.server_of_step();
        if let Some(builder) = self.builders.get_mut(&server) {
            // The model starts to number a server's writes again after each of its steps.
            builder.renumber(durable);
            let sent = observation.sent.into_iter();
            let left: Vec<_> = sent.map(|envelope| (envelope.to, envelope.message)).collect();
            events.extend(builder.sends(number, &left));
        }
        self.done += 1;
        let mut broken = observation.broken;
        if self.done == self.trace.actions.len()
            && can_recover::check(&self.trace.settings, &Paper, &self.cluster).is_err()
        {
            broken.insert(Property::CanRecover);
        }
        events.extend(self.violation_events(number, server, broken));
        Ok(Some(events))
    }

    /// Returns whether the first event of a record is hidden: with an atomic disk, a write is
    /// durable at once, and its report needs no line.
    fn is_silent(&self, record: &NodeRecord) -> bool {
        self.trace.settings.disk == DiskMode::Atomic
            && matches!(record, NodeRecord::Step { input: Input::Durable { .. }, .. })
    }

    /// Returns the server in whose column the next step is shown.
    fn server_of_step(&self) -> NodeId {
        match self.trace.actions.get(self.done) {
            Some(Action::Drop(envelope) | Action::Duplicate(envelope)) => envelope.to,
            Some(action) => action.server().unwrap_or(NodeId(1)),
            None => NodeId(1),
        }
    }

    /// Returns the events of the network and the environment. All other events come from the
    /// records of the servers.
    fn action_events(&mut self, step: u64) -> Vec<Event> {
        let Some(action) = self.trace.actions.get(self.done) else { return Vec::new() };
        match action {
            Action::Drop(envelope) => self.network_events(step, "lost", envelope),
            Action::Duplicate(envelope) => self.network_events(step, "repeated", envelope),
            Action::Crash { server, writes_kept, applied_kept } => {
                let Some(builder) = self.builders.get_mut(server) else { return Vec::new() };
                builder.stop();
                let mut kept = Vec::new();
                if self.trace.settings.disk == DiskMode::Queued {
                    kept.push(format!("{writes_kept} writes"));
                }
                if self.trace.settings.apply == ApplyMode::Separate {
                    kept.push(format!("a{applied_kept}"));
                }
                let kept = if kept.is_empty() {
                    String::new()
                } else {
                    format!(", keeps {}", kept.join(", "))
                };
                vec![builder.event(step, Topic::Boot, None, None, format!("CRASH{kept}"))]
            }
            Action::StartSnapshot { server } => {
                let Some(builder) = self.builders.get(server) else { return Vec::new() };
                let text = "takes a snapshot".to_owned();
                vec![builder.event(step, Topic::Snap, None, None, text)]
            }
            _ => Vec::new(),
        }
    }

    /// Returns the event of a message that is lost or repeated, in the receiver's column.
    fn network_events(&self, step: u64, what: &str, envelope: &Envelope) -> Vec<Event> {
        let Some(builder) = self.builders.get(&envelope.to) else { return Vec::new() };
        let message_text = MessageText::of(&envelope.message);
        let text = format!("{what}: {} {}", envelope.from, message_text.text);
        let term = Some(envelope.message.term());
        vec![builder.event(step, Topic::Drop, term, message_text.indexes, text)]
    }

    /// Returns an event for each newly broken property, in the column of the step's server.
    fn violation_events(&mut self, step: u64, server: NodeId, broken: PropertySet) -> Vec<Event> {
        let known: Vec<Property> = self.broken.iter().collect();
        let fresh = broken.iter().filter(|property| !known.contains(property));
        let Some(builder) = self.builders.get(&server) else { return Vec::new() };
        let event = |property: Property| {
            let text = format!("{} is broken. {}", property.name(), property.sentence());
            Event { flag: Flag::Broken, ..builder.event(step, Topic::Fail, None, None, text) }
        };
        let events = fresh.map(event).collect();
        self.broken.extend(broken);
        events
    }
}
