//! The search over any network.
//!
//! States are expanded in an order ([`Order`]), some hundred at a time. In the order of their servers'
//! progress, nearly every tuple has all of its messages before its states are expanded. So few of the
//! expanded states become part of other states later.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::antichains::{Antichains, Insertion, Kept, StateId};
use super::inbox::Inboxes;
use super::removal_check::removals_hold;
use super::run;
use super::state::{State, Tuple};
use crate::control::Control;
use crate::local::{Local, LocalTransition};
use crate::system::{Findings, Input, RunStep, System};

/// The options of a search.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The number of threads.
    pub threads: usize,
    /// Whether states that differ by a renaming of the servers count as one.
    pub symmetry: bool,
    /// Whether messages that can no longer make a difference are removed.
    pub prune: bool,
    /// The order in which states are expanded.
    pub order: Order,
    /// The number of expanded states after which the search gives up.
    pub most_expanded: u64,
}

/// One thread, every reduction, and the order that takes the least time.
impl Default for Options {
    fn default() -> Options {
        Options {
            threads: 1,
            symmetry: true,
            prune: true,
            order: Order::Progress,
            most_expanded: u64::MAX,
        }
    }
}

/// The order in which states are expanded. The kept states are the same for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By the progress of the servers ([`System::progress`]). Few states become part of others after
    /// they were expanded, so a whole exploration takes the least time.
    Progress,
    /// By the number of steps. It finds short runs early.
    Breadth,
}

/// The result of a search.
pub struct Outcome<S: System> {
    /// The kept states, in numbers. Their steps and their hash are counted only if everything was
    /// explored.
    pub kept: Kept,
    /// The number of expanded states, including those that became part of other states later.
    pub expanded: u64,
    /// The number of distinct pairs of a server and an input, up to a renaming of the servers.
    pub local_transitions: u64,
    /// All properties that were broken and situations that occurred.
    pub findings: Findings,
    /// Whether everything was explored.
    pub complete: bool,
    /// Whether everything was explored, and the messages that were removed make no difference to this
    /// system. Otherwise states may be missing, and the search has to be repeated without removing.
    pub removals_hold: bool,
    /// A run that breaks a property, and the property's bit. No step can be left out of it.
    pub violation: Option<(Vec<RunStep<S>>, u64)>,
}

/// An exploration that has ended.
pub struct Exploration<S: System> {
    /// The result.
    pub outcome: Outcome<S>,
    inboxes: Inboxes<S>,
    antichains: Antichains,
    local_transitions: Vec<LocalTransition>,
}

impl<S: System> Exploration<S> {
    /// Calls `look` with every tuple of servers, budgets and history that was reached. With
    /// symmetry, calls it with one tuple of each class.
    pub fn for_each_tuple(&self, mut look: impl FnMut(Vec<&S::Server>, S::Used, &S::History)) {
        let local = &self.inboxes.local;
        for Tuple { servers, used, history } in self.antichains.tuples() {
            let servers = servers[..self.inboxes.count()].iter().map(|id| local.server(*id));
            look(servers.collect(), local.used(used), local.history(history));
        }
    }

    /// Returns one local transition of each class: a server, and its input. With symmetry,
    /// transitions that differ only by a renaming of the servers are one class. A message that makes
    /// no difference to the server is no input.
    pub fn local_transitions(&self) -> Vec<(&S::Server, Input<'_, S>)> {
        let local = &self.inboxes.local;
        let transitions = self.local_transitions.iter();
        transitions.map(|(server, label)| (local.server(*server), local.input(*label))).collect()
    }
}

/// Explores all states of a system over a network that loses, repeats and reorders messages without
/// bounds.
///
/// # Panics
///
/// If no threads can be started.
pub fn search<S: System>(system: &Arc<S>, options: Options, control: &Control) -> Outcome<S> {
    explore(system, options, control).outcome
}

/// Explores like [`search`], and returns everything that was reached.
///
/// # Panics
///
/// If no threads can be started.
pub fn explore<S: System>(system: &Arc<S>, options: Options, control: &Control) -> Exploration<S> {
    let local = Local::new(Arc::clone(system), options.symmetry, options.prune);
    let mut search = Search {
        inboxes: Inboxes::new(local),
        antichains: Antichains::new(),
        control,
        order: options.order,
        most_expanded: options.most_expanded,
        expanded: AtomicU64::new(0),
        observed: Mutex::new(Observed::default()),
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build();
    let pool = pool.expect("threads can be started");
    let complete = pool.install(|| search.explore());
    let Search { inboxes, antichains, expanded, observed, .. } = search;
    let kept = pool
        .install(|| if complete { antichains.count(&inboxes) } else { antichains.count_roughly() });
    // The check below looks at pairs of servers and messages that did not meet.
    let local_transitions = inboxes.local.classes();
    let checked = || !options.prune || removals_hold(&inboxes, &antichains.tuples());
    let removals_hold = complete && pool.install(checked);
    let observed = observed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let first = observed.first.iter().min_by_key(|(bit, _)| system.ends_search() & 1 << **bit == 0);
    let violation = first.and_then(|(bit, parent)| {
        let chain = antichains.chain(&inboxes, *parent);
        Some((run::find(&inboxes, &chain, 1 << bit)?, 1 << bit))
    });
    let outcome = Outcome {
        kept,
        expanded: expanded.into_inner(),
        local_transitions: local_transitions.len() as u64,
        findings: observed.findings,
        complete,
        removals_hold,
        violation,
    };
    Exploration { outcome, inboxes, antichains, local_transitions }
}

struct Search<'a, S: System> {
    inboxes: Inboxes<S>,
    antichains: Antichains,
    control: &'a Control,
    order: Order,
    most_expanded: u64,
    expanded: AtomicU64,
    observed: Mutex<Observed>,
}

/// A state that is expanded, and its place in the order.
#[derive(Clone, Copy)]
struct Parent {
    id: StateId,
    rank: u64,
}

#[derive(Default)]
struct Observed {
    findings: Findings,
    /// The state whose step broke a property first, for each broken property.
    first: BTreeMap<u32, StateId>,
}

/// The number of states that a thread expands before it checks whether the search is over.
const CHUNK: usize = 8;

/// The number of states that are expanded between two looks at the queue, if there are so many. A
/// smaller number follows the order of progress more closely but leaves threads without work.
const BATCH: usize = 1024;

impl<S: System> Search<'_, S> {
    /// Expands states until none is left or the search is over. Returns whether everything was
    /// explored.
    fn explore(&mut self) -> bool {
        // By progress or by the number of steps.
        let mut queue: BTreeMap<u64, Vec<StateId>> = BTreeMap::new();
        let mut waiting = 0;
        let mut findings = Findings::default();
        let initial = self.inboxes.initial(&mut findings);
        let mut new = Vec::new();
        self.keep(&initial, Parent { id: StateId::NONE, rank: 0 }, findings, &mut new);
        loop {
            waiting += new.len();
            for (rank, id) in new.drain(..) {
                queue.entry(rank).or_default().push(id);
            }
            self.control.progress.queue.store(waiting as u64, Ordering::Relaxed);
            if self.is_over() {
                return false;
            }
            let mut batch = Vec::new();
            while batch.len() < BATCH
                && let Some((rank, states)) = queue.pop_first()
            {
                batch.extend(states.into_iter().map(|id| Parent { id, rank }));
            }
            if batch.is_empty() {
                return true;
            }
            waiting -= batch.len();
            self.inboxes.free_old_tables();
            let chunks = batch.par_chunks(CHUNK).map(|chunk| self.expand_all(chunk));
            new = chunks.flatten_iter().collect();
        }
    }

    fn is_over(&self) -> bool {
        let broken = self.lock_observed().findings.broken;
        self.control.stopped().is_some()
            || self.inboxes.local.system.ends_search() & broken != 0
            || self.expanded.load(Ordering::Relaxed) >= self.most_expanded
    }

    fn lock_observed(&self) -> std::sync::MutexGuard<'_, Observed> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expand_all(&self, states: &[Parent]) -> Vec<(u64, StateId)> {
        let mut new = Vec::new();
        if self.is_over() {
            return new;
        }
        let (mut expanded, mut steps) = (0, 0);
        for parent in states {
            if let Some(state) = self.antichains.maximal(&self.inboxes, parent.id) {
                expanded += 1;
                steps += self.expand(&state, *parent, &mut new);
            }
        }
        self.expanded.fetch_add(expanded, Ordering::Relaxed);
        self.control.progress.add(new.len() as u64, steps);
        new
    }

    fn expand(&self, state: &State, parent: Parent, new: &mut Vec<(u64, StateId)>) -> u64 {
        let mut steps = 0;
        let mut shown = Findings::default();
        self.inboxes.steps(state, &mut shown, |step| {
            steps += 1;
            let mut findings = Findings::default();
            let next = self.inboxes.after(state, step, &mut findings);
            self.keep(&next, parent, findings, new);
        });
        self.note(shown, parent.id);
        steps
    }

    /// Keeps a state after a step, unless the state is part of another one. Notes the findings.
    fn keep(
        &self,
        state: &State,
        parent: Parent,
        findings: Findings,
        new: &mut Vec<(u64, StateId)>,
    ) {
        let canonical = self.inboxes.canonical(state);
        let by_cluster = Cell::new(Findings::default());
        let examine = |tuple: &Tuple| {
            let (progress, findings) = self.examine(tuple);
            by_cluster.set(findings);
            progress
        };
        let insertion = self.antichains.insert(&self.inboxes, &canonical, parent.id, examine);
        if let Insertion::Kept { id, progress } = insertion {
            let rank = match self.order {
                Order::Progress => progress,
                Order::Breadth => parent.rank + 1,
            };
            new.push((rank, id));
        }
        let mut findings = findings;
        findings.extend(by_cluster.get());
        self.note(findings, parent.id);
    }

    /// Returns the progress of the servers of a tuple, and the findings in them together.
    fn examine(&self, tuple: &Tuple) -> (u64, Findings) {
        let Tuple { servers, used, history } = tuple;
        let local = &self.inboxes.local;
        let servers = &servers[..self.inboxes.count()];
        let findings = local.check_and_examine(servers, *history);
        let servers: Vec<&S::Server> = servers.iter().map(|id| local.server(*id)).collect();
        (local.system.progress(&servers, local.used(*used)), findings)
    }

    fn note(&self, findings: Findings, parent: StateId) {
        if findings == Findings::default() {
            return;
        }
        let mut observed = self.lock_observed();
        let fresh = findings.broken & !observed.findings.broken;
        observed.findings.extend(findings);
        for bit in (0..u64::BITS).filter(|bit| fresh & 1 << bit != 0) {
            observed.first.insert(bit, parent);
        }
    }
}
