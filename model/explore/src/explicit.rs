//! A model of a [`System`] with explicit message sets and without reductions, for stateright's
//! search.
//!
//! The reductions are compared with this search. It visits every reachable state, and never counts
//! two different states as one.

use std::collections::{BTreeSet, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use stateright::{Checker, Model, Property};

use crate::system::{Findings, Initial, Input, Step, System};

/// Servers, budgets and history.
type Tuple<S> = (Vec<<S as System>::Server>, <S as System>::Used, <S as System>::History);

/// The result of a plain search.
pub struct Visited<S: System> {
    /// The number of distinct states.
    pub states: usize,
    /// Their distinct tuples of servers, budgets and history.
    pub tuples: HashSet<Tuple<S>>,
    /// All properties that were broken and situations that occurred.
    pub findings: Findings,
}

/// Visits every state of a system, depth first.
pub fn search<S: System + 'static>(system: S) -> Visited<S>
where
    S::Message: Ord,
{
    let model = ExplicitNetwork { system, visited: Mutex::default() };
    let checker = model.checker().spawn_dfs().join();
    let states = checker.unique_state_count();
    let visited = std::mem::take(&mut *checker.model().visited());
    Visited { states, tuples: visited.0, findings: visited.1 }
}

struct ExplicitNetwork<S: System> {
    system: S,
    visited: Mutex<(HashSet<Tuple<S>>, Findings)>,
}

impl<S: System> ExplicitNetwork<S> {
    fn visited(&self) -> MutexGuard<'_, (HashSet<Tuple<S>>, Findings)> {
        self.visited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the actions of all servers within the bounds, each with the place of its server and
    /// the budgets after it.
    fn possible_actions(&self, state: &State<S>) -> Vec<(usize, S::Action, S::Used)> {
        let servers = state.tuple.0.iter().enumerate();
        let actions = servers.flat_map(|(place, server)| {
            let actions = self.system.actions(server, state.tuple.1).into_iter();
            actions.map(move |(action, used)| (place, action, used))
        });
        actions.collect()
    }

    fn visit(&self, state: &State<S>, findings: Findings) {
        let mut visited = self.visited();
        visited.1.extend(findings);
        if !visited.0.contains(&state.tuple) {
            let servers: Vec<&S::Server> = state.tuple.0.iter().collect();
            visited.1.extend(self.system.check(&servers, &state.tuple.2));
            if self.system.examines() {
                visited.1.extend(self.system.examine(&servers, &[], &state.tuple.2));
            }
            visited.0.insert(state.tuple.clone());
        }
    }
}

struct State<S: System> {
    tuple: Tuple<S>,
    sent: BTreeSet<S::Message>,
}

impl<S: System + 'static> Model for ExplicitNetwork<S>
where
    S::Message: Ord,
{
    type State = State<S>;
    /// The place of a message among those that were sent, or after them that of an action.
    type Action = usize;

    fn init_states(&self) -> Vec<State<S>> {
        let Initial { servers, sent, used, history, findings } = self.system.initial();
        let state = State { tuple: (servers, used, history), sent: sent.into_iter().collect() };
        self.visit(&state, findings);
        vec![state]
    }

    fn actions(&self, state: &State<S>, actions: &mut Vec<usize>) {
        actions.extend(0..state.sent.len() + self.possible_actions(state).len());
    }

    fn next_state(&self, state: &State<S>, choice: usize) -> Option<State<S>> {
        let (mut servers, mut used, mut history) = state.tuple.clone();
        let (place, input) = if let Some(message) = state.sent.iter().nth(choice) {
            (self.system.receiver(message), Input::Receive(message))
        } else {
            let (place, action, after) =
                self.possible_actions(state).swap_remove(choice - state.sent.len());
            used = after;
            (place, Input::Act(action))
        };
        let Step { server, sent: messages, facts, mut findings } =
            self.system.step(&servers[place], input)?;
        servers[place] = server;
        for fact in &facts {
            findings.extend(self.system.record(&mut history, fact));
        }
        let mut sent = state.sent.clone();
        sent.extend(messages);
        let next = State { tuple: (servers, used, history), sent };
        self.visit(&next, findings);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        // Without a property, stateright explores nothing.
        vec![Property::always("explored", |_, _| true)]
    }
}

impl<S: System> Clone for State<S> {
    fn clone(&self) -> State<S> {
        State { tuple: self.tuple.clone(), sent: self.sent.clone() }
    }
}

impl<S: System> Hash for State<S>
where
    S::Message: Ord,
{
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.tuple.hash(hasher);
        self.sent.hash(hasher);
    }
}

impl<S: System> PartialEq for State<S>
where
    S::Message: Ord,
{
    fn eq(&self, other: &State<S>) -> bool {
        self.tuple == other.tuple && self.sent == other.sent
    }
}
