//! A shortest path to something that is known to exist at a certain depth.
//!
//! One thread goes level by level again, this time with parents, over a fresh model; so the path is
//! the same in every run, however many threads found that there is one.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use raft_core::Rules;
use raft_trace::Action;

use super::level::{Fingerprint, Goal};
use crate::packed::{ClusterModel, Next, PackedAction, State, with_property};
use crate::properties::{Property, PropertySet};

/// A run from the start to what was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// What happens in it.
    pub actions: Vec<Action>,
    /// The properties that its last step breaks.
    pub broken: PropertySet,
}

type Parents = HashMap<u64, u64, BuildHasherDefault<Fingerprint>>;

/// Finds a shortest path to the goal, of at most `depth` steps.
pub fn shortest<R: Rules>(model: &ClusterModel<R>, goal: Goal, depth: u64) -> Option<Path> {
    let init = model.init();
    let mut parents = Parents::default();
    parents.insert(init.fingerprint, init.fingerprint);
    let mut frontier = vec![init.clone()];
    let mut actions = Vec::new();
    for _ in 0..depth {
        let mut next = Vec::new();
        for state in &frontier {
            model.enabled(state, &mut actions);
            for action in actions.drain(..) {
                let Next::State(successor, seen) = model.next(state, action) else {
                    continue;
                };
                let new = !parents.contains_key(&successor.fingerprint);
                let mut broken = successor.broken;
                if new && !model.recovers(&successor) {
                    broken = with_property(broken, Property::CanRecover);
                }
                if goal.reached_by(seen, broken) {
                    let mut actions = retrace(model, &init, &parents, state);
                    let (last, action) = same_step(model, &actions.1, &successor, goal, action);
                    actions.0.push(model.unpack_action(&last, action));
                    let broken: PropertySet = broken.iter().chain(seen.noted.iter()).collect();
                    return Some(Path {
                        actions: actions.0,
                        broken,
                    });
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

/// The actions from the start to a state that is equivalent to `state`, and that state. Under
/// symmetry the run may end in another state of the same orbit.
fn retrace<R: Rules>(
    model: &ClusterModel<R>,
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
    let mut trace = Vec::new();
    let mut current = init.clone();
    for fingerprint in fingerprints.into_iter().rev() {
        let (action, next) = step_to(model, &current, |state, _| state.fingerprint == fingerprint)
            .expect("a state on the path has its successor");
        trace.push(model.unpack_action(&current, action));
        current = next;
    }
    (trace, current)
}

/// The last step, from the state that the run has really reached.
fn same_step<R: Rules>(
    model: &ClusterModel<R>,
    from: &State,
    target: &State,
    goal: Goal,
    action: PackedAction,
) -> (State, PackedAction) {
    let found = step_to(model, from, |state, seen| {
        let recovery = goal == Goal::Violation || goal == Goal::Breaks(Property::CanRecover);
        state.fingerprint == target.fingerprint
            && (goal.reached_by(seen, state.broken) || (recovery && state.broken.is_empty()))
    });
    (from.clone(), found.map_or(action, |(action, _)| action))
}

fn step_to<R: Rules>(
    model: &ClusterModel<R>,
    from: &State,
    wanted: impl Fn(&State, crate::packed::Seen) -> bool,
) -> Option<(PackedAction, State)> {
    let mut actions = Vec::new();
    model.enabled(from, &mut actions);
    actions
        .into_iter()
        .find_map(|action| match model.next(from, action) {
            Next::State(state, seen) if wanted(&state, seen) => Some((action, state)),
            _ => None,
        })
}
