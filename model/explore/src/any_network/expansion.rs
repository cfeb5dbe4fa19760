//! The expansion of states: their steps, and the states after them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::antichains::{Antichains, Insertion, StateId};
use super::inbox::Inboxes;
use super::state::{Canonical, State, Tuple};
use crate::control::Control;
use crate::system::{Findings, System};

/// The order in which states are expanded. The kept states are the same for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By the progress of the servers ([`System::progress`]). Few states become part of others after
    /// they were expanded, so a whole exploration takes the least time.
    Progress,
    /// By the number of steps. It finds short runs early.
    Breadth,
}

/// The part of a search that one process does: it keeps the states whose tuples are its own.
pub(crate) struct Expansion<'a, S: System> {
    pub(crate) inboxes: Inboxes<S>,
    pub(crate) antichains: Antichains,
    pub(crate) control: &'a Control,
    pub(crate) order: Order,
    /// The number of expanded states after which the search gives up.
    pub(crate) most_expanded: u64,
    pub(crate) expanded: AtomicU64,
    pub(crate) observed: Mutex<Observed>,
    /// This process, and the number of all.
    pub(crate) process: (usize, usize),
}

/// A state that is expanded, and its place in the order.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Parent {
    pub(crate) id: StateId,
    pub(crate) rank: u64,
}

/// The parent of the initial state.
pub(crate) const NO_PARENT: Parent = Parent { id: StateId::NONE, rank: 0 };

/// A state, and the state before it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Successor {
    pub(crate) canonical: Canonical,
    pub(crate) parent: Parent,
}

/// The states after some steps.
#[derive(Default)]
pub(crate) struct Successors {
    /// Those that this process keeps, and states that there was no time to expand.
    pub(crate) waiting: Vec<Parent>,
    /// Those of other processes, with the process.
    pub(crate) elsewhere: Vec<(usize, Successor)>,
}

/// What a search has found.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Observed {
    pub(crate) findings: Findings,
    /// The state whose step broke a property first, for each broken property.
    pub(crate) first: BTreeMap<u32, StateId>,
}

/// The number of states that a thread expands before it checks whether the search is over.
const CHUNK: usize = 8;

impl<S: System> Expansion<'_, S> {
    /// Keeps the initial state, if its tuple is one of this process.
    pub(crate) fn begin(&self) -> Vec<Parent> {
        let mut findings = Findings::default();
        let initial = self.inboxes.initial(&mut findings);
        let mut new = Successors::default();
        self.take(&initial, NO_PARENT, findings, &mut new);
        new.waiting
    }

    /// Expands states, unless the search is over.
    pub(crate) fn expand(&self, states: &[Parent]) -> Successors {
        let chunks = states.par_chunks(CHUNK).map(|chunk| self.expand_chunk(chunk));
        chunks.reduce(Successors::default, |mut all, mut more| {
            all.waiting.append(&mut more.waiting);
            all.elsewhere.append(&mut more.elsewhere);
            all
        })
    }

    /// Keeps states that other processes have sent.
    pub(crate) fn keep_all(&self, states: &[Successor]) -> Vec<Parent> {
        let kept = states.par_iter().filter_map(|state| self.keep(&state.canonical, state.parent));
        let kept: Vec<Parent> = kept.collect();
        self.control.progress.add(kept.len() as u64, 0);
        kept
    }

    pub(crate) fn is_over(&self) -> bool {
        let broken = self.lock_observed().findings.broken;
        self.control.stopped().is_some()
            || self.inboxes.local.system.ends_search() & broken != 0
            || self.expanded.load(Ordering::Relaxed) >= self.most_expanded
    }

    pub(crate) fn lock_observed(&self) -> MutexGuard<'_, Observed> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expand_chunk(&self, states: &[Parent]) -> Successors {
        let mut new = Successors::default();
        if self.is_over() {
            new.waiting.extend(states);
            return new;
        }
        let (mut expanded, mut steps) = (0, 0);
        for parent in states {
            if let Some(state) = self.antichains.maximal(&self.inboxes, parent.id) {
                expanded += 1;
                steps += self.expand_state(&state, *parent, &mut new);
            }
        }
        self.expanded.fetch_add(expanded, Ordering::Relaxed);
        self.control.progress.add(new.waiting.len() as u64, steps);
        new
    }

    fn expand_state(&self, state: &State, parent: Parent, new: &mut Successors) -> u64 {
        let mut steps = 0;
        let mut shown = Findings::default();
        self.inboxes.steps(state, &mut shown, |step| {
            steps += 1;
            let mut findings = Findings::default();
            let next = self.inboxes.after(state, step, &mut findings);
            self.take(&next, parent, findings, new);
        });
        self.note(shown, parent.id);
        steps
    }

    /// Takes a state after a step: keeps it, or leaves it to its process. Notes the findings.
    fn take(&self, state: &State, parent: Parent, findings: Findings, new: &mut Successors) {
        let canonical = self.inboxes.canonical(state);
        let (process, processes) = self.process;
        let part = self.inboxes.partition(&canonical.tuple);
        let owner = usize::try_from(part % processes as u64).unwrap_or(0);
        if owner == process {
            new.waiting.extend(self.keep(&canonical, parent));
        } else {
            new.elsewhere.push((owner, Successor { canonical, parent }));
        }
        self.note(findings, parent.id);
    }

    /// Keeps a state, unless it is part of another one.
    fn keep(&self, canonical: &Canonical, parent: Parent) -> Option<Parent> {
        let by_cluster = Cell::new(Findings::default());
        let examine = |tuple: &Tuple| {
            let (progress, findings) = self.examine(tuple);
            by_cluster.set(findings);
            progress
        };
        let insertion = self.antichains.insert(&self.inboxes, canonical, parent.id, examine);
        self.note(by_cluster.get(), parent.id);
        let Insertion::Kept { id, progress } = insertion else {
            return None;
        };
        let rank = match self.order {
            Order::Progress => progress,
            Order::Breadth => parent.rank + 1,
        };
        Some(Parent { id, rank })
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
