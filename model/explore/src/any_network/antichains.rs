//! The kept states: for each tuple, the states whose message sets are maximal.
//!
//! A state can do everything that a state with the same tuple and fewer messages can. So a state
//! with fewer messages need not be visited.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use super::definitions::{Defined, Definitions, Translation};
use super::inbox::Inboxes;
use super::state::{Canonical, Messages, State, Tuple};
use crate::hash::mix;
use crate::local::Local;
use crate::system::{Findings, System};

/// The id of a kept state: its process, its shard, and its place in the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct StateId(u64);

impl StateId {
    /// The parent of the initial state.
    pub(crate) const NONE: StateId = StateId(u64::MAX);

    fn new(process: usize, shard: usize, place: usize) -> StateId {
        StateId((process as u64) << 48 | (shard as u64) << 40 | place as u64)
    }

    pub(crate) fn process(self) -> usize {
        usize::try_from(self.0 >> 48).unwrap_or(usize::MAX)
    }

    fn shard(self) -> usize {
        usize::try_from(self.0 >> 40 & 0xff).unwrap_or(usize::MAX)
    }

    fn place(self) -> usize {
        usize::try_from(self.0 & ((1 << 40) - 1)).unwrap_or(usize::MAX)
    }
}

/// The kept states of one process.
pub(crate) struct Antichains {
    process: usize,
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Default)]
struct Shard {
    places: HashMap<Tuple, u32, FxBuildHasher>,
    tuples: Vec<TupleStates>,
    states: Vec<KeptState>,
}

#[derive(Clone, Serialize, Deserialize)]
struct TupleStates {
    tuple: Tuple,
    progress: u64,
    /// The number of tuples that are equal up to renaming, this one included.
    orbit: u32,
    /// The places of the kept states of this tuple.
    kept: Vec<u32>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct KeptState {
    tuple: u32,
    messages: Messages,
    parent: StateId,
    /// Whether the state is part of no other one.
    maximal: bool,
}

/// The content of one shard, in the numbers of its writer.
#[derive(Serialize, Deserialize)]
pub(crate) struct ShardContent {
    tuples: Vec<TupleStates>,
    states: Vec<KeptState>,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// Returns the numbers of two disjoint parts together.
pub(crate) fn add(a: Kept, b: Kept) -> Kept {
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
            let canonical = inboxes.canonical(&state);
            count.unfolded += orbit * canonical.variants.len() as u64;
            count.hash = count.hash.wrapping_add(inboxes.state_hash(&canonical));
        }
        count
    }
}

/// The number of shards. Its numbers fit into 8 bits of a [`StateId`].
pub(crate) const SHARDS: usize = 256;

impl Antichains {
    pub(crate) fn new(process: usize) -> Antichains {
        Antichains { process, shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
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
        let Canonical { tuple, hash, variants, alike } = canonical;
        let number = usize::try_from(mix(*hash) % SHARDS as u64).unwrap_or(0);
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
        Insertion::Kept { id: StateId::new(self.process, number, id), progress: entry.progress }
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

    /// Returns the tuple and the messages of a state of this process, and the state's parent.
    pub(crate) fn get(&self, id: StateId) -> (Tuple, Messages, StateId) {
        let shard = self.lock(id.shard());
        let state = &shard.states[id.place()];
        (shard.tuples[state.tuple as usize].tuple, state.messages, state.parent)
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

    /// Returns whether every parent of a state is the state of some process.
    pub(crate) fn parents_exist(&self) -> bool {
        let lengths: Vec<usize> = (0..SHARDS).map(|shard| self.lock(shard).states.len()).collect();
        let exists = |id: StateId| {
            id == StateId::NONE || id.process() != self.process || id.place() < lengths[id.shard()]
        };
        (0..SHARDS).all(|shard| self.lock(shard).states.iter().all(|state| exists(state.parent)))
    }

    /// Returns whether this process has a state with this id.
    pub(crate) fn has(&self, id: StateId) -> bool {
        id.process() == self.process && id.place() < self.lock(id.shard()).states.len()
    }

    /// Returns the content of one shard, for a checkpoint. Adds what its reader does not know yet to
    /// `definitions`.
    pub(crate) fn content<S: System>(
        &self,
        shard: usize,
        local: &Local<S>,
        defined: &mut Defined,
        definitions: &mut Definitions<S>,
    ) -> ShardContent {
        let shard = self.lock(shard);
        for tuple in &shard.tuples {
            defined.tuple(local, &tuple.tuple, definitions);
        }
        for state in &shard.states {
            defined.messages(local, &state.messages, definitions);
        }
        ShardContent { tuples: shard.tuples.clone(), states: shard.states.clone() }
    }

    /// Fills a shard with the content of a checkpoint. Returns `None` if the content contradicts
    /// itself.
    pub(crate) fn restore<S: System>(
        &self,
        shard: usize,
        content: ShardContent,
        local: &Local<S>,
        translation: &Translation,
    ) -> Option<()> {
        let count = local.server_count();
        let mut shard = self.shards.get(shard)?.lock().unwrap_or_else(PoisonError::into_inner);
        let ShardContent { mut tuples, mut states } = content;
        for state in &mut states {
            state.messages = translation.messages(&state.messages, count)?;
            tuples.get(state.tuple as usize)?;
        }
        for (place, tuple) in tuples.iter_mut().enumerate() {
            tuple.tuple = translation.tuple(&tuple.tuple, count)?;
            let own =
                |kept: &u32| states.get(*kept as usize).is_some_and(|s| s.tuple as usize == place);
            tuple.kept.iter().all(own).then_some(())?;
            shard.places.insert(tuple.tuple, crate::intern::number(place));
        }
        (shard.tuples, shard.states) = (tuples, states);
        Some(())
    }

    /// Returns all tuples that were reached.
    pub(crate) fn tuples(&self) -> Vec<Tuple> {
        let of =
            |shard| self.lock(shard).tuples.iter().map(|entry| entry.tuple).collect::<Vec<_>>();
        (0..SHARDS).flat_map(of).collect()
    }
}
