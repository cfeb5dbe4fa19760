//! Counterexamples as data: the runs that violate a property, step by step, for reports.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use raft_checker::diagram::{Theme, mermaid, svg};
use raft_checker::notation::{describe_action, describe_server};
use raft_checker::properties::Property;
use raft_checker::replay::{Answer, Replay, Step};
use raft_checker::rule_map;
use raft_core::Rule;
use raft_trace::ClusterTrace;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most counterexamples of a check that a report shows: the shortest ones.
const MOST: usize = 3;

/// A run that violates properties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counterexample {
    /// The configuration.
    pub(crate) configuration: String,
    /// The file with the trace.
    pub(crate) trace: String,
    /// The properties that it violates, each with its sentence.
    pub(crate) violates: Vec<(String, String)>,
    /// The names of the servers.
    pub(crate) servers: Vec<String>,
    /// The servers at the start.
    pub(crate) start: Vec<String>,
    /// The steps.
    pub(crate) steps: Vec<RunStep>,
    /// The step that violates the properties, from 1 on.
    pub(crate) violation: usize,
    /// The earlier step that this contradicts, from 1 on.
    pub(crate) contradicts: Option<usize>,
    /// A sequence diagram as SVG.
    pub(crate) svg: String,
    /// A sequence diagram in Mermaid's language.
    pub(crate) mermaid: String,
}

/// A step of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunStep {
    /// The action.
    pub(crate) action: String,
    /// The servers after it.
    pub(crate) servers: Vec<String>,
    /// The rules that were asked.
    pub(crate) rules: Vec<AskedRule>,
}

/// A rule that was asked in a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskedRule {
    /// Its name.
    pub(crate) name: String,
    /// Its answer.
    pub(crate) answer: String,
    /// Its sentence.
    pub(crate) sentence: String,
    /// The place of the sentence in the paper or the thesis.
    pub(crate) source: String,
    /// The functions that ask for it.
    pub(crate) places: Vec<String>,
}

/// Returns the counterexamples that a report of `raftcheck check` names, the shortest ones first. Those
/// that cannot be read are left out; the report names them.
pub(crate) fn of_report(report: &Value) -> Vec<Counterexample> {
    let configs = report["configs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let named = configs.iter().filter_map(|config| {
        let trace = config["trace"].as_str()?;
        read(config["name"].as_str()?, Path::new(trace))
    });
    let mut all: Vec<Counterexample> = named.collect();
    all.sort_by_key(|run| run.steps.len());
    all.truncate(MOST);
    all
}

fn read(configuration: &str, path: &Path) -> Option<Counterexample> {
    let trace = ClusterTrace::read(BufReader::new(File::open(path).ok()?)).ok()?;
    let replay = Replay::run(&trace.settings, &trace.actions).ok()?;
    let (place, broken) = replay.violation()?;
    let describe = |servers: &[_]| servers.iter().map(describe_server).collect::<Vec<_>>();
    let step = |step: &Step| RunStep {
        action: describe_action(&step.action),
        servers: describe(&step.after.servers),
        rules: step.asked.iter().map(asked_rule).collect(),
    };
    let sentence =
        |property: Property| (property.name().to_owned(), property.sentence().to_owned());
    Some(Counterexample {
        configuration: configuration.to_owned(),
        trace: path.display().to_string(),
        violates: broken.iter().map(sentence).collect(),
        servers: replay.start.servers.iter().map(|server| server.id.to_string()).collect(),
        start: describe(&replay.start.servers),
        steps: replay.steps.iter().map(step).collect(),
        violation: place + 1,
        contradicts: replay.contradicted().map(|earlier| earlier + 1),
        svg: svg(&replay, "", Theme::Auto),
        mermaid: mermaid(&replay),
    })
}

fn asked_rule((rule, answer): &(Rule, Answer)) -> AskedRule {
    AskedRule {
        name: rule.name(),
        answer: match answer {
            Answer::Holds(true) => "yes".to_owned(),
            Answer::Holds(false) => "no".to_owned(),
            Answer::Value(value) => format!("= {value}"),
        },
        sentence: rule.text().sentence.to_owned(),
        source: rule.text().source.to_owned(),
        places: rule_map::places(*rule),
    }
}
