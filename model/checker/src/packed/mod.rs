//! The cluster model in packed form, fast enough to explore tens of millions of states.
//!
//! Two known techniques, SPIN's collapse mode and `LTSmin`'s transition caching, make the model
//! fast, so that the transition functions need not be optimised and can be written for the reader:
//!
//! - every distinct server (with its disk, its waiting writes and messages, its state machine),
//!   every distinct message and every distinct history is *interned*: a state is a few numbers, and
//!   its fingerprint is computed from the hashes of its parts;
//! - the reaction of a server depends only on that server and on the message or action that it
//!   handles, so each *local transition* is computed once and looked up from then on. Tens of
//!   millions of transitions of the cluster need only some ten thousand local ones.
//!
//! Properties of one server's step are checked when the local transition is computed. Properties of
//! the whole cluster are checked when data has changed that they depend on.

mod state;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use raft_core::Paper;
use raft_explore::MAX_SERVERS;
use raft_explore::hash::{content_hash, mix};
use raft_explore::intern::{Interner, number, pair};
use raft_explore::table::Table;
use raft_trace::{Action, Envelope};

use crate::cluster::Cluster;
use crate::cluster::budget::Used;
use crate::cluster::history::{Fact, History};
use crate::cluster::local_action::LocalAction;
use crate::cluster::rename::Renaming;
use crate::cluster::server::Server;
use crate::config::BoundedConfig;
use crate::properties::{self, Property, PropertySet, View, Witness, WitnessSet};
use crate::property_checks::{broken_by, check_cluster};
use crate::protocol::Protocol;
use crate::script::Start;
use state::Network;
pub use state::{Label, PackedAction, State};

/// The model of one bounded configuration.
pub struct ClusterModel<P: Protocol = Paper> {
    config: BoundedConfig,
    protocol: P,
    /// The renamings under which states are folded: all, or only the one that changes nothing.
    renamings: Vec<Renaming>,
    servers: Interner<KnownServer>,
    messages: Interner<KnownMessage>,
    histories: Interner<KnownHistory>,
    /// The number of a local transition, by server and label.
    transition_ids: Table,
    /// The classes of local transitions up to renaming. Classes are counted because the order of
    /// the threads decides which of several symmetric servers is met first.
    transition_classes: Table,
    /// One local transition of each class: its server, its label, and the budgets used before it.
    samples: boxcar::Vec<(u32, Label, Used)>,
    transitions: boxcar::Vec<LocalTransition>,
    /// The number of a history step, by history and local transition.
    history_step_ids: Table,
    history_steps: boxcar::Vec<(u32, PropertySet)>,
    observed: Observed,
}

struct KnownServer {
    server: Server,
    view: View,
    /// Its hash under each renaming.
    hashes: Box<[u64]>,
    /// The actions that it can do by itself.
    local_actions: Box<[LocalAction]>,
}

struct KnownMessage {
    envelope: Envelope,
    hashes: Box<[u64]>,
    to: u8,
}

struct KnownHistory {
    history: History,
    hash: u64,
}

/// The reaction of one server to one message or action.
struct LocalTransition {
    server: u32,
    sent: Box<[u32]>,
    facts: Box<[Fact]>,
    broken: PropertySet,
    witnessed: WitnessSet,
    /// Whether data changes that the properties of the whole cluster depend on.
    concerns_cluster: bool,
    /// The change of the sum of hashes, without symmetry.
    hash_change: u64,
    /// Whether nothing changes at all.
    idle: bool,
}

/// The observations of the whole exploration.
#[derive(Default)]
struct Observed {
    witnessed: AtomicU32,
    noted: AtomicU32,
    blocked: AtomicU64,
}

/// The result of an action.
pub(crate) enum Next {
    /// The action changes nothing, so it is no transition.
    Idle,
    /// The network is full.
    Blocked,
    /// The next state.
    State(State, Seen),
}

/// The observations about a transition, beside the state that it leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) witnessed: WitnessSet,
    /// All properties that it broke, those included whose violation does not end the search.
    pub(crate) noted: PropertySet,
}

impl Seen {
    /// Returns whether it has all observations of another transition.
    pub(crate) fn shows(self, other: Seen) -> bool {
        let Seen { witnessed, noted } = other;
        self.witnessed.bits() & witnessed.bits() == witnessed.bits()
            && self.noted.bits() & noted.bits() == noted.bits()
    }
}

impl ClusterModel<Paper> {
    /// Makes the model of a configuration under the paper's rules.
    pub fn new(config: BoundedConfig, symmetry: bool) -> ClusterModel<Paper> {
        ClusterModel::with_protocol(config, symmetry, Paper)
    }
}

impl<P: Protocol> ClusterModel<P> {
    /// Makes the model of a configuration with another protocol on its servers.
    pub fn with_protocol(config: BoundedConfig, symmetry: bool, protocol: P) -> ClusterModel<P> {
        let mut renamings = Renaming::all(config.settings.servers);
        renamings.truncate(if symmetry { renamings.len() } else { 1 });
        ClusterModel {
            config,
            protocol,
            renamings,
            servers: Interner::new(),
            messages: Interner::new(),
            histories: Interner::new(),
            transition_ids: Table::new(),
            transition_classes: Table::new(),
            samples: boxcar::Vec::new(),
            transitions: boxcar::Vec::new(),
            history_step_ids: Table::new(),
            history_steps: boxcar::Vec::new(),
            observed: Observed::default(),
        }
    }

    /// Returns the configuration.
    pub fn config(&self) -> &BoundedConfig {
        &self.config
    }

    /// Returns the number of distinct local transitions that have been computed. With symmetry,
    /// transitions that differ only by a renaming of the servers count as one.
    pub fn local_transitions(&self) -> usize {
        self.transition_classes.count()
    }

    /// Returns one local transition of each class: a server, and the action that it does.
    pub fn samples(&self) -> impl Iterator<Item = (Server, Action)> + '_ {
        self.samples.iter().map(|(_, (id, label, used))| {
            let server = self.servers.get(*id).server.clone();
            let action = match label.as_local() {
                Some(action) => used.complete(server.id, action),
                None => Action::Deliver(self.messages.get(label.0).envelope.clone()),
            };
            (server, action)
        })
    }

    /// Returns the witnesses that any transition has reached.
    pub fn witnessed(&self) -> WitnessSet {
        WitnessSet::from_bits(self.observed.witnessed.load(Ordering::Relaxed))
    }

    /// Returns the properties that some transition broke, those included whose violation does not
    /// end a search.
    pub fn noted(&self) -> PropertySet {
        PropertySet::from_bits(self.observed.noted.load(Ordering::Relaxed))
    }

    /// Returns the protocol that runs on its servers.
    pub fn protocol(&self) -> &P {
        &self.protocol
    }

    /// Returns how often a full network made an action impossible.
    pub fn blocked(&self) -> u64 {
        self.observed.blocked.load(Ordering::Relaxed)
    }

    /// Returns the state in which the search begins.
    pub fn init(&self) -> State {
        let Start { cluster, used, broken, .. } = self.config.script().start(&self.protocol);
        let mut servers = [0; MAX_SERVERS];
        for (place, server) in cluster.servers.iter().enumerate() {
            servers[place] = self.intern_server(server);
        }
        let history = self.intern_history(&cluster.history);
        let mut network = Network::EMPTY;
        for (envelope, copies) in &cluster.network {
            for _ in 0..*copies {
                // A mutant may have sent more than the cap allows; the network loses the excess.
                network.put(self.intern_message(envelope), self.config.bounds.in_flight);
            }
        }
        let (orbit, sum, fingerprint) = (1, 0, 0);
        let mut state = State { servers, network, history, used, broken, orbit, sum, fingerprint };
        let server_hash = |id: &u32| self.servers.get(*id).hashes[0];
        let servers = self.server_ids(&state).iter().map(server_hash);
        let message_hash = |id: &u32| self.messages.get(*id).hashes[0];
        let messages = state.network.messages().iter().map(message_hash);
        state.sum = servers.chain(messages).fold(0, u64::wrapping_add);
        self.seal(&mut state);
        state
    }

    /// Returns the actions before the search begins.
    pub fn prefix(&self) -> Vec<Action> {
        self.config.script().start(&self.protocol).actions
    }

    /// Adds all actions that can happen in a state to `actions`. Some of them may turn out to
    /// change nothing.
    pub(crate) fn enabled(&self, state: &State, actions: &mut Vec<PackedAction>) {
        let bounds = &self.config.bounds;
        for (place, id) in (0..).zip(self.server_ids(state)) {
            for action in &self.servers.get(*id).local_actions {
                if bounds.allow(state.used, *action) {
                    let number = match action {
                        LocalAction::Propose => state.used.proposals,
                        LocalAction::Read => state.used.reads,
                        _ => 0,
                    };
                    let label = Label::local(*action, number);
                    actions.push(PackedAction::Local { server: place, label });
                }
            }
        }
        let messages = state.network.messages();
        for (place, message) in messages.iter().copied().enumerate() {
            if place > 0 && messages[place - 1] == message {
                continue;
            }
            let to = usize::from(self.messages.get(message).to);
            if self.servers.get(state.servers[to]).server.process.is_some() {
                actions.push(PackedAction::Deliver { message });
            }
            actions.push(PackedAction::Drop { message });
            if bounds.allow_duplicate(state.used) {
                actions.push(PackedAction::Duplicate { message });
            }
        }
    }

    /// Does an action.
    pub(crate) fn next(&self, state: &State, action: PackedAction) -> Next {
        let mut next = state.clone();
        let mut seen = Seen::default();
        match action {
            PackedAction::Drop { message } => {
                next.network.take(message);
                next.sum = next.sum.wrapping_sub(self.messages.get(message).hashes[0]);
            }
            PackedAction::Duplicate { message } => {
                if !next.network.put(message, self.config.bounds.in_flight) {
                    return Next::Blocked;
                }
                next.used.duplicates += 1;
                next.sum = next.sum.wrapping_add(self.messages.get(message).hashes[0]);
            }
            PackedAction::Deliver { message } => {
                next.network.take(message);
                let server = usize::from(self.messages.get(message).to);
                if !self.react(&mut next, server, Label::deliver(message), &mut seen) {
                    return Next::Blocked;
                }
            }
            PackedAction::Local { server, label } => {
                let place = usize::from(server);
                if self.transition(state.servers[place], label, state.used).1.idle {
                    return Next::Idle;
                }
                if !self.react(&mut next, place, label, &mut seen) {
                    return Next::Blocked;
                }
                next.used = label.as_local().map_or(next.used, |action| next.used.after(action));
            }
        }
        self.seal(&mut next);
        Next::State(next, seen)
    }

    /// Lets one server do its local transition. Returns false if the network has no room for its
    /// messages.
    fn react(&self, next: &mut State, place: usize, label: Label, seen: &mut Seen) -> bool {
        let (id, transition) = self.transition(next.servers[place], label, next.used);
        for message in &transition.sent {
            if !next.network.put(*message, self.config.bounds.in_flight) {
                return false;
            }
        }
        next.servers[place] = transition.server;
        next.sum = next.sum.wrapping_add(transition.hash_change);
        let mut broken = transition.broken;
        seen.witnessed = transition.witnessed;
        if !transition.facts.is_empty() {
            let (history, by_history) = self.history_step(next.history, id, transition);
            next.history = history;
            broken.extend(by_history);
        }
        if transition.concerns_cluster {
            let (by_cluster, witnessed) = self.check_cluster(next);
            broken.extend(by_cluster);
            seen.witnessed.extend(witnessed);
        }
        next.broken = broken.that_end_search();
        seen.noted = broken;
        true
    }

    fn check_cluster(&self, state: &State) -> (PropertySet, WitnessSet) {
        let history = &self.histories.get(state.history).history;
        let mut views = [&self.servers.get(state.servers[0]).view; MAX_SERVERS];
        let ids = self.server_ids(state);
        for (view, id) in views.iter_mut().zip(ids) {
            *view = &self.servers.get(*id).view;
        }
        check_cluster(&views[..ids.len()], history)
    }

    fn history_step(
        &self,
        history: u32,
        id: u32,
        transition: &LocalTransition,
    ) -> (u32, PropertySet) {
        let key = pair(history, id);
        let step = self.history_step_ids.get(key).unwrap_or_else(|| {
            let mut history = self.histories.get(history).history.clone();
            let mut broken = PropertySet::default();
            transition.facts.iter().for_each(|fact| broken.extend(broken_by(history.record(fact))));
            let step = (self.intern_history(&history), broken);
            self.history_step_ids.get_or_insert(key, || number(self.history_steps.push(step)))
        });
        self.history_steps[step as usize]
    }

    /// Looks a local transition up, or computes it.
    fn transition(&self, server: u32, label: Label, used: Used) -> (u32, &LocalTransition) {
        let key = pair(server, label.0);
        let id = self.transition_ids.get(key).unwrap_or_else(|| {
            let transition = self.compute(server, label, used);
            self.transition_ids.get_or_insert(key, || number(self.transitions.push(transition)))
        });
        (id, &self.transitions[id as usize])
    }

    fn compute(&self, id: u32, label: Label, used: Used) -> LocalTransition {
        let known = self.servers.get(id);
        let mut hash_change = known.hashes[0].wrapping_neg();
        let action = if let Some(action) = label.as_local() {
            used.complete(known.server.id, action)
        } else {
            let message = self.messages.get(label.0);
            hash_change = hash_change.wrapping_sub(message.hashes[0]);
            Action::Deliver(message.envelope.clone())
        };
        self.transition_classes.get_or_insert(self.transition_class(known, label), || {
            number(self.samples.push((id, label, used)))
        });
        let mut server = known.server.clone();
        let checked = server
            .act(&self.config.settings, &self.protocol, &action)
            .expect("only possible actions are enabled");
        let server = self.intern_server(&server);
        let sent: Box<[u32]> = checked
            .reaction
            .sent
            .into_iter()
            .map(|envelope| self.intern_message(&envelope))
            .collect();
        let added = sent.iter().map(|message| self.messages.get(*message).hashes[0]);
        let added = added.fold(self.servers.get(server).hashes[0], u64::wrapping_add);
        let facts: Box<[Fact]> = checked.reaction.facts.into();
        let view_changed = self.servers.get(server).view != known.view;
        LocalTransition {
            // A server that refuses to start does not change, but it breaks a property.
            idle: server == id
                && sent.is_empty()
                && label.as_local().is_some()
                && checked.broken.is_empty(),
            server,
            sent,
            broken: checked.broken,
            witnessed: checked.witnessed,
            concerns_cluster: view_changed || !facts.is_empty(),
            facts,
            hash_change: hash_change.wrapping_add(added),
        }
    }

    /// Returns a number that is the same for local transitions which differ only by a renaming.
    fn transition_class(&self, server: &KnownServer, label: Label) -> u64 {
        let cause = |renaming: usize| match label.as_local() {
            Some(_) => mix(u64::from(label.0)),
            None => self.messages.get(label.0).hashes[renaming],
        };
        let hashes = server.hashes.iter().enumerate();
        let renamed = hashes.map(|(renaming, hash)| mix(hash.wrapping_add(mix(cause(renaming)))));
        renamed.fold(0, u64::wrapping_add)
    }

    /// Computes the fingerprint of a state and, with symmetry, the number of states that it stands
    /// for.
    fn seal(&self, state: &mut State) {
        let rest = mix(state.used.packed())
            .wrapping_add(self.histories.get(state.history).hash)
            .wrapping_add(mix(u64::from(state.broken.bits())));
        if self.renamings.len() == 1 {
            state.fingerprint = mix(state.sum.wrapping_add(rest));
            return;
        }
        let servers = self.server_ids(state).iter().map(|id| &self.servers.get(*id).hashes);
        let messages = state.network.messages().iter().map(|id| &self.messages.get(*id).hashes);
        let mut sums = [rest; RENAMINGS];
        let sums = &mut sums[..self.renamings.len()];
        for hashes in servers.chain(messages) {
            for (sum, hash) in sums.iter_mut().zip(hashes) {
                *sum = sum.wrapping_add(*hash);
            }
        }
        // A sum over all renamings is the same for all states of an orbit. Unlike a minimum, it
        // keeps all bits.
        let total = sums.iter().fold(0u64, |total, sum| total.wrapping_add(mix(*sum)));
        let unmoved = sums.iter().filter(|sum| **sum == sums[0]).count();
        state.fingerprint = mix(total);
        state.orbit = u16::try_from(sums.len() / unmoved).unwrap_or(u16::MAX);
    }

    fn intern_server(&self, server: &Server) -> u32 {
        let hash = content_hash(server);
        self.servers.intern(
            hash,
            |known| known.server == *server,
            || {
                let renamed = self.renamings.iter().map(|renaming| renaming.server(server));
                KnownServer {
                    view: View::of(server),
                    hashes: renamed.map(|server| content_hash(&server)).collect(),
                    local_actions: server
                        .local_actions(&self.config.settings, self.config.bounds.max_term())
                        .into(),
                    server: server.clone(),
                }
            },
        )
    }

    fn intern_message(&self, envelope: &Envelope) -> u32 {
        let hash = content_hash(envelope);
        self.messages.intern(
            hash,
            |known| known.envelope == *envelope,
            || {
                let renamed = self.renamings.iter().map(|renaming| renaming.envelope(envelope));
                KnownMessage {
                    hashes: renamed.map(|envelope| content_hash(&envelope)).collect(),
                    to: u8::try_from(envelope.to.0 - 1).expect("ids are small"),
                    envelope: envelope.clone(),
                }
            },
        )
    }

    fn intern_history(&self, history: &History) -> u32 {
        let hash = content_hash(history);
        self.histories.intern(
            hash,
            |known| known.history == *history,
            || KnownHistory { history: history.clone(), hash },
        )
    }

    fn server_ids<'s>(&self, state: &'s State) -> &'s [u32] {
        let count = usize::try_from(self.config.settings.servers).unwrap_or(MAX_SERVERS);
        &state.servers[..count.min(MAX_SERVERS)]
    }

    /// Returns the plain form of a state.
    pub fn unpack(&self, state: &State) -> Cluster {
        let server = |id: &u32| self.servers.get(*id).server.clone();
        let mut cluster = Cluster {
            servers: self.server_ids(state).iter().map(server).collect(),
            network: std::collections::BTreeMap::new(),
            history: self.histories.get(state.history).history.clone(),
        };
        for message in state.network.messages() {
            let envelope = self.messages.get(*message).envelope.clone();
            *cluster.network.entry(envelope).or_default() += 1;
        }
        cluster
    }

    /// Returns the plain form of an action in a state.
    ///
    /// # Panics
    ///
    /// If the action was made for another model.
    pub fn unpack_action(&self, state: &State, action: PackedAction) -> Action {
        let envelope = |message: u32| self.messages.get(message).envelope.clone();
        match action {
            PackedAction::Deliver { message } => Action::Deliver(envelope(message)),
            PackedAction::Drop { message } => Action::Drop(envelope(message)),
            PackedAction::Duplicate { message } => Action::Duplicate(envelope(message)),
            PackedAction::Local { server, label } => {
                let id = state.servers[usize::from(server)];
                let local = label.as_local().expect("a local action has a local label");
                state.used.complete(self.servers.get(id).server.id, local)
            }
        }
    }

    /// Returns the properties that are broken in a state which is visited for the first time: those
    /// that the step to it broke, and can-recover where the configuration asks for it and a
    /// majority cannot recover.
    pub(crate) fn examine(&self, state: &State, seen: &mut Seen) -> PropertySet {
        let mut broken = state.broken;
        if self.config.recover {
            let BoundedConfig { settings, .. } = &self.config;
            match properties::can_recover::check(settings, &self.protocol, &self.unpack(state)) {
                Ok(true) => seen.witnessed.insert(Witness::RecoveredWithoutLeader),
                Ok(false) => {}
                Err(_) => broken.insert(Property::CanRecover),
            }
        }
        broken
    }

    /// Records the observations about a transition.
    pub(crate) fn note(&self, seen: Seen) {
        let note = |all: &AtomicU32, bits: u32| {
            if all.load(Ordering::Relaxed) & bits != bits {
                all.fetch_or(bits, Ordering::Relaxed);
            }
        };
        note(&self.observed.witnessed, seen.witnessed.bits());
        note(&self.observed.noted, seen.noted.bits());
    }

    /// Records that a full network made actions impossible.
    pub(crate) fn note_blocked(&self, count: u64) {
        self.observed.blocked.fetch_add(count, Ordering::Relaxed);
    }
}

/// The number of renamings of [`MAX_SERVERS`] servers.
const RENAMINGS: usize = 120;

const _: () = assert!(MAX_SERVERS == 5, "5! renamings");
