//! Stateright's strategies over the same model.
//!
//! Stateright does the exploring and nothing else: what it calls done may have been cut short, its
//! counterexamples need not be the shortest, and with one thread it ignores its own time limit.
//! So the verdict, the limits and the traces are made here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use raft_core::Rules;
use stateright::{Checker, HasDiscoveries, Model, Property as Condition, UniformChooser};

use super::{Control, Counts};
use crate::packed::{ClusterModel, Next, PackedAction, State};
use crate::properties::{Property, PropertySet};

/// Which of stateright's strategies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Breadth first, not in level order with several threads.
    Bfs,
    /// Depth first: least memory.
    Dfs,
    /// Random runs, until a limit is reached. Never complete.
    Simulation {
        /// Where the runs begin to differ.
        seed: u64,
    },
}

/// How a run of stateright ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was counted.
    pub counts: Counts,
    /// For each property that was found broken, the number of steps of the run that breaks it.
    pub violated: Vec<(Property, u64)>,
    /// Whether every state was visited.
    pub complete: bool,
}

/// The model as stateright sees it.
pub struct Explored<R: Rules> {
    model: Arc<ClusterModel<R>>,
    counters: Arc<Counters>,
}

/// What stateright does not count. Spread over the threads: one shared counter would cost more than
/// the exploring.
struct Counters {
    threads: Vec<ThreadCounters>,
    stop: AtomicBool,
}

#[derive(Default)]
#[repr(align(128))]
struct ThreadCounters {
    expanded: AtomicU64,
    orbit: AtomicU64,
    transitions: AtomicU64,
    blocked: AtomicU64,
}

/// More threads than this share counters.
const COUNTERS: usize = 64;

thread_local! {
    static THREAD: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % COUNTERS
    };
}

impl Counters {
    fn mine(&self) -> &ThreadCounters {
        &self.threads[THREAD.with(|thread| *thread)]
    }

    fn sum(&self, which: impl Fn(&ThreadCounters) -> &AtomicU64) -> u64 {
        self.threads.iter().map(|thread| which(thread).load(Ordering::Relaxed)).sum()
    }
}

impl<R: Rules + Send + Sync> Model for Explored<R> {
    type State = State;
    type Action = PackedAction;

    fn init_states(&self) -> Vec<State> {
        vec![self.model.init()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<PackedAction>) {
        if self.counters.stop.load(Ordering::Relaxed) {
            return;
        }
        let mine = self.counters.mine();
        mine.expanded.fetch_add(1, Ordering::Relaxed);
        mine.orbit.fetch_add(u64::from(state.orbit), Ordering::Relaxed);
        self.model.enabled(state, actions);
    }

    fn next_state(&self, state: &State, action: PackedAction) -> Option<State> {
        match self.model.next(state, action) {
            Next::Idle => None,
            Next::Blocked => {
                self.counters.mine().blocked.fetch_add(1, Ordering::Relaxed);
                None
            }
            Next::State(next, seen) => {
                self.counters.mine().transitions.fetch_add(1, Ordering::Relaxed);
                self.model.note(seen);
                Some(next)
            }
        }
    }

    fn properties(&self) -> Vec<Condition<Self>> {
        const { assert!(Property::ALL.len() == 15) };
        let conditions: [fn(&Self, &State) -> bool; 15] = [
            holds::<0, R>, holds::<1, R>, holds::<2, R>, holds::<3, R>, holds::<4, R>,
            holds::<5, R>, holds::<6, R>, holds::<7, R>, holds::<8, R>, holds::<9, R>,
            holds::<10, R>, holds::<11, R>, recovers::<R>, holds::<13, R>, holds::<14, R>,
        ];
        let always = |(property, condition): (Property, _)| {
            Condition::always(property.name(), condition)
        };
        Property::ALL
            .into_iter()
            .zip(conditions)
            .filter(|(property, _)| property.ends_search())
            .map(always)
            .collect()
    }
}

fn holds<const PROPERTY: usize, R: Rules>(_: &Explored<R>, state: &State) -> bool {
    !state.breaks(Property::ALL[PROPERTY])
}

fn recovers<R: Rules>(explored: &Explored<R>, state: &State) -> bool {
    explored.model.recovers(state)
}

/// How often limits are looked at and progress is told.
const PATROL: Duration = Duration::from_millis(20);

/// Runs one of stateright's strategies.
pub fn search<R: Rules + Send + Sync + 'static>(
    model: &Arc<ClusterModel<R>>,
    strategy: Strategy,
    threads: usize,
    control: &Control,
) -> Outcome {
    let counters = Arc::new(Counters {
        threads: (0..COUNTERS).map(|_| ThreadCounters::default()).collect(),
        stop: AtomicBool::new(false),
    });
    let explored = Explored { model: Arc::clone(model), counters: Arc::clone(&counters) };
    let builder = explored.checker().threads(threads.max(1)).finish_when(HasDiscoveries::AnyFailures);
    match strategy {
        Strategy::Bfs => supervise(builder.spawn_bfs(), &counters, control, model, true),
        Strategy::Dfs => supervise(builder.spawn_dfs(), &counters, control, model, true),
        Strategy::Simulation { seed } => {
            let checker = builder.spawn_simulation(seed, UniformChooser);
            supervise(checker, &counters, control, model, false)
        }
    }
}

/// Waits for stateright, or stops it: without actions, every search comes to its end.
fn supervise<R: Rules + Send + Sync + 'static>(
    mut checker: impl Checker<Explored<R>>,
    counters: &Counters,
    control: &Control,
    model: &ClusterModel<R>,
    exhaustive: bool,
) -> Outcome {
    let handles = checker.handles();
    while handles.iter().any(|thread| !thread.is_finished()) {
        std::thread::park_timeout(PATROL);
        let progress = &control.progress;
        let (distinct, expanded) = (checker.unique_state_count() as u64, counters.sum(|c| &c.expanded));
        progress.distinct.store(distinct, Ordering::Relaxed);
        progress.transitions.store(counters.sum(|c| &c.transitions), Ordering::Relaxed);
        progress.depth.store(checker.max_depth() as u64, Ordering::Relaxed);
        progress.queue.store(distinct.saturating_sub(expanded), Ordering::Relaxed);
        if control.exhausted() {
            counters.stop.store(true, Ordering::Relaxed);
        }
    }
    for handle in handles {
        if let Err(panic) = handle.join() {
            std::panic::resume_unwind(panic);
        }
    }
    // Before stateright walks its discoveries again, which counts states twice.
    let distinct = if exhaustive {
        checker.unique_state_count() as u64
    } else {
        counters.sum(|c| &c.expanded)
    };
    let counts = Counts {
        distinct,
        orbit: counters.sum(|c| &c.orbit),
        transitions: counters.sum(|c| &c.transitions),
        depth: None,
    };
    model.note_blocked(counters.sum(|c| &c.blocked));
    counters.stop.store(false, Ordering::Relaxed);
    let violated: Vec<(Property, u64)> = checker
        .discoveries()
        .into_iter()
        .filter_map(|(name, path)| {
            let property = Property::ALL.into_iter().find(|property| property.name() == name)?;
            Some((property, path.into_actions().len() as u64))
        })
        .collect();
    let broken: PropertySet = violated.iter().map(|(property, _)| *property).collect();
    let complete = exhaustive && !control.stopped() && broken.is_empty();
    Outcome { counts, violated, complete }
}
