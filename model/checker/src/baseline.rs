//! The baseline: what explorations of configurations have found, as it was accepted last.
//!
//! A file holds, for each configuration and network, the counts, a hash of the states, the answers of
//! the rules, and the classes of local transitions ([`crate::behaviour`]). A later exploration is
//! compared with it. A refactoring changes nothing; a change of behaviour shows which rules answer
//! otherwise, which transitions are new or gone, and one transition before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::behaviour::{Behaviour, Class, RuleAnswers, Step};
use crate::check::Report;
use crate::config::Network;

/// The version of the file's form.
pub const SCHEMA: u64 = 1;

const HEAD: &str = "\
# What the explorations have found, as it was accepted last. Written by `raftcheck bless`; do not edit.
# Read the difference before you accept it: every changed number is a changed behaviour. `states-hash`
# and `hash` are hashes of all visited states and of all local transitions of a class.
";

/// The accepted results of explorations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    entries: Vec<Entry>,
}

/// The accepted result of the exploration of one configuration over one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The configuration.
    pub name: String,
    /// The network.
    pub network: Network,
    /// The counts, by name.
    pub counts: BTreeMap<String, u64>,
    /// A hash of the visited states.
    pub states_hash: String,
    /// The answers of the rules, by name.
    pub rules: BTreeMap<String, RuleAnswers>,
    /// The classes of local transitions.
    pub classes: BTreeMap<String, Class>,
}

/// The reason why a file is no baseline.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The file is not TOML of the right form.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Its contents.
        text: String,
        /// The place of the mistake in the contents, in bytes.
        span: std::ops::Range<usize>,
        /// The mistake.
        message: String,
    },
    /// The file has the form of another version of the program.
    #[error("{} has schema {found}, and this program reads schema {SCHEMA}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
}

/// The file, word for word.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[expect(dead_code, reason = "it is read before the rest")]
    schema: u64,
    #[serde(default)]
    configuration: Vec<EntryInFile>,
}

/// The part of the file that every version has.
#[derive(Deserialize)]
struct AnySchema {
    schema: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct EntryInFile {
    name: String,
    network: Network,
    states_hash: String,
    counts: BTreeMap<String, u64>,
    #[serde(default)]
    rules: BTreeMap<String, RuleAnswers>,
    #[serde(default)]
    transitions: BTreeMap<String, ClassInFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassInFile {
    count: u64,
    hash: String,
    example: Step,
}

impl Baseline {
    /// Reads a baseline.
    ///
    /// # Errors
    ///
    /// [`BaselineError`].
    pub fn read(path: &Path) -> Result<Baseline, BaselineError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| BaselineError::Io { path: path.to_owned(), source })?;
        Baseline::parse(path, &text)
    }

    /// Reads a baseline from the text of its file.
    ///
    /// # Errors
    ///
    /// [`BaselineError`], except [`BaselineError::Io`].
    pub fn parse(path: &Path, text: &str) -> Result<Baseline, BaselineError> {
        let syntax = |error: &toml::de::Error| BaselineError::Syntax {
            path: path.to_owned(),
            text: text.to_owned(),
            span: error.span().unwrap_or(0..0),
            message: error.message().to_owned(),
        };
        let AnySchema { schema } = toml::from_str(text).map_err(|error| syntax(&error))?;
        if schema != SCHEMA {
            return Err(BaselineError::Schema { path: path.to_owned(), found: schema });
        }
        let file: File = toml::from_str(text).map_err(|error| syntax(&error))?;
        let mut entries = Vec::new();
        for entry in file.configuration {
            let mut classes = BTreeMap::new();
            for (name, ClassInFile { count, hash, example }) in entry.transitions {
                let hash = u64::from_str_radix(&hash, 16).map_err(|_| BaselineError::Syntax {
                    path: path.to_owned(),
                    text: text.to_owned(),
                    span: text.find(&hash).map_or(0..0, |start| start..start + hash.len()),
                    message: format!("{hash:?} is no hash of 16 hexadecimal digits"),
                })?;
                classes.insert(name, Class { count, hash, example });
            }
            let EntryInFile { name, network, states_hash, counts, rules, .. } = entry;
            entries.push(Entry { name, network, counts, states_hash, rules, classes });
        }
        Ok(Baseline { entries })
    }

    /// Returns the text of its file.
    pub fn to_toml(&self) -> String {
        let mut out = format!("{HEAD}schema = {SCHEMA}\n");
        for entry in &self.entries {
            entry.write(&mut out);
        }
        out
    }

    /// Returns the accepted result of a configuration over a network.
    pub fn get(&self, name: &str, network: Network) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name && entry.network == network)
    }

    /// Accepts a result.
    pub fn set(&mut self, entry: Entry) {
        self.entries.retain(|old| (&old.name, old.network) != (&entry.name, entry.network));
        self.entries.push(entry);
        self.entries.sort_by(|a, b| (&a.name, a.network.name()).cmp(&(&b.name, b.network.name())));
    }

    /// Removes the results of configurations that do not exist any more.
    pub fn keep_only(&mut self, exists: impl Fn(&str) -> bool) {
        self.entries.retain(|entry| exists(&entry.name));
    }
}

impl Entry {
    /// Makes the result of an exploration that has come to its end; none of another one.
    pub fn new(report: &Report, behaviour: Behaviour) -> Option<Entry> {
        let mut counts = BTreeMap::from([
            ("states".to_owned(), report.distinct_states),
            ("unfolded".to_owned(), report.orbit_states),
            ("transitions".to_owned(), report.transitions),
            ("local-transitions".to_owned(), report.local_transitions),
        ]);
        match report.network {
            Network::Any => counts.extend(report.server_tuples.map(|n| ("tuples".to_owned(), n))),
            Network::Bounded => {
                counts.insert("blocked".to_owned(), report.blocked_by_in_flight);
            }
        }
        Some(Entry {
            name: report.name.clone(),
            network: report.network,
            counts,
            states_hash: report.states_hash.clone()?,
            rules: behaviour.rules,
            classes: behaviour.classes,
        })
    }

    /// Returns whether a step is one of the examples, or what the same server does now at the same
    /// input.
    pub fn has_example_like(&self, step: &Step) -> bool {
        self.classes.values().any(|class| class.example.has_cause_of(step))
    }

    fn write(&self, out: &mut String) {
        let Entry { name, network, counts, states_hash, rules, classes } = self;
        let _ = writeln!(out, "\n[[configuration]]\nname = {}", quoted(name));
        let _ = writeln!(out, "network = {}", quoted(network.name()));
        let _ = writeln!(out, "states-hash = {}", quoted(states_hash));
        let _ = writeln!(out, "\n[configuration.counts]");
        for (count, number) in counts {
            let _ = writeln!(out, "{count} = {number}");
        }
        let _ = writeln!(out, "\n[configuration.rules]");
        for (rule, RuleAnswers { yes, no }) in rules {
            let _ = writeln!(out, "{rule} = {{ yes = {yes}, no = {no} }}");
        }
        let _ = writeln!(out, "\n[configuration.transitions]");
        for (class, Class { count, hash, example }) in classes {
            let Step { server, input, after, sends } = example;
            let sends: Vec<String> = sends.iter().map(|message| quoted(message)).collect();
            let _ = writeln!(
                out,
                "{} = {{ count = {count}, hash = \"{hash:016x}\", example = {{ server = {}, input = {}, \
                 after = {}, sends = [{}] }} }}",
                quoted(class),
                quoted(server),
                quoted(input),
                quoted(after),
                sends.join(", "),
            );
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// The differences between the accepted result of an exploration and a new one.
#[derive(Clone, Debug, Serialize)]
pub struct Changes {
    /// The configuration.
    pub name: String,
    /// The network.
    pub network: Network,
    /// Whether the baseline has no result of it.
    pub is_new: bool,
    /// Whether other states were visited.
    pub other_states: bool,
    /// The counts that differ.
    pub counts: Vec<Change<u64>>,
    /// The rules that answer otherwise.
    pub rules: Vec<Change<RuleAnswers>>,
    /// The classes of local transitions that differ. If the count of a class is the same, its
    /// transitions are others.
    pub transitions: Vec<Change<u64>>,
    /// A local transition that differs.
    pub example: Option<ChangedStep>,
}

/// A number before and now; none where it did not exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change<T> {
    /// Its name.
    pub name: String,
    /// The accepted one.
    pub before: Option<T>,
    /// The new one.
    pub now: Option<T>,
}

/// A local transition that differs. If both are known, they have the same server and input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangedStep {
    /// The accepted one; none if it is new.
    pub before: Option<Step>,
    /// The new one; none if it does not happen any more.
    pub now: Option<Step>,
}

impl Changes {
    /// Compares a new result with the accepted one. `listed` are the new transitions for which
    /// [`Entry::has_example_like`] returns true. Returns none if nothing differs.
    pub fn between(
        before: Option<&Entry>,
        now: &Entry,
        listed: &BTreeSet<Step>,
    ) -> Option<Changes> {
        let mut changes = Changes {
            name: now.name.clone(),
            network: now.network,
            is_new: before.is_none(),
            other_states: before.is_some_and(|before| before.states_hash != now.states_hash),
            counts: Vec::new(),
            rules: Vec::new(),
            transitions: Vec::new(),
            example: None,
        };
        let Some(before) = before else { return Some(changes) };
        changes.counts = differences(&before.counts, &now.counts, |a, b| a == b, |n| *n);
        changes.rules = differences(&before.rules, &now.rules, |a, b| a == b, |answers| *answers);
        let is_same = |a: &Class, b: &Class| (a.count, a.hash) == (b.count, b.hash);
        changes.transitions =
            differences(&before.classes, &now.classes, is_same, |class| class.count);
        changes.example = changed_step(before, now, &changes.transitions, listed);
        let Changes { other_states, counts, rules, transitions, .. } = &changes;
        let is_same =
            !other_states && counts.is_empty() && rules.is_empty() && transitions.is_empty();
        (!is_same).then_some(changes)
    }
}

fn differences<V, T>(
    before: &BTreeMap<String, V>,
    now: &BTreeMap<String, V>,
    is_same: impl Fn(&V, &V) -> bool,
    value: impl Fn(&V) -> T,
) -> Vec<Change<T>> {
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let differs = |name: &&String| match (before.get(*name), now.get(*name)) {
        (Some(before), Some(now)) => !is_same(before, now),
        _ => true,
    };
    let change = |name: &String| Change {
        name: name.clone(),
        before: before.get(name).map(&value),
        now: now.get(name).map(&value),
    };
    names.into_iter().filter(differs).map(change).collect()
}

/// Returns one step that differs: the same server at the same input if possible, else a step that is
/// new, else one that is gone.
fn changed_step(
    before: &Entry,
    now: &Entry,
    classes: &[Change<u64>],
    listed: &BTreeSet<Step>,
) -> Option<ChangedStep> {
    let example = |entry: &Entry, change: &Change<u64>| {
        entry.classes.get(&change.name).map(|class| class.example.clone())
    };
    let olds: Vec<Step> = classes.iter().filter_map(|change| example(before, change)).collect();
    let same_cause = |old: &Step| listed.iter().filter(|step| step.has_cause_of(old)).collect();
    let effect_now = |old: &Step| {
        let steps: Vec<&Step> = same_cause(old);
        // Servers that differ only in what the notation leaves out have the same text.
        if steps.contains(&old) { None } else { steps.first().copied().cloned() }
    };
    if let Some((old, new)) = olds.iter().find_map(|old| Some((old, effect_now(old)?))) {
        return Some(ChangedStep { before: Some(old.clone()), now: Some(new) });
    }
    let is_new = |change: &&Change<u64>| change.before.is_none();
    if let Some(new) = classes.iter().filter(is_new).find_map(|change| example(now, change)) {
        return Some(ChangedStep { before: None, now: Some(new) });
    }
    let is_gone = |old: &&Step| same_cause(old).is_empty();
    let gone = olds.iter().find(is_gone)?;
    Some(ChangedStep { before: Some(gone.clone()), now: None })
}
