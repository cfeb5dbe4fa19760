//! The trial of one mutant on the configurations that should expose it.

use std::sync::Arc;

use raft_explore::any_network::{self, Options, Order};
use raft_explore::bounded_network::level::{self, Goal};
use raft_explore::bounded_network::path;
use raft_explore::control::Control;
use raft_trace::Action;
use serde::Serialize;

use super::Mutant;
use crate::bounded_cluster::{
    BoundedCluster, actions, any_network_actions, bounded_model, broken_properties,
};
use crate::config::{BoundedConfig, Network};
use crate::properties::{Property, PropertySet};

/// The result of a mutant's trial.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// The mutant.
    pub id: String,
    /// The first violation that was found over the bounded network.
    pub killed: Option<Kill>,
    /// The first violation of the property that the mutant has to break, if that is another one.
    pub named: Option<Kill>,
    /// The configurations that it survived over the bounded network, explored to the end, with
    /// their numbers of states.
    pub survived: Vec<(String, u64)>,
    /// The result over any network.
    pub any_network: AnyNetworkTrial,
    /// Whether a limit cut the trial short.
    pub cut: bool,
}

/// The result of a mutant's trial over any network.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AnyNetworkTrial {
    /// The first violation that was found.
    pub killed: Option<Kill>,
    /// The configurations that it survived, explored to the end, with the numbers of states that
    /// were kept.
    pub survived: Vec<(String, u64)>,
}

/// The number of states in which a short run is looked for.
const SHORT: u64 = 50_000;

/// A violation.
#[derive(Clone, Debug, Serialize)]
pub struct Kill {
    /// The configuration.
    pub config: String,
    /// The properties that are broken.
    pub properties: Vec<Property>,
    /// The number of steps, after the configuration's script.
    pub depth: u64,
    /// The same number without the steps that another model need not have: writes becoming durable,
    /// entries being applied, messages being lost.
    pub essential: usize,
    /// The number of steps in the script that the search began with.
    pub script: usize,
    /// The number of states in the levels before.
    pub states: u64,
    /// Whether a server rejected a message within these levels or on the way.
    pub rejected: bool,
    /// Whether a server halted.
    pub halted: bool,
}

impl Kill {
    /// Makes the record of a run. `broken` are the properties that its last step breaks, and `noted`
    /// those that were broken in all that was explored, as bits.
    fn of(
        mutant: &Mutant,
        config: &BoundedConfig,
        actions: &[Action],
        broken: u64,
        noted: u64,
        states: u64,
    ) -> Kill {
        let script = config.script().start(&mutant).actions.len();
        let steps = &actions[script..];
        let noted = broken_properties(noted);
        Kill {
            config: config.name.clone(),
            properties: broken_properties(broken).iter().collect(),
            depth: steps.len() as u64,
            essential: steps.iter().filter(|action| is_essential(action)).count(),
            script,
            states,
            rejected: noted.contains(Property::NothingRejected),
            halted: noted.contains(Property::NobodyHalts),
        }
    }
}

impl Trial {
    /// Returns the first violation that was found over the network that the mutant needs.
    pub fn kill(&self, mutant: &Mutant) -> Option<&Kill> {
        match mutant.network {
            Network::Bounded => self.killed.as_ref(),
            Network::Any => self.any_network.killed.as_ref(),
        }
    }

    /// Returns whether it broke the property that it has to break.
    pub fn is_killed_as_named(&self, mutant: &Mutant) -> bool {
        let mut kills = self.kill(mutant).into_iter().chain(&self.named);
        match mutant.breaks {
            Some(named) => kills.any(|kill| kill.properties.contains(&named)),
            None => kills.next().is_some(),
        }
    }

    /// Returns whether the result is as the mutant's author says: it dies over both networks, unless
    /// it needs the one without bounds, or states a reason why it survives.
    pub fn is_explained(&self, mutant: &Mutant) -> bool {
        let dies = mutant.survives.is_none();
        let bounded = self.killed.is_some() == (dies && mutant.network == Network::Bounded);
        !self.cut && bounded && self.any_network.killed.is_some() == dies
    }
}

/// Tries a mutant over both networks on configurations, in order, until one kills it. If the mutant
/// has to break a certain property, the trial over the bounded network goes on until that property
/// is broken.
pub fn run(mutant: &Mutant, configs: &[BoundedConfig], threads: usize, control: &Control) -> Trial {
    let mut trial = Trial {
        id: mutant.id.clone(),
        killed: None,
        named: None,
        survived: Vec::new(),
        any_network: AnyNetworkTrial::default(),
        cut: false,
    };
    for config in configs {
        if trial.killed.is_none() {
            trial.killed = first_violation(&mut trial, mutant, config, threads, control);
        }
        let named = mutant.breaks.filter(|_| !trial.is_killed_as_named(mutant));
        if let Some(named) = named.filter(|_| trial.killed.is_some()) {
            let goal = Goal::Breaks(named.bit());
            trial.named = kill(mutant, config, goal, threads, control).ok().flatten();
        }
        if trial.is_killed_as_named(mutant) || control.stopped().is_some() {
            break;
        }
    }
    trial.any_network = over_any_network(&trial, mutant, configs, control);
    trial.cut = control.stopped().is_some();
    trial
}

/// Tries a mutant over any network: one that died over the bounded network on the configuration
/// that killed it, and any other on all configurations that are explored over any network.
fn over_any_network(
    trial: &Trial,
    mutant: &Mutant,
    configs: &[BoundedConfig],
    control: &Control,
) -> AnyNetworkTrial {
    let killer = trial.killed.as_ref().map(|kill| &kill.config);
    let chosen = configs.iter().filter(|config| match killer {
        Some(killer) => config.name == *killer,
        None => config.network == Network::Any,
    });
    let mut result = AnyNetworkTrial::default();
    for config in chosen {
        result.killed = kill_over_any_network(&mut result.survived, mutant, config, control);
        if result.killed.is_some() || control.stopped().is_some() {
            break;
        }
    }
    result
}

fn first_violation(
    trial: &mut Trial,
    mutant: &Mutant,
    config: &BoundedConfig,
    threads: usize,
    control: &Control,
) -> Option<Kill> {
    match kill(mutant, config, Goal::Violation, threads, control) {
        Ok(found) => found,
        Err((states, noted)) => {
            // Rejections and halts do not end a search, but they are violations as well.
            if let Some(property) = noted.iter().next() {
                return kill(mutant, config, Goal::Breaks(property.bit()), threads, control)
                    .ok()
                    .flatten();
            }
            if control.stopped().is_none() {
                trial.survived.push((config.name.clone(), states));
            }
            None
        }
    }
}

/// Explores any network until a property is broken, on one thread, so that the same run is found each
/// time: first by the number of steps, because most runs are short, and then all of it.
fn kill_over_any_network(
    survived: &mut Vec<(String, u64)>,
    mutant: &Mutant,
    config: &BoundedConfig,
    control: &Control,
) -> Option<Kill> {
    let system = Arc::new(BoundedCluster::new(config.clone(), Network::Any, mutant));
    let all = Options::default();
    let few = Options {
        order: Order::Breadth,
        most_expanded: if mutant.survives.is_none() { SHORT } else { 0 },
        ..all
    };
    let mut outcome = any_network::search(&system, few, control);
    if outcome.violation.is_none() && !outcome.complete {
        outcome = any_network::search(&system, all, control);
    }
    if outcome.complete && !outcome.removals_hold {
        // The mutant uses messages that Raft ignores.
        outcome = any_network::search(&system, Options { prune: false, ..all }, control);
    }
    let Some((steps, bit)) = outcome.violation else {
        if outcome.complete && outcome.findings.broken == 0 {
            survived.push((config.name.clone(), outcome.kept.states));
        }
        return None;
    };
    let actions = any_network_actions(config, &mutant, steps);
    let (broken, noted) = (bit, outcome.findings.broken);
    Some(Kill::of(mutant, config, &actions, broken, noted, outcome.kept.states))
}

/// Whether other models have such a step.
fn is_essential(action: &Action) -> bool {
    !matches!(action, Action::Sync { .. } | Action::Apply { .. } | Action::Drop(_))
}

/// Finds a shortest run to the goal. If there is none, returns the number of visited states and the
/// properties that were noted in them.
fn kill(
    mutant: &Mutant,
    config: &BoundedConfig,
    goal: Goal,
    threads: usize,
    control: &Control,
) -> Result<Option<Kill>, (u64, PropertySet)> {
    let model = || bounded_model(config, true, mutant);
    let outcome = level::search(&model(), goal, threads, control);
    let Some(depth) = outcome.found_at else {
        return Err((outcome.counts.distinct, broken_properties(outcome.noted)));
    };
    let Some(run) = path::shortest(&model(), goal, depth, control) else {
        return Ok(None);
    };
    let actions = actions(config, &mutant, run.steps);
    let (broken, noted) = (run.broken, outcome.noted | run.broken);
    Ok(Some(Kill::of(mutant, config, &actions, broken, noted, outcome.counts.distinct)))
}
