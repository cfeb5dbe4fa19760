//! The cluster of a configuration as a system for [`raft_explore`].
//!
//! Terms, proposals, reads, crashes and snapshots are bounded. The network is one of two:
//!
//! - with bounds, on messages in flight, repetitions and heartbeats;
//! - any network: any number of messages can be in flight, each can be lost or repeated any number
//!   of times, and heartbeats use no budget.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use raft_core::{Index, LogPosition, Message, NodeId, Paper, RequestVote, Role, Term};
use raft_explore::{
    Findings, Initial, Input, MAX_SERVERS, Relevance, RunStep, Step, System, bounded_network,
};
use raft_trace::{Action, DiskMode, Envelope};
use serde::{Deserialize, Serialize};

use crate::cluster::Cluster;
use crate::cluster::budget::Used;
use crate::cluster::history::{Fact, History};
use crate::cluster::local_action::LocalAction;
use crate::cluster::rename::Renaming;
use crate::cluster::server::Server;
use crate::config::{BoundedConfig, Network};
use crate::properties::{Property, PropertySet, View, Witness, WitnessSet, can_recover};
use crate::property_checks::{CheckedAction, broken_by, check_cluster};
use crate::protocol::Protocol;
use crate::script::Start;

/// The cluster of a configuration over one of the two networks.
#[derive(Debug)]
pub struct BoundedCluster<P: Protocol> {
    config: BoundedConfig,
    network: Network,
    protocol: P,
    renamings: Vec<Renaming>,
}

/// A server, with the view of it that the properties of the cluster use.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Server", into = "Server")]
pub struct ViewedServer {
    /// The server.
    pub server: Server,
    view: View,
}

impl From<Server> for ViewedServer {
    fn from(server: Server) -> ViewedServer {
        let view = View::of(&server);
        ViewedServer { server, view }
    }
}

impl From<ViewedServer> for Server {
    fn from(viewed: ViewedServer) -> Server {
        viewed.server
    }
}

impl PartialEq for ViewedServer {
    fn eq(&self, other: &ViewedServer) -> bool {
        self.server == other.server
    }
}

impl Eq for ViewedServer {}

impl Hash for ViewedServer {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.server.hash(hasher);
    }
}

/// An action of a server, with the number of the proposal or read if it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NumberedAction {
    action: LocalAction,
    number: u8,
}

impl NumberedAction {
    /// Returns the complete action of a server.
    pub fn of(self, server: NodeId) -> Action {
        let NumberedAction { action, number } = self;
        Used { proposals: number, reads: number, ..Used::default() }.complete(server, action)
    }
}

/// The cluster of a configuration over a bounded network.
pub type BoundedModel<P> = bounded_network::Model<BoundedCluster<P>>;

/// Returns the cluster of a configuration over a bounded network, with a protocol on its servers.
pub fn bounded_model<P: Protocol + Send + Sync>(
    config: &BoundedConfig,
    symmetry: bool,
    protocol: P,
) -> BoundedModel<P> {
    let before = config.script().start(&protocol).used;
    let bounds = bounded_network::Bounds {
        in_flight: config.bounds.in_flight,
        repeats: config.bounds.duplicates.saturating_sub(before.duplicates),
    };
    let system = BoundedCluster::new(config.clone(), Network::Bounded, protocol);
    bounded_network::Model::new(Arc::new(system), bounds, symmetry)
}

/// Returns the actions of a configuration's script, under the paper's rules. They happen before the
/// search begins.
pub fn script(config: &BoundedConfig) -> Vec<Action> {
    config.script().start(&Paper).actions
}

/// Returns local transitions with their inputs as actions.
pub fn as_actions<'t, P: Protocol + Send + Sync>(
    transitions: Vec<(&'t ViewedServer, Input<'t, BoundedCluster<P>>)>,
) -> impl Iterator<Item = (&'t Server, Action)> {
    transitions.into_iter().map(|(ViewedServer { server, .. }, input)| match input {
        Input::Receive(message) => (server, Action::Deliver(message.clone())),
        Input::Act(action) => (server, action.of(server.id)),
    })
}

impl<P: Protocol> BoundedCluster<P> {
    /// Returns the cluster of a configuration over a network, with a protocol on its servers.
    pub fn new(config: BoundedConfig, network: Network, protocol: P) -> BoundedCluster<P> {
        let renamings = Renaming::all(config.settings.servers);
        BoundedCluster { config, network, protocol, renamings }
    }

    /// Returns the configuration.
    pub fn config(&self) -> &BoundedConfig {
        &self.config
    }

    /// Returns the protocol that runs on the servers.
    pub fn protocol(&self) -> &P {
        &self.protocol
    }
}

fn place(id: NodeId) -> usize {
    usize::try_from(id.0.saturating_sub(1)).unwrap_or(usize::MAX)
}

fn findings(broken: PropertySet, witnessed: WitnessSet) -> Findings {
    Findings { broken: u64::from(broken.bits()), witnessed: u64::from(witnessed.bits()) }
}

impl<P: Protocol + Send + Sync> System for BoundedCluster<P> {
    type Server = ViewedServer;
    type Message = Envelope;
    type Action = NumberedAction;
    type Used = Used;
    type History = History;
    type Fact = Fact;

    fn initial(&self) -> Initial<Self> {
        let Start { cluster, used, broken, .. } = self.config.script().start(&self.protocol);
        let copies = |(message, copies): (Envelope, usize)| std::iter::repeat_n(message, copies);
        Initial {
            servers: cluster.servers.into_iter().map(ViewedServer::from).collect(),
            sent: cluster.network.into_iter().flat_map(copies).collect(),
            used: match self.network {
                // Repetitions are counted by the network.
                Network::Bounded => Used { duplicates: 0, ..used },
                Network::Any => Used { heartbeats: 0, duplicates: 0, ..used },
            },
            history: cluster.history,
            findings: findings(broken, WitnessSet::default()),
        }
    }

    fn receiver(&self, message: &Envelope) -> usize {
        place(message.to)
    }

    fn actions(&self, server: &ViewedServer, used: Used) -> Vec<(NumberedAction, Used)> {
        let BoundedConfig { settings, bounds, .. } = &self.config;
        let actions = server.server.local_actions(settings, bounds.max_term()).into_iter();
        let within = actions.filter_map(|action| match action {
            LocalAction::Heartbeat if self.network == Network::Any => Some((action, 0, used)),
            _ if !bounds.allow(used, action) => None,
            LocalAction::Propose => Some((action, used.proposals, used.after(action))),
            LocalAction::Read => Some((action, used.reads, used.after(action))),
            _ => Some((action, 0, used.after(action))),
        });
        within.map(|(action, number, after)| (NumberedAction { action, number }, after)).collect()
    }

    fn step(&self, server: &ViewedServer, input: Input<'_, Self>) -> Option<Step<Self>> {
        let mut after = server.server.clone();
        let action = match input {
            Input::Receive(message) => Action::Deliver(message.clone()),
            Input::Act(action) => action.of(after.id),
        };
        let CheckedAction { reaction, broken, witnessed } =
            after.act(&self.config.settings, &self.protocol, &action).ok()?;
        if self.network == Network::Any {
            keep_earliest_copies(&mut after);
        }
        Some(Step {
            server: ViewedServer::from(after),
            sent: reaction.sent,
            facts: reaction.facts,
            findings: findings(broken, witnessed),
        })
    }

    fn record(&self, history: &mut History, fact: &Fact) -> Findings {
        findings(broken_by(history.record(fact)), WitnessSet::default())
    }

    fn check(&self, servers: &[&ViewedServer], history: &History) -> Findings {
        let mut views = [&servers[0].view; MAX_SERVERS];
        for (view, server) in views.iter_mut().zip(servers) {
            *view = &server.view;
        }
        let (broken, witnessed) = check_cluster(&views[..servers.len()], history);
        findings(broken, witnessed)
    }

    fn affects_check(&self, before: &ViewedServer, after: &ViewedServer) -> bool {
        before.view != after.view
    }

    fn examines(&self) -> bool {
        self.config.recover
    }

    fn examine(
        &self,
        servers: &[&ViewedServer],
        in_flight: &[&Envelope],
        history: &History,
    ) -> Findings {
        let mut network: BTreeMap<Envelope, usize> = BTreeMap::new();
        for message in in_flight {
            *network.entry((*message).clone()).or_default() += 1;
        }
        let servers = servers.iter().map(|server| server.server.clone()).collect();
        let cluster = Cluster { servers, network, history: history.clone() };
        let (mut broken, mut witnessed) = (PropertySet::default(), WitnessSet::default());
        match can_recover::check(&self.config.settings, &self.protocol, &cluster) {
            Ok(true) => witnessed.insert(Witness::RecoveredWithoutLeader),
            Ok(false) => {}
            Err(_) => broken.insert(Property::CanRecover),
        }
        findings(broken, witnessed)
    }

    fn ends_search(&self) -> u64 {
        PropertySet::all().that_end_search().bits().into()
    }

    fn progress(&self, servers: &[&ViewedServer], used: Used) -> u64 {
        let mut sums = [0u64; 7];
        for ViewedServer { server, view } in servers {
            let process = server.process.as_ref();
            let applied = server.state_machine.len() as u64 + server.disk.log.last_index().0;
            let matched: u64 = view.matches.iter().map(|(_, index)| index.0).sum();
            let next = process.map_or(0, |process| match &process.node.role {
                Role::Leader(leadership) => {
                    leadership.followers.values().map(|f| f.next_index.0).sum()
                }
                _ => 0,
            });
            let votes = view.votes.len() + 2 * usize::from(view.leads.is_some());
            let terms = view.term.0 + view.disk_term.0;
            let of_server =
                [terms, votes as u64, view.log.len() as u64, view.commit.0, applied, matched, next];
            sums.iter_mut().zip(of_server).for_each(|(sum, part)| *sum += part);
        }
        let bounded = used.crashes + used.proposals + used.reads + used.snapshots;
        sums.iter().fold(u64::from(bounded), |all, sum| all << 8 | (*sum).min(255))
    }

    fn renamings(&self) -> Vec<Vec<usize>> {
        let ids = 1..=self.config.settings.servers;
        let places =
            |renaming: &Renaming| ids.clone().map(|id| place(renaming.id(NodeId(id)))).collect();
        self.renamings.iter().map(places).collect()
    }

    fn rename_server(&self, renaming: usize, server: &ViewedServer) -> ViewedServer {
        ViewedServer::from(self.renamings[renaming].server(&server.server))
    }

    fn rename_message(&self, renaming: usize, message: &Envelope) -> Envelope {
        self.renamings[renaming].envelope(message)
    }

    /// Compares with the durable term of the receiver, because a crash can undo a later term.
    fn relevance(&self, message: &Envelope, receiver: &ViewedServer) -> Relevance<Self> {
        let durable = receiver.server.disk.current_term;
        let term = message.message.term();
        let is_request = matches!(
            message.message,
            Message::RequestVote(_) | Message::AppendEntries(_) | Message::InstallSnapshot(_)
        );
        if is_request {
            // The receiver answers every request of an older term with its own term. If the answer
            // has to wait for a write, the state of the server shows which request it answers.
            let same = term < durable && self.config.settings.disk == DiskMode::Atomic;
            return if same { Relevance::Like(stale_request(message)) } else { Relevance::Live };
        }
        // A reply matters to a server that is a candidate or the leader in the reply's term. A
        // server that has left such a role never returns to it within the term. To all other
        // servers, a reply only shows its term.
        let node = receiver.server.process.as_ref().map(|process| &process.node);
        let in_office = node.is_some_and(|node| {
            node.current_term == term && !matches!(node.role, Role::Follower { .. })
        });
        if term <= durable && !in_office { Relevance::Dead } else { Relevance::Live }
    }
}

/// Returns the least of all requests that the sender may have sent to the receiver.
fn stale_request(message: &Envelope) -> Envelope {
    let last_log = LogPosition { term: Term::ZERO, index: Index::ZERO };
    let request = RequestVote { term: Term(1), last_log };
    Envelope { from: message.from, to: message.to, message: Message::RequestVote(request) }
}

/// Returns the actions of the script before the search, then those of a run.
pub fn actions<P: Protocol + Send + Sync>(
    config: &BoundedConfig,
    protocol: &P,
    steps: Vec<RunStep<BoundedCluster<P>>>,
) -> Vec<Action> {
    let mut actions = config.script().start(protocol).actions;
    actions.extend(steps.into_iter().map(|step| match step {
        RunStep::Act(place, action) => action.of(NodeId(place as u64 + 1)),
        RunStep::Receive(message) => Action::Deliver(message),
        RunStep::Lose(message) => Action::Drop(message),
        RunStep::Repeat(message) => Action::Duplicate(message),
    }));
    actions
}

/// Returns the actions of the script before the search, then those of a run over any network. In
/// the plain cluster, a delivery removes the message from the network. So a message that is
/// delivered again later is repeated first.
pub fn any_network_actions<P: Protocol + Send + Sync>(
    config: &BoundedConfig,
    protocol: &P,
    steps: Vec<RunStep<BoundedCluster<P>>>,
) -> Vec<Action> {
    let Start { mut cluster, actions: mut all, .. } = config.script().start(protocol);
    let steps = actions(config, protocol, steps).split_off(all.len());
    for (place, step) in steps.iter().enumerate() {
        if let Action::Deliver(envelope) = step
            && cluster.network.get(envelope) == Some(&1)
            && steps[place + 1..].contains(step)
        {
            let repeat = Action::Duplicate(envelope.clone());
            // A message that is on the network can be repeated.
            let _ = cluster.act(&config.settings, protocol, &repeat);
            all.push(repeat);
        }
        let _ = cluster.act(&config.settings, protocol, step);
        all.push(step.clone());
    }
    all
}

/// Returns the properties of the bits of findings.
pub fn broken_properties(bits: u64) -> PropertySet {
    PropertySet::from_bits(u32::try_from(bits).unwrap_or(u32::MAX))
}

/// Returns the witnesses of the bits of findings.
pub fn reached_witnesses(bits: u64) -> WitnessSet {
    WitnessSet::from_bits(u32::try_from(bits).unwrap_or(u32::MAX))
}

/// Keeps the earliest of equal messages that wait for writes. The network can repeat it, so the
/// later copies are not needed. Without this, every repetition of a request would add another
/// answer.
fn keep_earliest_copies(server: &mut Server) {
    if let Some(process) = server.process.as_mut() {
        let mut seen = BTreeSet::new();
        process.outbox.retain(|(_, envelope)| seen.insert(envelope.clone()));
    }
}
