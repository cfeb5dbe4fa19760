//! The kept states: for each tuple, the states whose message sets are maximal.
//!
//! A state can do everything that a state with the same tuple and fewer messages can. So a state
//! with fewer messages need not be visited.

use std::collections::HashMap;
use std::hash::BuildHasher;

use rayon::prelude::*;
use rustc_hash::FxBuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::inbox::Inboxes;
use super::state::{Canonical, Messages, State, Tuple};
use crate::system::{Findings, System};

/// The id of a kept state: its shard, and its place in the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StateId(u64);

impl StateId {
    /// The parent of the initial state.
    pub(crate) const NONE: StateId = StateId(u64::MAX);

    fn new(shard: usize, place: usize) -> StateId {
        StateId((shard as u64) << 40 | place as u64)
    }

    fn shard(self) -> usize {
        usize::try_from(self.0 >> 40).unwrap_or(usize::MAX)
    }

    fn place(self) -> usize {
        usize::try_from(self.0 & ((1 << 40) - 1)).unwrap_or(usize::MAX)
    }
}

pub(crate) struct Antichains {
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Default)]
struct Shard {
    places: HashMap<Tuple, u32, FxBuildHasher>,
    tuples: Vec<TupleStates>,
    states: Vec<KeptState>,
}

struct TupleStates {
    tuple: Tuple,
    progress: u64,
    /// The number of tuples that are equal up to renaming, this one included.
    orbit: u32,
    /// The places of the kept states of this tuple.
    kept: Vec<u32>,
}

struct KeptState {
    tuple: u32,
    messages: Messages,
    parent: StateId,
    /// Whether the state is part of no other one.
    maximal: bool,
}

/// The result of an insertion.
pub(crate) enum Insertion {
    /// The state is part of a kept one.
    Covered,
    /// The state is kept.
    Kept {
        id: StateId,
        /// The progress of its servers.
        progress: u64,
    },
}

/// The numbers of kept tuples, states and steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The number of distinct tuples of servers, budgets and history, up to renaming.
    pub tuples: u64,
    /// The number of these tuples without folding renamings.
    pub unfolded_tuples: u64,
    /// The number of states with maximal message sets, up to renaming.
    pub states: u64,
    /// The number of these states without folding renamings.
    pub unfolded: u64,
    /// The number of steps from these states, without idle steps.
    pub steps: u64,
    /// The largest number of states of one tuple.
    pub widest: u64,
    /// A hash of all of these states, which does not depend on their order.
    pub hash: u64,
}

fn add(a: Kept, b: Kept) -> Kept {
    Kept {
        tuples: a.tuples + b.tuples,
        unfolded_tuples: a.unfolded_tuples + b.unfolded_tuples,
        states: a.states + b.states,
        unfolded: a.unfolded + b.unfolded,
        steps: a.steps + b.steps,
        widest: a.widest.max(b.widest),
        hash: a.hash.wrapping_add(b.hash),
    }
}

impl Shard {
    fn count<S: System>(&self, tuple: &TupleStates, inboxes: &Inboxes<S>) -> Kept {
        let orbit = u64::from(tuple.orbit);
        let kept = tuple.kept.len() as u64;
        let mut count = Kept {
            tuples: 1,
            unfolded_tuples: orbit,
            states: kept,
            widest: kept,
            ..Kept::default()
        };
        for state in &tuple.kept {
            let messages = self.states[*state as usize].messages;
            let state = inboxes.state(&tuple.tuple, &messages);
            inboxes.steps(&state, &mut Findings::default(), |_| count.steps += 1);
            let Canonical { tuple, variants, .. } = inboxes.canonical(&state);
            count.unfolded += orbit * variants.len() as u64;
            count.hash = count.hash.wrapping_add(inboxes.state_hash(&tuple, &variants));
        }
        count
    }
}

const SHARDS: usize = 256;

impl Antichains {
    pub(crate) fn new() -> Antichains {
        Antichains { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a state, unless it is part of a kept one. Calls `first` with a new tuple to get its
    /// progress.
    pub(crate) fn insert<S: System>(
        &self,
        inboxes: &Inboxes<S>,
        canonical: &Canonical,
        parent: StateId,
        first: impl FnOnce(&Tuple) -> u64,
    ) -> Insertion {
        let Canonical { tuple, variants, alike } = canonical;
        let hash = crate::hash::mix(FxBuildHasher.hash_one(tuple));
        let number = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        let mut shard = self.lock(number);
        let shard = &mut *shard;
        let place = shard.places.get(tuple).copied().unwrap_or_else(|| {
            let place = crate::intern::number(shard.tuples.len());
            let orbit = crate::intern::number(inboxes.local.renamings.len() / alike);
            let progress = first(tuple);
            shard.tuples.push(TupleStates { tuple: *tuple, progress, orbit, kept: Vec::new() });
            shard.places.insert(*tuple, place);
            place
        });
        let entry = &mut shard.tuples[place as usize];
        let states = &mut shard.states;
        let covered = entry.kept.iter().any(|kept| {
            let kept = &states[*kept as usize].messages;
            variants.iter().any(|variant| inboxes.is_part(variant, kept))
        });
        if covered {
            return Insertion::Covered;
        }
        entry.kept.retain(|kept| {
            let kept = &mut states[*kept as usize];
            kept.maximal = !variants.iter().any(|variant| inboxes.is_part(&kept.messages, variant));
            kept.maximal
        });
        let id = states.len();
        entry.kept.push(crate::intern::number(id));
        states.push(KeptState { tuple: place, messages: variants[0], parent, maximal: true });
        Insertion::Kept { id: StateId::new(number, id), progress: entry.progress }
    }

    /// Returns a state, unless it has become part of another one.
    pub(crate) fn maximal<S: System>(&self, inboxes: &Inboxes<S>, id: StateId) -> Option<State> {
        let (tuple, messages) = {
            let shard = self.lock(id.shard());
            let state = &shard.states[id.place()];
            let tuple = shard.tuples[state.tuple as usize].tuple;
            state.maximal.then_some((tuple, state.messages))?
        };
        Some(inboxes.state(&tuple, &messages))
    }

    /// Returns the states from the initial one to this one, each the parent of the next.
    pub(crate) fn chain<S: System>(&self, inboxes: &Inboxes<S>, mut id: StateId) -> Vec<State> {
        let mut chain = Vec::new();
        while id != StateId::NONE {
            let shard = self.lock(id.shard());
            let state = &shard.states[id.place()];
            let tuple = shard.tuples[state.tuple as usize].tuple;
            chain.push(inboxes.state(&tuple, &state.messages));
            id = state.parent;
        }
        chain.reverse();
        chain
    }

    /// Counts the kept tuples, states and steps, and hashes the states.
    pub(crate) fn count<S: System>(&self, inboxes: &Inboxes<S>) -> Kept {
        let shards = self.shards.par_iter();
        let counts = shards.map(|shard| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.tuples.iter().map(|tuple| shard.count(tuple, inboxes)).fold(Kept::default(), add)
        });
        counts.reduce(Kept::default, add)
    }

    /// Counts only tuples and states, without the steps and the hash. A search that was stopped has
    /// no time for more.
    pub(crate) fn count_roughly(&self) -> Kept {
        let mut count = Kept::default();
        for shard in 0..SHARDS {
            for tuple in &self.lock(shard).tuples {
                let states = tuple.kept.len() as u64;
                let orbit = u64::from(tuple.orbit);
                count = add(
                    count,
                    Kept {
                        tuples: 1,
                        unfolded_tuples: orbit,
                        states,
                        unfolded: orbit * states,
                        widest: states,
                        ..Kept::default()
                    },
                );
            }
        }
        count
    }

    /// Returns all tuples that were reached.
    pub(crate) fn tuples(&self) -> Vec<Tuple> {
        let of =
            |shard| self.lock(shard).tuples.iter().map(|entry| entry.tuple).collect::<Vec<_>>();
        (0..SHARDS).flat_map(of).collect()
    }
}
