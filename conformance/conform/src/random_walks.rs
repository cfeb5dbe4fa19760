//! Random runs of the whole cluster within the bounds of a configuration, from the first start on.
//! They are longer than the paths to single transitions. Each server of each run is compared after
//! each of its steps.

use raft_checker::config::BoundedConfig;
use raft_checker::control::Control;
use raft_checker::plain::PlainModel;
use raft_trace::{Action, ClusterTrace};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use stateright::Model;

use super::Found;
use super::fault_variant::dice;
use super::minimise::minimise;
use super::server_projection::Projected;
use super::trace::Effort;
use crate::refinement_mapping::Refinement;

/// The number of runs.
const RUNS: u64 = 32;

/// The most steps of a run.
const STEPS: usize = 80;

/// The numbers of runs and steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walks {
    /// Runs.
    pub runs: u64,
    /// Steps of servers in these runs.
    pub steps: u64,
}

/// Performs the random runs of a configuration, until a difference is found or the check is
/// stopped.
pub fn walk(
    config: &BoundedConfig,
    refinement: &Refinement,
    control: &Control,
) -> (Walks, Option<Found>) {
    let model = PlainModel::new(config.clone());
    let prefix = raft_checker::bounded_cluster::script(config);
    let mut walks = Walks::default();
    for number in 0..RUNS {
        if control.stopped().is_some() {
            break;
        }
        let actions = prefix.iter().cloned().chain(random(&model, dice((&config.name, number))));
        let actions = actions.collect();
        let about = format!("random run {number} of {}", config.name);
        let trace = ClusterTrace { settings: config.settings.clone(), about, actions };
        walks.runs += 1;
        for projected in Projected::of(&trace) {
            walks.steps += projected.actions.len() as u64;
            let tried = |projected: &Projected<'_>| {
                projected.hold(refinement, Effort::default(), control).1
            };
            if let Some(found) = tried(&projected) {
                return (walks, Some(minimise(&projected, found, 1, tried)));
            }
        }
    }
    (walks, None)
}

fn random(model: &PlainModel, seed: u64) -> Vec<Action> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut done = Vec::new();
    let Some(mut state) = model.init_states().pop() else { return done };
    let mut possible = Vec::new();
    while done.len() < STEPS {
        possible.clear();
        model.actions(&state, &mut possible);
        // The loss of a message is not a step of a server, so most losses are left out.
        possible.retain(|action| !matches!(action, Action::Drop(_)) || random.random_ratio(1, 8));
        let mut next = None;
        while next.is_none() && !possible.is_empty() {
            let action = possible.swap_remove(random.random_range(0..possible.len()));
            next = model.next_state(&state, action.clone()).map(|state| (state, action));
        }
        let Some((reached, action)) = next else { break };
        state = reached;
        done.push(action);
    }
    done
}
