//! The plan of the gate: `specs/gate.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::failure::Failure;

/// The plan's place below the root of the repository.
pub(crate) const PLAN: &str = "specs/gate.toml";

/// How much time a run of the gate is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tier {
    /// Seconds: before a push
    Quick,
    /// Minutes: before a merge
    Smoke,
    /// An hour: every night
    Nightly,
    /// As long as it takes
    Deep,
}

impl Tier {
    /// Returns its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Tier::Quick => "quick",
            Tier::Smoke => "smoke",
            Tier::Nightly => "nightly",
            Tier::Deep => "deep",
        }
    }
}

/// The checks, and how much time they may take.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    budgets: BTreeMap<Tier, Duration>,
    /// Files and folders, by the name under which checks refer to them.
    pub(crate) sources: BTreeMap<String, Vec<PathBuf>>,
    /// The checks of all tiers.
    pub(crate) checks: Vec<Check>,
}

/// A command that succeeds or fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// Its name, which is unique.
    pub(crate) name: String,
    /// What it says if it succeeds.
    pub(crate) about: String,
    /// The tiers to which it belongs.
    pub(crate) tiers: Vec<Tier>,
    /// The time after which it is ended.
    pub(crate) budget: Duration,
    /// A program and its arguments.
    pub(crate) command: Vec<String>,
    /// Whether the program takes `--json FILE`.
    pub(crate) reports: bool,
    /// The names of the sources that can change its result.
    pub(crate) reads: Vec<String>,
}

/// A mistake in the plan: its place in the text, in bytes, and what is wrong.
type Mistake = (std::ops::Range<usize>, String);

/// The file, word for word.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    budgets: BTreeMap<Tier, Spanned<String>>,
    sources: BTreeMap<String, Vec<PathBuf>>,
    check: Vec<CheckInFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckInFile {
    name: Spanned<String>,
    about: String,
    tiers: Vec<Tier>,
    budget: Spanned<String>,
    command: Spanned<String>,
    #[serde(default)]
    reports: bool,
    reads: Vec<Spanned<String>>,
}

impl Plan {
    /// Reads the plan of a repository.
    ///
    /// # Errors
    ///
    /// If it cannot be read or has a mistake.
    pub(crate) fn read(root: &Path) -> Result<Plan, Failure> {
        let path = root.join(PLAN);
        let text = std::fs::read_to_string(&path)
            .map_err(|source| Failure::Read { path: path.clone(), source })?;
        Plan::parse(&text).map_err(|(span, message)| Failure::Mistake { path, text, span, message })
    }

    fn parse(text: &str) -> Result<Plan, Mistake> {
        let file: File = toml::from_str(text)
            .map_err(|error| (error.span().unwrap_or(0..0), error.message().to_owned()))?;
        let mut budgets = BTreeMap::new();
        for (tier, budget) in file.budgets {
            budgets.insert(tier, duration(&budget)?);
        }
        let mut names = BTreeSet::new();
        let mut checks = Vec::new();
        for check in file.check {
            if !names.insert(check.name.get_ref().clone()) {
                return Err((check.name.span(), "another check has this name".to_owned()));
            }
            for source in &check.reads {
                if !file.sources.contains_key(source.get_ref()) {
                    let known: Vec<&str> = file.sources.keys().map(String::as_str).collect();
                    let message = format!("no such sources; there are {}", known.join(", "));
                    return Err((source.span(), message));
                }
            }
            let command: Vec<String> =
                check.command.get_ref().split_whitespace().map(str::to_owned).collect();
            if command.is_empty() {
                return Err((check.command.span(), "there is no command".to_owned()));
            }
            checks.push(Check {
                name: check.name.into_inner(),
                about: check.about,
                tiers: check.tiers,
                budget: duration(&check.budget)?,
                command,
                reports: check.reports,
                reads: check.reads.into_iter().map(Spanned::into_inner).collect(),
            });
        }
        Ok(Plan { budgets, sources: file.sources, checks })
    }

    /// Returns the checks of a tier.
    pub(crate) fn of_tier(&self, tier: Tier) -> Vec<&Check> {
        self.checks.iter().filter(|check| check.tiers.contains(&tier)).collect()
    }

    /// Returns the time that all checks of a tier may take together; none if it has no limit.
    pub(crate) fn budget(&self, tier: Tier) -> Option<Duration> {
        self.budgets.get(&tier).copied()
    }
}

fn duration(text: &Spanned<String>) -> Result<Duration, Mistake> {
    raft_cli::options::positive_duration(text.get_ref()).map_err(|error| (text.span(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[budgets]
quick = "10s"

[sources]
core = ["model/core/src"]

[[check]]
name = "small"
about = "Small."
tiers = ["quick"]
budget = "5s"
command = "raftcheck check election-2"
reads = ["core"]
"#;

    fn mistake(text: &str) -> (String, String) {
        let (span, message) = Plan::parse(text).expect_err("a mistake");
        (text[span].to_owned(), message)
    }

    #[test]
    fn a_plan_is_read() {
        let plan = Plan::parse(GOOD).expect("it is correct");
        assert_eq!(plan.budget(Tier::Quick), Some(Duration::from_secs(10)));
        assert_eq!(plan.budget(Tier::Deep), None);
        assert_eq!(plan.of_tier(Tier::Quick)[0].command, ["raftcheck", "check", "election-2"]);
        assert!(plan.of_tier(Tier::Smoke).is_empty());
    }

    #[test]
    fn a_mistake_has_a_place() {
        let wrong = |from: &str, to: &str| mistake(&GOOD.replace(from, to));
        assert_eq!(wrong("reads = [\"core\"]", "reads = [\"cor\"]").0, "\"cor\"");
        assert_eq!(wrong("\"5s\"", "\"0s\"").0, "\"0s\"");
        assert_eq!(wrong("\"raftcheck check election-2\"", "\" \"").0, "\" \"");
        assert_eq!(wrong("\"quick\"", "\"quik\"").0, "\"quik\"");
        let check = &GOOD[GOOD.find("[[check]]").expect("it is there")..];
        assert_eq!(mistake(&format!("{GOOD}{check}")).1, "another check has this name");
    }
}
