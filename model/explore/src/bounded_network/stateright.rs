//! Stateright's strategies over the same model.
//!
//! Stateright only explores. A search that it calls done may have been cut short, its
//! counterexamples need not be the shortest, and with one thread it ignores its own time limit. So
//! this module makes the verdict, the limits and the traces.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use stateright::{Checker, HasDiscoveries, Model as _, Property as Condition, UniformChooser};

use super::path::Path;
use super::{Action, Counts, Model, Next, State};
use crate::control::Control;
use crate::system::{Findings, System};

/// One of stateright's strategies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Breadth first; with several threads, not in level order.
    Bfs,
    /// Depth first, with the least memory.
    Dfs,
    /// Random runs, until a limit is reached. Never complete.
    Simulation {
        /// The seed of the random runs.
        seed: u64,
    },
}

/// The outcome of a run of stateright.
pub struct Outcome<S: System> {
    /// The counts.
    pub counts: Counts,
    /// The run that breaks a property, if one was found; not a shortest one.
    pub violation: Option<Path<S>>,
    /// Whether every state was visited.
    pub complete: bool,
}

/// The model as stateright sees it.
struct Explored<S: System> {
    model: Arc<Model<S>>,
    counters: Arc<Counters>,
    /// Whether a stop is presented to stateright as a violation, because nothing else ends a
    /// simulation.
    simulates: bool,
}

/// The counts that stateright does not keep, spread over the threads: one shared counter would cost
/// more than the exploration.
struct Counters {
    threads: Vec<ThreadCounters>,
    stop: AtomicBool,
}

#[derive(Default)]
#[repr(align(128))]
struct ThreadCounters {
    expanded: AtomicU64,
    orbit: AtomicU64,
    hash: AtomicU64,
    transitions: AtomicU64,
    blocked: AtomicU64,
}

/// The number of counters. If there are more threads than this, some of them share counters.
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
        let values = self.threads.iter().map(|thread| which(thread).load(Ordering::Relaxed));
        values.fold(0, u64::wrapping_add)
    }
}

impl<S: System + 'static> stateright::Model for Explored<S> {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.model.init()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if self.counters.stop.load(Ordering::Relaxed) {
            return;
        }
        let mine = self.counters.mine();
        mine.expanded.fetch_add(1, Ordering::Relaxed);
        mine.orbit.fetch_add(u64::from(state.orbit), Ordering::Relaxed);
        mine.hash.fetch_add(state.fingerprint, Ordering::Relaxed);
        self.model.enabled(state, actions);
        if self.simulates {
            // Stateright's simulation drops the actions that lead nowhere and numbers the rest. It
            // cannot replay its own runs then, so these actions are left out here.
            actions.retain(|action| matches!(self.model.next(state, *action), Next::State(..)));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        match self.model.next(state, action) {
            Next::Idle => None,
            Next::Blocked => {
                self.counters.mine().blocked.fetch_add(1, Ordering::Relaxed);
                None
            }
            Next::State(next, findings) => {
                self.counters.mine().transitions.fetch_add(1, Ordering::Relaxed);
                self.model.note(findings);
                Some(next)
            }
        }
    }

    fn properties(&self) -> Vec<Condition<Self>> {
        // There is one condition for all properties. Stateright looks up every condition in a
        // shared table for every state, which cost a fifth of the time with one condition for each
        // property.
        let mut conditions = vec![Condition::always(HOLDS, |_, state: &State| state.broken == 0)];
        if self.model.system().examines() {
            let examined = |explored: &Self, state: &State| {
                if explored.counters.stop.load(Ordering::Relaxed) {
                    return true;
                }
                let mut findings = Findings::default();
                let broken = explored.model.examine(state, &mut findings);
                explored.model.note(findings);
                broken == state.broken
            };
            conditions.push(Condition::always(EXAMINED, examined));
        }
        if self.simulates {
            conditions.push(Condition::always(GOES_ON, |explored: &Self, _| {
                !explored.counters.stop.load(Ordering::Relaxed)
            }));
        }
        conditions
    }
}

/// The condition that the step to a state broke no property.
const HOLDS: &str = "every property holds";

/// The condition that [`System::examine`] finds nothing that is broken.
const EXAMINED: &str = "nothing is broken in the examined state";

/// The condition that the simulation has not been stopped.
const GOES_ON: &str = "the simulation goes on";

/// The interval at which limits are checked and progress is reported.
const PATROL: Duration = Duration::from_millis(20);

/// Runs one of stateright's strategies.
pub fn search<S: System + 'static>(
    model: &Arc<Model<S>>,
    strategy: Strategy,
    threads: usize,
    control: &Control,
) -> Outcome<S> {
    let counters = Arc::new(Counters {
        threads: (0..COUNTERS).map(|_| ThreadCounters::default()).collect(),
        stop: AtomicBool::new(false),
    });
    let explored = Explored {
        model: Arc::clone(model),
        counters: Arc::clone(&counters),
        simulates: matches!(strategy, Strategy::Simulation { .. }),
    };
    let builder =
        explored.checker().threads(threads.max(1)).finish_when(HasDiscoveries::AnyFailures);
    match strategy {
        Strategy::Bfs => supervise(builder.spawn_bfs(), &counters, control, model, true),
        Strategy::Dfs => supervise(builder.spawn_dfs(), &counters, control, model, true),
        Strategy::Simulation { seed } => {
            let checker = builder.spawn_simulation(seed, UniformChooser);
            supervise(checker, &counters, control, model, false)
        }
    }
}

/// Waits for stateright, and stops it if the control says so. To stop it, the model returns no more
/// actions: then every search comes to its end.
fn supervise<S: System + 'static>(
    mut checker: impl Checker<Explored<S>>,
    counters: &Counters,
    control: &Control,
    model: &Model<S>,
    exhaustive: bool,
) -> Outcome<S> {
    let handles = checker.handles();
    while handles.iter().any(|thread| !thread.is_finished()) {
        std::thread::park_timeout(PATROL);
        let progress = &control.progress;
        let (distinct, expanded) =
            (checker.unique_state_count() as u64, counters.sum(|c| &c.expanded));
        progress.distinct.store(distinct, Ordering::Relaxed);
        progress.transitions.store(counters.sum(|c| &c.transitions), Ordering::Relaxed);
        progress.depth.store(checker.max_depth() as u64, Ordering::Relaxed);
        progress.queue.store(distinct.saturating_sub(expanded), Ordering::Relaxed);
        if control.stopped().is_some() {
            counters.stop.store(true, Ordering::Relaxed);
        }
    }
    for handle in handles {
        if let Err(panic) = handle.join() {
            std::panic::resume_unwind(panic);
        }
    }
    // The states are counted before stateright walks its discoveries again, which counts states
    // twice.
    let distinct = if exhaustive {
        checker.unique_state_count() as u64
    } else {
        counters.sum(|c| &c.expanded)
    };
    let counts = Counts {
        distinct,
        orbit: counters.sum(|c| &c.orbit),
        transitions: counters.sum(|c| &c.transitions),
        hash: counters.sum(|c| &c.hash),
        depth: None,
    };
    model.note_blocked(counters.sum(|c| &c.blocked));
    counters.stop.store(false, Ordering::Relaxed);
    let discoveries = checker.discoveries().into_iter();
    let found = discoveries
        .filter(|(condition, _)| *condition != GOES_ON)
        .min_by_key(|(_, path)| path.clone().into_vec().len());
    let violation = found.map(|(_, path)| {
        let broken = model.examine(path.last_state(), &mut Findings::default());
        let steps = path.into_vec().into_iter();
        let steps = steps.filter_map(|(_, action)| Some(model.step(action?)));
        Path { steps: steps.collect(), broken }
    });
    let complete = exhaustive && control.stopped().is_none() && violation.is_none();
    Outcome { counts, violation, complete }
}
