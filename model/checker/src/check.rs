//! One configuration from start to verdict.

use std::sync::Arc;
use std::time::{Duration, Instant};

use raft_core::Rule;
use raft_trace::{Action, ClusterTrace};
use serde::{Deserialize, Serialize};

use crate::config::BoundedConfig;
use crate::packed::ClusterModel;
use crate::properties::{Property, PropertySet, Witness};
use crate::protocol::Noting;
use crate::search::level::{self, Goal};
use crate::search::path::{self, Path};
use crate::search::{Control, Counts, StopReason, stateright};

/// What a check says. Only [`Verdict::Holds`] is green, and only for the properties that were tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// Explored to the end within the stated bounds, and every property that was tested holds.
    Holds,
    /// Nothing is broken, but a property that the configuration is for was not tested.
    Vacuous,
    /// A property is broken; there is a trace.
    Violated,
    /// The time or the memory ran out, or the strategy never comes to an end.
    Incomplete,
}

impl Verdict {
    /// As it stands in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Holds => "HOLDS",
            Verdict::Vacuous => "VACUOUS",
            Verdict::Violated => "VIOLATED",
            Verdict::Incomplete => "INCOMPLETE",
        }
    }
}

/// How to go through the states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Our own search in level order.
    Level,
    /// One of stateright's.
    Stateright(stateright::Strategy),
}

/// How to check.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How to go through the states.
    pub strategy: Strategy,
    /// How many threads do that.
    pub threads: usize,
    /// Whether states that differ by a renaming of the servers count as one.
    pub symmetry: bool,
}

/// What a check has found out. The names of the fields are those of the JSON report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The configuration.
    pub name: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Why it is INCOMPLETE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete_because: Option<&'static str>,
    /// Visited states; of a simulation, which does not remember them, visits.
    pub distinct_states: u64,
    /// What was folded: `servers`, or nothing.
    pub symmetry: Option<&'static str>,
    /// How many states these are without folding, summed from the sizes of the orbits.
    pub orbit_states: u64,
    /// Enabled actions of visited states, those that change nothing excluded.
    pub transitions: u64,
    /// Distinct pairs of a server and what happens to it, up to the folding.
    pub local_transitions: u64,
    /// The longest shortest path; null unless the search was in level order and complete. For a
    /// violation, the number of levels that were completed.
    pub depth: Option<u64>,
    /// Wall time.
    pub seconds: f64,
    /// The most memory that the process held meanwhile, in bytes; filled in by who watches.
    pub peak_bytes: u64,
    /// How often the cap on messages in flight made an action impossible.
    pub blocked_by_in_flight: u64,
    /// The odds that two states shared a fingerprint, so that one of them was not visited.
    pub collision_odds: f64,
    /// Witnesses that were reached.
    pub witnesses: Vec<Witness>,
    /// The properties that the configuration is for; null if it does not say.
    pub properties_required: Option<Vec<Property>>,
    /// The properties that were tested: their witnesses were reached.
    pub properties_tested: Vec<Property>,
    /// The properties that were not tested, so that nothing is known about them.
    pub properties_not_tested: Vec<Property>,
    /// Those of them that the configuration is for. Empty unless everything was explored.
    pub properties_missed: Vec<Property>,
    /// The property that is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub property: Option<Property>,
    /// What else the same run breaks, and what was rejected on the way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also_broken: Vec<Property>,
    /// The file with the run; filled in by who writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The rules that some explored step asked.
    #[serde(skip)]
    pub rules_asked: Vec<Rule>,
    /// The run that breaks it, and whether it is known to be a shortest one.
    #[serde(skip)]
    pub violation: Option<Violation>,
}

/// A run that breaks a property.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The run.
    pub trace: ClusterTrace,
    /// Whether no shorter run breaks a property.
    pub shortest: bool,
}

/// Checks one configuration under the paper's rules.
pub fn check(config: &BoundedConfig, options: Options, control: &Control) -> Report {
    let started = Instant::now();
    let model = Arc::new(fresh(config, options));
    let found = match options.strategy {
        Strategy::Level => by_level(config, &model, options, control),
        Strategy::Stateright(strategy) => {
            let outcome = stateright::search(&model, strategy, options.threads, control);
            let run = outcome.violation.map(|run| shorten(config, run, options, control));
            let (counts, complete) = (outcome.counts, outcome.complete);
            Found { counts, violated: run.is_some(), run, complete }
        }
    };
    let run = found.run.or_else(|| {
        let noted = model.noted().iter().next().filter(|_| found.complete);
        noted.and_then(|property| trace_noted(config, property, options, control))
    });
    report(config, options, &model, Found { run, ..found }, control, started.elapsed())
}

struct Found {
    counts: Counts,
    /// Whether a property is broken; there need not have been time to make a run of it.
    violated: bool,
    run: Option<(Path, bool)>,
    complete: bool,
}

fn by_level(
    config: &BoundedConfig,
    model: &ClusterModel<Noting>,
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
) -> Option<Path> {
    path::shortest(&fresh(config, options), goal, depth, control)
}

fn fresh(config: &BoundedConfig, options: Options) -> ClusterModel<Noting> {
    ClusterModel::with_protocol(config.clone(), options.symmetry, Noting::default())
}

/// Stateright's runs are not the shortest: looks for a shorter one in level order, as long as the
/// limits allow.
fn shorten(config: &BoundedConfig, run: Path, options: Options, control: &Control) -> (Path, bool) {
    let model = fresh(config, options);
    let outcome = level::search(&model, Goal::Violation, options.threads, control);
    let found = outcome
        .found_at
        .and_then(|depth| shortest(config, Goal::Violation, depth, options, control));
    found.map_or((run, false), |shortest| (shortest, true))
}

/// A shortest run to a rejection or a halt, when nothing else was broken.
fn trace_noted(
    config: &BoundedConfig,
    property: Property,
    options: Options,
    control: &Control,
) -> Option<(Path, bool)> {
    let goal = Goal::Breaks(property);
    let outcome = level::search(&fresh(config, options), goal, options.threads, control);
    Some((shortest(config, goal, outcome.found_at?, options, control)?, true))
}

fn report(
    config: &BoundedConfig,
    options: Options,
    model: &ClusterModel<Noting>,
    found: Found,
    control: &Control,
    elapsed: Duration,
) -> Report {
    let Found { counts, violated, run, complete } = found;
    let broken = run.as_ref().map(|(run, _)| run.broken);
    let noted = model.noted();
    let tested = PropertySet::tested_by(model.witnessed());
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
        distinct_states: counts.distinct,
        symmetry: options.symmetry.then_some("servers"),
        orbit_states: counts.orbit,
        transitions: counts.transitions,
        local_transitions: model.local_transitions() as u64,
        depth: counts.depth.filter(|_| verdict != Verdict::Incomplete),
        seconds: elapsed.as_secs_f64(),
        peak_bytes: 0,
        blocked_by_in_flight: model.blocked(),
        collision_odds: collision_odds(counts.distinct),
        witnesses: model.witnessed().iter().collect(),
        properties_required: config.properties.map(|properties| properties.iter().collect()),
        properties_tested: tested.iter().collect(),
        properties_not_tested: PropertySet::all().without(tested).iter().collect(),
        properties_missed: missed.iter().collect(),
        property: all.next(),
        also_broken: all.collect(),
        trace: None,
        rules_asked: model.protocol().asked(),
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

/// The odds that among `n` fingerprints of 64 bits two are equal: n^2 / 2^65.
fn collision_odds(distinct: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "odds need two digits")]
    let distinct = distinct as f64;
    distinct * distinct / 2f64.powi(65)
}

fn describe(config: &BoundedConfig, broken: PropertySet) -> String {
    let names: Vec<&str> = broken.iter().map(Property::name).collect();
    format!("{} breaks {}", config.name, names.join(", "))
}

/// A run of a configuration as a trace.
pub fn trace(config: &BoundedConfig, actions: Vec<Action>, about: &str) -> ClusterTrace {
    ClusterTrace { settings: config.settings.clone(), about: about.to_owned(), actions }
}

/// A shortest run that reaches a witness; an error if the search was stopped, `None` if no run
/// within the bounds reaches it.
///
/// # Errors
///
/// Why the search was stopped.
pub fn witness_run(
    config: &BoundedConfig,
    witness: Witness,
    options: Options,
    control: &Control,
) -> Result<Option<ClusterTrace>, StopReason> {
    let goal = Goal::Witness(witness);
    let outcome = level::search(&fresh(config, options), goal, options.threads, control);
    if let Some(reason) = control.stopped() {
        return Err(reason);
    }
    let run = outcome.found_at.and_then(|depth| shortest(config, goal, depth, options, control));
    // It may have been interrupted since.
    if control.is_interrupted() {
        return Err(StopReason::Interrupted);
    }
    let about = format!("{} reaches {}", config.name, witness.name());
    Ok(run.map(|run| trace(config, run.actions, &about)))
}
