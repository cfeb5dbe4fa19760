//! A shortest path to a goal that is known to exist at a certain depth.
//!
//! One thread searches a fresh model level by level again, this time with the parent of each state.
//! So the path is the same in every run, whatever the number of threads in the first search.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use raft_trace::Action;

use super::Control;
use super::level::{Fingerprint, Goal};
use crate::packed::{ClusterModel, Next, PackedAction, Seen, State};
use crate::properties::PropertySet;
use crate::protocol::Protocol;

/// A run from the start to the goal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Its actions, from the first start of the cluster on.
    pub actions: Vec<Action>,
    /// The properties that its last step breaks.
    pub broken: PropertySet,
}

type Parents = HashMap<u64, u64, BuildHasherDefault<Fingerprint>>;

/// Finds a shortest path to the goal, of at most `depth` steps. Returns none if there is none or if
/// the search is interrupted.
pub fn shortest<P: Protocol>(
    model: &ClusterModel<P>,
    goal: Goal,
    depth: u64,
    control: &Control,
) -> Option<Path> {
    let init = model.init();
    let mut parents = Parents::default();
    parents.insert(init.fingerprint, init.fingerprint);
    let mut frontier = vec![init.clone()];
    let mut actions = Vec::new();
    if goal.reached_by(Seen::default(), init.broken) {
        return Some(Path { actions: model.prefix(), broken: init.broken });
    }
    for _ in 0..depth {
        let mut next = Vec::new();
        for state in &frontier {
            if control.is_interrupted() {
                return None;
            }
            model.enabled(state, &mut actions);
            for action in actions.drain(..) {
                let Next::State(successor, mut seen) = model.next(state, action) else {
                    continue;
                };
                let new = !parents.contains_key(&successor.fingerprint);
                let broken =
                    if new { model.examine(&successor, &mut seen) } else { successor.broken };
                if goal.reached_by(seen, broken) {
                    let (mut actions, from) = retrace(model, &init, &parents, state);
                    let last = last_step(model, &from, &successor, seen).unwrap_or(action);
                    actions.push(model.unpack_action(&from, last));
                    let broken = broken.iter().chain(seen.noted.iter()).collect();
                    return Some(Path { actions, broken });
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

/// Returns the actions from the start to a state that is equivalent to `state`, and that state.
/// Under symmetry the run may end in another state of the same orbit.
fn retrace<P: Protocol>(
    model: &ClusterModel<P>,
    init: &State,
    parents: &Parents,
    state: &State,
) -> (Vec<Action>, State) {
    let mut fingerprints = Vec::new();
    let mut at = state.fingerprint;
    while at != init.fingerprint {
        fingerprints.push(at);
        at = parents[&at];
    }
    let mut trace = model.prefix();
    let mut current = init.clone();
    for fingerprint in fingerprints.into_iter().rev() {
        let (action, next) = step_to(model, &current, |state, _| state.fingerprint == fingerprint)
            .expect("a state on the path has its successor");
        trace.push(model.unpack_action(&current, action));
        current = next;
    }
    (trace, current)
}

/// Finds the last step from the state that the run has really reached. The step leads to the same
/// orbit and has the same observations.
fn last_step<P: Protocol>(
    model: &ClusterModel<P>,
    from: &State,
    target: &State,
    shown: Seen,
) -> Option<PackedAction> {
    let found = step_to(model, from, |state, seen| {
        let mut seen = *seen;
        let same = state.fingerprint == target.fingerprint;
        if same {
            model.examine(state, &mut seen);
        }
        same && seen.shows(shown)
    });
    found.map(|(action, _)| action)
}

fn step_to<P: Protocol>(
    model: &ClusterModel<P>,
    from: &State,
    wanted: impl Fn(&State, &Seen) -> bool,
) -> Option<(PackedAction, State)> {
    let mut actions = Vec::new();
    model.enabled(from, &mut actions);
    actions.into_iter().find_map(|action| match model.next(from, action) {
        Next::State(state, seen) if wanted(&state, &seen) => Some((action, state)),
        _ => None,
    })
}
