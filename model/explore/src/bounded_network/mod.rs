//! Exploration over a network with bounds: the messages in flight at once, and those that are
//! repeated.
//!
//! A state has a multiset of messages. Each message arrives, is lost or is repeated. An action that
//! sends more messages than fit is not possible. States are compared by fingerprints of 64 bits.
//!
//! Properties of one server's step are checked when the local transition is computed. Properties of
//! all servers are checked when a change can affect them.

pub mod level;
pub mod path;
mod state;
pub mod stateright;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::hash::mix;
use crate::intern::pair;
use crate::local::{Label, Local, ServerId, Transition, UsedId};
use crate::message_set::MessageId;
use crate::system::{Findings, Initial, Input, MAX_SERVERS, RunStep, System};
use crate::table::Table;
pub use state::MAX_IN_FLIGHT;
use state::{Action, Network, State};

/// The bounds of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The most messages in flight at once, at most [`MAX_IN_FLIGHT`].
    pub in_flight: usize,
    /// How many messages the network repeats.
    pub repeats: u8,
}

/// The counts of a search. They are exact when the search has come to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Visited states.
    pub distinct: u64,
    /// The number of states that they stand for, if states were folded.
    pub orbit: u64,
    /// Enabled actions of visited states that change something.
    pub transitions: u64,
    /// A hash of the visited states, which does not depend on their order.
    pub hash: u64,
    /// The longest of the shortest paths to a state; only a search in level order knows it.
    pub depth: Option<u64>,
}

/// A system over a bounded network.
pub struct Model<S: System> {
    bounds: Bounds,
    local: Local<S>,
    /// The actions of a server, by server and budgets.
    action_ids: Table,
    actions: boxcar::Vec<Box<[(Label, UsedId)]>>,
    observed: Observed,
}

/// The observations of the whole exploration.
#[derive(Default)]
struct Observed {
    witnessed: AtomicU64,
    broken: AtomicU64,
    blocked: AtomicU64,
}

/// The result of an action.
pub(crate) enum Next {
    /// The action changes nothing, so it is no transition.
    Idle,
    /// The network is full.
    Blocked,
    /// The next state, with the findings of the step to it. The findings include properties whose
    /// violation does not end the search.
    State(State, Findings),
}

impl<S: System> Model<S> {
    /// Makes the model of a system.
    pub fn new(system: Arc<S>, bounds: Bounds, symmetry: bool) -> Model<S> {
        Model {
            bounds,
            local: Local::new(system, symmetry, false),
            action_ids: Table::new(),
            actions: boxcar::Vec::new(),
            observed: Observed::default(),
        }
    }

    /// Returns the system.
    pub fn system(&self) -> &S {
        &self.local.system
    }

    /// Returns one local transition of each class: a server, and its input. With symmetry,
    /// transitions that differ only by a renaming of the servers are one class. The order of the
    /// threads decides which of them it is.
    pub fn local_transitions(&self) -> Vec<(&S::Server, Input<'_, S>)> {
        let transitions = self.local.classes().into_iter();
        let with_input =
            |(_, (server, label))| (self.local.server(server), self.local.input(label));
        transitions.map(with_input).collect()
    }

    /// Returns the findings of all transitions, including violations that do not end a search.
    pub fn findings(&self) -> Findings {
        Findings {
            broken: self.observed.broken.load(Ordering::Relaxed),
            witnessed: self.observed.witnessed.load(Ordering::Relaxed),
        }
    }

    /// Returns how often a full network made an action impossible.
    pub fn blocked(&self) -> u64 {
        self.observed.blocked.load(Ordering::Relaxed)
    }

    /// Returns the state in which the search begins.
    pub(crate) fn init(&self) -> State {
        let local = &self.local;
        let Initial { servers, sent, used, history, findings } = local.system.initial();
        let mut ids = [0; MAX_SERVERS];
        for (id, server) in ids.iter_mut().zip(&servers) {
            *id = local.intern_server(server);
        }
        let history = local.intern_history(&history);
        let mut network = Network::EMPTY;
        for message in &sent {
            // A system may have sent more than the cap allows; the network loses the excess.
            network.put(local.intern_message(message), self.bounds.in_flight);
        }
        let mut state = State {
            servers: ids,
            network,
            history,
            used: local.intern_used(used),
            repeats: 0,
            broken: findings.broken & local.system.ends_search(),
            orbit: 1,
            sum: 0,
            fingerprint: 0,
        };
        let servers = self.server_ids(&state).iter().map(|id| local.server_hashes(*id)[0]);
        let messages = state.network.messages().iter().map(|id| local.message_hashes(*id)[0]);
        state.sum = servers.chain(messages).fold(0, u64::wrapping_add);
        self.seal(&mut state);
        state
    }

    /// Adds all actions that can happen in a state to `actions`. Some of them may turn out to
    /// change nothing.
    pub(crate) fn enabled(&self, state: &State, actions: &mut Vec<Action>) {
        for (server, id) in (0..).zip(self.server_ids(state)) {
            let possible = self.actions(*id, state.used).iter();
            actions.extend(possible.map(|(label, used)| {
                let (label, used) = (*label, *used);
                Action::Act { server, label, used }
            }));
        }
        let messages = state.network.messages();
        for (place, message) in messages.iter().copied().enumerate() {
            if place > 0 && messages[place - 1] == message {
                continue;
            }
            actions.push(Action::Deliver { message });
            actions.push(Action::Drop { message });
            if state.repeats < self.bounds.repeats {
                actions.push(Action::Duplicate { message });
            }
        }
    }

    fn actions(&self, server: ServerId, used: UsedId) -> &[(Label, UsedId)] {
        let id = self.action_ids.get_or_compute(pair(server, used), || {
            let list = self.local.action_list(server, used).into();
            crate::intern::number(self.actions.push(list))
        });
        &self.actions[id as usize]
    }

    /// Does an action.
    pub(crate) fn next(&self, state: &State, action: Action) -> Next {
        let mut next = state.clone();
        let mut findings = Findings::default();
        match action {
            Action::Drop { message } => {
                next.network.take(message);
                next.sum = next.sum.wrapping_sub(self.local.message_hashes(message)[0]);
            }
            Action::Duplicate { message } => {
                if !next.network.put(message, self.bounds.in_flight) {
                    return Next::Blocked;
                }
                next.repeats += 1;
                next.sum = next.sum.wrapping_add(self.local.message_hashes(message)[0]);
            }
            Action::Deliver { message } => {
                let server = self.local.receiver(message);
                let (id, transition) =
                    self.local.transition(state.servers[server], Label::receive(message));
                let Some(transition) = transition else { return Next::Idle };
                next.network.take(message);
                next.sum = next.sum.wrapping_sub(self.local.message_hashes(message)[0]);
                if !self.react(&mut next, server, id, transition, &mut findings) {
                    return Next::Blocked;
                }
            }
            Action::Act { server, label, used } => {
                let server = usize::from(server);
                let (id, transition) = self.local.transition(state.servers[server], label);
                let Some(transition) = transition else { return Next::Idle };
                if self.changes_nothing(state, server, id, transition) {
                    return Next::Idle;
                }
                if !self.react(&mut next, server, id, transition, &mut findings) {
                    return Next::Blocked;
                }
                next.used = used;
            }
        }
        self.seal(&mut next);
        Next::State(next, findings)
    }

    /// Decides whether an action changes neither the server nor the network nor the history. A server
    /// that refuses to start does not change, but breaks a property.
    fn changes_nothing(
        &self,
        state: &State,
        place: usize,
        id: u32,
        transition: &Transition<S>,
    ) -> bool {
        transition.server == state.servers[place]
            && transition.sent.is_empty()
            && transition.findings.broken == 0
            && self.local.history_step(state.history, id, &transition.facts).0 == state.history
    }

    /// Lets one server do its local transition. Returns false if the network has no room for its
    /// messages.
    fn react(
        &self,
        next: &mut State,
        place: usize,
        id: u32,
        transition: &Transition<S>,
        findings: &mut Findings,
    ) -> bool {
        let hash = |id: ServerId| self.local.server_hashes(id)[0];
        for message in &transition.sent {
            if !next.network.put(*message, self.bounds.in_flight) {
                return false;
            }
            next.sum = next.sum.wrapping_add(self.local.message_hashes(*message)[0]);
        }
        let before = next.servers[place];
        if transition.server != before {
            next.sum = next.sum.wrapping_sub(hash(before)).wrapping_add(hash(transition.server));
            next.servers[place] = transition.server;
        }
        findings.extend(transition.findings);
        if !transition.facts.is_empty() {
            let (history, by_history) =
                self.local.history_step(next.history, id, &transition.facts);
            next.history = history;
            findings.extend(by_history);
        }
        if transition.affects_check {
            findings.extend(self.check(next));
        }
        next.broken = findings.broken & self.local.system.ends_search();
        true
    }

    fn check(&self, state: &State) -> Findings {
        let ids = self.server_ids(state);
        let mut servers = [self.local.server(state.servers[0]); MAX_SERVERS];
        for (server, id) in servers.iter_mut().zip(ids) {
            *server = self.local.server(*id);
        }
        self.local.system.check(&servers[..ids.len()], self.local.history(state.history))
    }

    /// Computes the fingerprint of a state and, with symmetry, the number of states that it stands
    /// for.
    fn seal(&self, state: &mut State) {
        let rest = mix(self.local.used_hash(state.used).wrapping_add(u64::from(state.repeats)))
            .wrapping_add(self.local.history_hash(state.history))
            .wrapping_add(mix(state.broken));
        let renamings = self.local.renamings.len();
        if renamings == 1 {
            state.fingerprint = mix(state.sum.wrapping_add(rest));
            return;
        }
        let servers = self.server_ids(state).iter().map(|id| self.local.server_hashes(*id));
        let messages = state.network.messages().iter().map(|id| self.local.message_hashes(*id));
        let mut sums = [rest; RENAMINGS];
        let sums = &mut sums[..renamings];
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

    fn server_ids<'s>(&self, state: &'s State) -> &'s [ServerId] {
        &state.servers[..self.local.renamings[0].len()]
    }

    /// Returns the step of an action.
    ///
    /// # Panics
    ///
    /// If the action was made for another model.
    pub(crate) fn step(&self, action: Action) -> RunStep<S> {
        let message = |id: MessageId| self.local.message(id).clone();
        match action {
            Action::Deliver { message: id } => RunStep::Receive(message(id)),
            Action::Drop { message: id } => RunStep::Lose(message(id)),
            Action::Duplicate { message: id } => RunStep::Repeat(message(id)),
            Action::Act { server, label, .. } => match self.local.input(label) {
                Input::Act(action) => RunStep::Act(usize::from(server), action),
                Input::Receive(_) => unreachable!("an action has the label of an action"),
            },
        }
    }

    /// Returns the properties that are broken in a state which is visited for the first time: those
    /// that the step to it broke, and those that [`System::examine`] finds. Adds all findings of the
    /// latter to `findings`.
    pub(crate) fn examine(&self, state: &State, findings: &mut Findings) -> u64 {
        let system = &self.local.system;
        if !system.examines() {
            return state.broken;
        }
        let servers = self.server_ids(state).iter().map(|id| self.local.server(*id));
        let in_flight = state.network.messages().iter().map(|id| self.local.message(*id));
        let (servers, in_flight): (Vec<_>, Vec<_>) = (servers.collect(), in_flight.collect());
        let examined = system.examine(&servers, &in_flight, self.local.history(state.history));
        findings.extend(examined);
        state.broken | examined.broken & system.ends_search()
    }

    /// Records the findings of a transition.
    pub(crate) fn note(&self, findings: Findings) {
        let note = |all: &AtomicU64, bits: u64| {
            if all.load(Ordering::Relaxed) & bits != bits {
                all.fetch_or(bits, Ordering::Relaxed);
            }
        };
        note(&self.observed.witnessed, findings.witnessed);
        note(&self.observed.broken, findings.broken);
    }

    /// Records that a full network made actions impossible.
    pub(crate) fn note_blocked(&self, count: u64) {
        self.observed.blocked.fetch_add(count, Ordering::Relaxed);
    }
}

/// The number of renamings of [`MAX_SERVERS`] servers.
const RENAMINGS: usize = 120;

const _: () = assert!(MAX_SERVERS == 5, "5! renamings");
