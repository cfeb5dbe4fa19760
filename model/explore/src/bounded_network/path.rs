//! A shortest path to a goal that is known to exist at a certain depth.
//!
//! One thread searches a fresh model level by level again, this time with the parent of each state.
//! So the path is the same in every run, whatever the number of threads in the first search.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use super::level::{Fingerprint, Goal};
use super::{Action, Model, Next, State};
use crate::control::Control;
use crate::system::{Findings, RunStep, System};

/// A run from the initial state.
pub struct Path<S: System> {
    /// Its steps.
    pub steps: Vec<RunStep<S>>,
    /// The properties that its last step breaks, as bits.
    pub broken: u64,
}

type Parents = HashMap<u64, u64, BuildHasherDefault<Fingerprint>>;

/// Finds a shortest path to the goal, of at most `depth` steps. Returns none if there is none or if
/// the search is interrupted.
pub fn shortest<S: System>(
    model: &Model<S>,
    goal: Goal,
    depth: u64,
    control: &Control,
) -> Option<Path<S>> {
    let init = model.init();
    let mut parents = Parents::default();
    parents.insert(init.fingerprint, init.fingerprint);
    let mut frontier = vec![init.clone()];
    let mut actions = Vec::new();
    if goal.reached_by(Findings::default(), init.broken) {
        return Some(Path { steps: Vec::new(), broken: init.broken });
    }
    for _ in 0..depth {
        let mut next = Vec::new();
        for state in &frontier {
            if control.is_interrupted() {
                return None;
            }
            model.enabled(state, &mut actions);
            for action in actions.drain(..) {
                let Next::State(successor, mut findings) = model.next(state, action) else {
                    continue;
                };
                let new = !parents.contains_key(&successor.fingerprint);
                let broken =
                    if new { model.examine(&successor, &mut findings) } else { successor.broken };
                if goal.reached_by(findings, broken) {
                    let (mut steps, from) = retrace(model, &init, &parents, state);
                    let last = last_step(model, &from, &successor, findings).unwrap_or(action);
                    steps.push(model.step(last));
                    return Some(Path { steps, broken: broken | findings.broken });
                }
                if new {
                    parents.insert(successor.fingerprint, state.fingerprint);
                    next.push(successor);
                }
            }
        }
        frontier = next;
    }
    None
}

/// Returns the steps from the start to a state that is equivalent to `state`, and that state.
/// Under symmetry the run may end in another state of the same orbit.
fn retrace<S: System>(
    model: &Model<S>,
    init: &State,
    parents: &Parents,
    state: &State,
) -> (Vec<RunStep<S>>, State) {
    let mut fingerprints = Vec::new();
    let mut at = state.fingerprint;
    while at != init.fingerprint {
        fingerprints.push(at);
        at = parents[&at];
    }
    let mut steps = Vec::new();
    let mut current = init.clone();
    for fingerprint in fingerprints.into_iter().rev() {
        let (action, next) = step_to(model, &current, |state, _| state.fingerprint == fingerprint)
            .expect("a state on the path has its successor");
        steps.push(model.step(action));
        current = next;
    }
    (steps, current)
}

/// Finds the last step from the state that the run has really reached. The step leads to the same
/// orbit and has the same findings.
fn last_step<S: System>(
    model: &Model<S>,
    from: &State,
    target: &State,
    shown: Findings,
) -> Option<Action> {
    let found = step_to(model, from, |state, findings| {
        let mut findings = *findings;
        let same = state.fingerprint == target.fingerprint;
        if same {
            model.examine(state, &mut findings);
        }
        same && findings.include(shown)
    });
    found.map(|(action, _)| action)
}

fn step_to<S: System>(
    model: &Model<S>,
    from: &State,
    wanted: impl Fn(&State, &Findings) -> bool,
) -> Option<(Action, State)> {
    let mut actions = Vec::new();
    model.enabled(from, &mut actions);
    actions.into_iter().find_map(|action| match model.next(from, action) {
        Next::State(state, findings) if wanted(&state, &findings) => Some((action, state)),
        _ => None,
    })
}
