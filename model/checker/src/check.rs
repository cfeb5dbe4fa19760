//! One configuration from start to verdict.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use raft_core::Rule;
use raft_explore::any_network::{self, Kept, Scale, SearchError};
use raft_explore::bounded_network::level::{self, Goal};
use raft_explore::bounded_network::{Counts, path, stateright};
use raft_explore::control::{Control, StopReason};
use raft_trace::{Action, ClusterTrace};
use serde::{Deserialize, Serialize};

use crate::bounded_cluster::{
    self, BoundedCluster, BoundedModel, actions, any_network_actions, as_actions,
    broken_properties, reached_witnesses,
};
use crate::cluster::server::Server;
use crate::config::{BoundedConfig, Network};
use crate::properties::{Property, PropertySet, Witness, WitnessSet};
use crate::protocol::Noting;

/// The verdict of a check. Only [`Verdict::Holds`] is a success, and only for the properties that
/// were tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// All states within the stated bounds were explored, and every property that was tested holds.
    Holds,
    /// Nothing is broken, but a property that the configuration is for was not tested.
    Vacuous,
    /// A property is broken. There is a trace, unless the limits left no time to make one.
    Violated,
    /// A limit or an interrupt ended the search, or the strategy never comes to an end.
    Incomplete,
}

impl Verdict {
    /// Returns the verdict's name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Holds => "HOLDS",
            Verdict::Vacuous => "VACUOUS",
            Verdict::Violated => "VIOLATED",
            Verdict::Incomplete => "INCOMPLETE",
        }
    }
}

/// The way to go through the states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// This crate's search in level order.
    Level,
    /// One of stateright's strategies.
    Stateright(stateright::Strategy),
}

/// The options of a check.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The way to go through the states.
    pub strategy: Strategy,
    /// The number of threads.
    pub threads: usize,
    /// Whether states that differ by a renaming of the servers count as one.
    pub symmetry: bool,
    /// The network, if it is not the one of the configuration.
    pub network: Option<Network>,
}

/// The result of a check. The names of the fields are those of the JSON report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The configuration.
    pub name: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The reason for INCOMPLETE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete_because: Option<&'static str>,
    /// The network that was explored.
    pub network: Network,
    /// Over any network, the distinct tuples of servers, budgets and history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_tuples: Option<u64>,
    /// A hash of all visited states, which does not depend on their order; none unless all were
    /// visited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub states_hash: Option<String>,
    /// The number of visited states; over any network, of those with the most messages. A simulation
    /// does not remember states and counts visits.
    pub distinct_states: u64,
    /// The symmetry that was folded: `servers`, or none.
    pub symmetry: Option<&'static str>,
    /// The number of states without folding: the sum of the sizes of the orbits.
    pub orbit_states: u64,
    /// The number of enabled actions of visited states, without those that change nothing.
    pub transitions: u64,
    /// The number of distinct pairs of a server and an action on it, up to the folding.
    pub local_transitions: u64,
    /// The longest of the shortest paths to a state; null unless the search was in level order and
    /// complete. For a violation, the number of levels that were completed.
    pub depth: Option<u64>,
    /// Wall time.
    pub seconds: f64,
    /// The peak memory of the process during the check, in bytes. The caller fills it in.
    pub peak_bytes: u64,
    /// How often the cap on messages in flight made an action impossible.
    pub blocked_by_in_flight: u64,
    /// The probability that two states shared a fingerprint, so that one of them was not visited.
    pub collision_odds: f64,
    /// The witnesses that were reached.
    pub witnesses: Vec<Witness>,
    /// The properties that the configuration is for; null if it does not name any.
    pub properties_required: Option<Vec<Property>>,
    /// The properties that were tested: their witnesses were reached.
    pub properties_tested: Vec<Property>,
    /// The properties that were not tested, so that nothing is known about them.
    pub properties_not_tested: Vec<Property>,
    /// The untested properties that the configuration is for. Empty unless everything was explored.
    pub properties_missed: Vec<Property>,
    /// The property that is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub property: Option<Property>,
    /// The other properties that the same run breaks, and rejections or halts on the way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also_broken: Vec<Property>,
    /// The file with the run. The code that writes the file fills it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The rules that were asked in some explored step; none if a part of the exploration was done by
    /// another process.
    #[serde(skip)]
    pub rules_asked: Option<Vec<Rule>>,
    /// The run that breaks the property.
    #[serde(skip)]
    pub violation: Option<Violation>,
}

/// A run that breaks a property.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The run.
    pub trace: ClusterTrace,
    /// Whether the run is known to be a shortest one that breaks a property.
    pub shortest: bool,
}

/// A receiver of the local transitions of an exploration that has come to its end: one of each class
/// that differs only by a renaming of the servers.
pub type Look<'a> = dyn FnMut(&mut dyn Iterator<Item = (&Server, Action)>) + 'a;

/// Checks one configuration under the paper's rules.
///
/// # Panics
///
/// If no threads can be started.
pub fn check(config: &BoundedConfig, options: Options, control: &Control) -> Report {
    check_and_look(config, options, control, &mut |_| {})
}

/// Checks one configuration, and shows what its servers did.
///
/// # Panics
///
/// If no threads can be started.
pub fn check_and_look(
    config: &BoundedConfig,
    options: Options,
    control: &Control,
    look: &mut Look<'_>,
) -> Report {
    let started = Instant::now();
    let explored = match options.network.unwrap_or(config.network) {
        Network::Any => {
            let alone = over_any_network(config, options, &Scale::default(), control, look);
            alone.expect("without other processes and checkpoints nothing fails")
        }
        Network::Bounded => over_bounded_network(config, options, control, look),
    };
    report(config, options, explored, control, started.elapsed())
}

/// Checks one configuration over any network, with other processes or with checkpoints. The identity
/// in `scale` is that of the program.
///
/// # Errors
///
/// If a process is lost, or if a checkpoint cannot be written or read.
///
/// # Panics
///
/// If no threads can be started.
pub fn check_at_scale(
    config: &BoundedConfig,
    options: Options,
    scale: &Scale,
    control: &Control,
) -> Result<Report, SearchError> {
    let started = Instant::now();
    let options = Options { network: Some(Network::Any), ..options };
    let explored = over_any_network(config, options, scale, control, &mut |_| {})?;
    Ok(report(config, options, explored, control, started.elapsed()))
}

/// A run from the first start of the cluster on.
struct Run {
    actions: Vec<Action>,
    /// The properties that its last step breaks.
    broken: PropertySet,
}

/// What an exploration has found.
struct Explored {
    network: Network,
    counts: Counts,
    kept: Option<Kept>,
    local_transitions: u64,
    witnessed: WitnessSet,
    noted: PropertySet,
    blocked: u64,
    rules_asked: Option<Vec<Rule>>,
    /// Whether a property is broken; there need not have been time to make a run of it.
    violated: bool,
    /// The run, the properties that it breaks, and whether it is known to be a shortest one.
    run: Option<(Run, bool)>,
    complete: bool,
}

fn over_any_network(
    config: &BoundedConfig,
    options: Options,
    scale: &Scale,
    control: &Control,
    look: &mut Look<'_>,
) -> Result<Explored, SearchError> {
    let identity = identity(config, scale.identity);
    let scale = Scale { identity, ..scale.clone() };
    let system = BoundedCluster::new(config.clone(), Network::Any, Noting::default());
    let system = Arc::new(system);
    let Options { threads, symmetry, .. } = options;
    let how = any_network::Options { threads, symmetry, ..any_network::Options::default() };
    let mut explored = any_network::explore_at_scale(&system, how, &scale, control)?;
    if explored.outcome.complete && !explored.outcome.removals_hold {
        // The code was changed such that Raft's rules about old messages do not hold in it.
        // The checkpoints are those of the search that removes messages.
        let all = any_network::Options { prune: false, ..how };
        let scale = Scale { checkpoints: None, ..scale.clone() };
        explored = any_network::explore_at_scale(&system, all, &scale, control)?;
    }
    if explored.outcome.complete {
        look(&mut as_actions(explored.local_transitions()));
    }
    let outcome = explored.outcome;
    let broken = broken_properties(outcome.findings.broken);
    let mut run = outcome.violation.map(|(steps, bit)| {
        let actions = any_network_actions(config, &Noting::default(), steps);
        (Run { actions, broken: broken_properties(bit) }, false)
    });
    let is_first = scale.hosts.as_ref().is_none_or(|hosts| hosts.place().0 == 0);
    if is_first && !broken.is_empty() {
        // The bounded network has shorter runs, if it is enough to break something.
        let level = Options { strategy: Strategy::Level, ..options };
        run = over_bounded_network(config, level, control, &mut |_| {}).run.or(run);
    }
    let is_part = scale.hosts.is_some()
        || scale.checkpoints.is_some_and(|c| c.start != any_network::Start::Beginning);
    // Nobody knows what other processes have asked, or this one before it was stopped.
    let rules_asked = (!is_part).then(|| system.protocol().asked());
    Ok(Explored {
        network: Network::Any,
        counts: Counts {
            distinct: outcome.kept.states,
            orbit: outcome.kept.unfolded,
            transitions: outcome.kept.steps,
            hash: outcome.kept.hash,
            depth: None,
        },
        kept: Some(outcome.kept),
        local_transitions: outcome.local_transitions,
        witnessed: reached_witnesses(outcome.findings.witnessed),
        noted: broken,
        blocked: 0,
        rules_asked,
        violated: !broken.that_end_search().is_empty(),
        run,
        complete: outcome.complete,
    })
}

/// Returns the identity of the exploration of a configuration by a program.
fn identity(config: &BoundedConfig, program: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (program, format!("{config:?}")).hash(&mut hasher);
    hasher.finish()
}

fn over_bounded_network(
    config: &BoundedConfig,
    options: Options,
    control: &Control,
    look: &mut Look<'_>,
) -> Explored {
    let model = Arc::new(fresh(config, options));
    let found = match options.strategy {
        Strategy::Level => by_level(config, &model, options, control),
        Strategy::Stateright(strategy) => {
            let outcome = stateright::search(&model, strategy, options.threads, control);
            let run = outcome.violation.map(|path| run_from_the_start(config, path));
            let run = run.map(|run| shorten(config, run, options, control));
            let (counts, complete) = (outcome.counts, outcome.complete);
            Found { counts, violated: run.is_some(), run, complete }
        }
    };
    let noted = broken_properties(model.findings().broken);
    let run = found.run.or_else(|| {
        let noted = noted.iter().next().filter(|_| found.complete);
        noted.and_then(|property| trace_noted(config, property, options, control))
    });
    if found.complete {
        look(&mut as_actions(model.local_transitions()));
    }
    Explored {
        network: Network::Bounded,
        counts: found.counts,
        kept: None,
        local_transitions: model.local_transitions().len() as u64,
        witnessed: reached_witnesses(model.findings().witnessed),
        noted,
        blocked: model.blocked(),
        rules_asked: Some(model.system().protocol().asked()),
        violated: found.violated,
        run,
        complete: found.complete,
    }
}

struct Found {
    counts: Counts,
    violated: bool,
    run: Option<(Run, bool)>,
    complete: bool,
}

fn by_level(
    config: &BoundedConfig,
    model: &BoundedModel<Noting>,
    options: Options,
    control: &Control,
) -> Found {
    let outcome = level::search(model, Goal::Violation, options.threads, control);
    let run = outcome
        .found_at
        .and_then(|depth| shortest(config, Goal::Violation, depth, options, control));
    let (violated, complete) = (outcome.found_at.is_some(), outcome.complete);
    Found { counts: outcome.counts, violated, run: run.map(|run| (run, true)), complete }
}

fn shortest(
    config: &BoundedConfig,
    goal: Goal,
    depth: u64,
    options: Options,
    control: &Control,
) -> Option<Run> {
    let path = path::shortest(&fresh(config, options), goal, depth, control)?;
    Some(run_from_the_start(config, path))
}

/// Returns a run from the first start of the cluster on.
fn run_from_the_start(config: &BoundedConfig, path: path::Path<BoundedCluster<Noting>>) -> Run {
    let actions = actions(config, &Noting::default(), path.steps);
    Run { actions, broken: broken_properties(path.broken) }
}

fn fresh(config: &BoundedConfig, options: Options) -> BoundedModel<Noting> {
    bounded_cluster::bounded_model(config, options.symmetry, Noting::default())
}

/// Looks for a shorter run in level order, as far as the limits allow, because stateright's runs
/// need not be shortest.
fn shorten(config: &BoundedConfig, run: Run, options: Options, control: &Control) -> (Run, bool) {
    let model = fresh(config, options);
    let outcome = level::search(&model, Goal::Violation, options.threads, control);
    let found = outcome
        .found_at
        .and_then(|depth| shortest(config, Goal::Violation, depth, options, control));
    found.map_or((run, false), |shortest| (shortest, true))
}

/// Finds a shortest run to a rejection or a halt, when no other property was broken.
fn trace_noted(
    config: &BoundedConfig,
    property: Property,
    options: Options,
    control: &Control,
) -> Option<(Run, bool)> {
    let goal = Goal::Breaks(property.bit());
    let outcome = level::search(&fresh(config, options), goal, options.threads, control);
    Some((shortest(config, goal, outcome.found_at?, options, control)?, true))
}

fn report(
    config: &BoundedConfig,
    options: Options,
    explored: Explored,
    control: &Control,
    elapsed: Duration,
) -> Report {
    let Explored { network, counts, complete, violated, noted, run, .. } = explored;
    let broken = run.as_ref().map(|(run, _)| run.broken);
    let tested = PropertySet::tested_by(explored.witnessed);
    let missed = if complete {
        config.properties.unwrap_or_default().without(tested)
    } else {
        PropertySet::default()
    };
    let verdict = if violated || !noted.is_empty() {
        Verdict::Violated
    } else if !complete {
        Verdict::Incomplete
    } else if missed.is_empty() {
        Verdict::Holds
    } else {
        Verdict::Vacuous
    };
    let mut all: PropertySet = broken.into_iter().flat_map(PropertySet::iter).collect();
    all.extend(noted);
    let mut all = all.iter();
    Report {
        name: config.name.clone(),
        verdict,
        incomplete_because: (verdict == Verdict::Incomplete)
            .then(|| why_incomplete(options, control)),
        network,
        server_tuples: explored.kept.map(|kept| kept.tuples),
        states_hash: (complete && !violated).then(|| format!("{:016x}", counts.hash)),
        distinct_states: counts.distinct,
        symmetry: options.symmetry.then_some("servers"),
        orbit_states: counts.orbit,
        transitions: counts.transitions,
        local_transitions: explored.local_transitions,
        depth: counts.depth.filter(|_| verdict != Verdict::Incomplete),
        seconds: elapsed.as_secs_f64(),
        peak_bytes: 0,
        blocked_by_in_flight: explored.blocked,
        collision_odds: match network {
            // Its states are compared as they are.
            Network::Any => 0.0,
            Network::Bounded => collision_odds(counts.distinct),
        },
        witnesses: explored.witnessed.iter().collect(),
        properties_required: config.properties.map(|properties| properties.iter().collect()),
        properties_tested: tested.iter().collect(),
        properties_not_tested: PropertySet::all().without(tested).iter().collect(),
        properties_missed: missed.iter().collect(),
        property: all.next(),
        also_broken: all.collect(),
        trace: None,
        rules_asked: explored.rules_asked,
        violation: run.map(|(run, shortest)| Violation {
            trace: trace(config, run.actions, &describe(config, run.broken)),
            shortest,
        }),
    }
}

fn why_incomplete(options: Options, control: &Control) -> &'static str {
    match control.stopped() {
        Some(StopReason::Interrupted) => StopReason::Interrupted.sentence(),
        _ if is_simulation(options) => "a simulation visits states again, and never all of them",
        Some(reason) => reason.sentence(),
        None => "the search did not come to its end",
    }
}

fn is_simulation(options: Options) -> bool {
    matches!(options.strategy, Strategy::Stateright(stateright::Strategy::Simulation { .. }))
}

/// Returns the probability that two of `n` fingerprints of 64 bits are equal: n^2 / 2^65.
fn collision_odds(distinct: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "odds need two digits")]
    let distinct = distinct as f64;
    distinct * distinct / 2f64.powi(65)
}

fn describe(config: &BoundedConfig, broken: PropertySet) -> String {
    let names: Vec<&str> = broken.iter().map(Property::name).collect();
    format!("{} breaks {}", config.name, names.join(", "))
}

/// Makes a trace of a run of a configuration.
pub fn trace(config: &BoundedConfig, actions: Vec<Action>, about: &str) -> ClusterTrace {
    ClusterTrace { settings: config.settings.clone(), about: about.to_owned(), actions }
}

/// Finds a shortest run that reaches a witness. Returns `None` if no run within the bounds reaches
/// it.
///
/// # Errors
///
/// The reason why the search was stopped.
pub fn witness_run(
    config: &BoundedConfig,
    witness: Witness,
    options: Options,
    control: &Control,
) -> Result<Option<ClusterTrace>, StopReason> {
    let goal = Goal::Witness(witness.bit());
    let outcome = level::search(&fresh(config, options), goal, options.threads, control);
    if let Some(reason) = control.stopped() {
        return Err(reason);
    }
    let run = outcome.found_at.and_then(|depth| shortest(config, goal, depth, options, control));
    // The search for the path may have been interrupted.
    if control.is_interrupted() {
        return Err(StopReason::Interrupted);
    }
    let about = format!("{} reaches {}", config.name, witness.name());
    Ok(run.map(|run| trace(config, run.actions, &about)))
}
