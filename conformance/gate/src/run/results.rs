//! The results of a run of the gate, as data. Every report is made from them.

use raft_checker::exit_code::Exit;
use serde::{Deserialize, Serialize};

use super::counterexample::Counterexample;
use super::plan::Tier;

/// The version of the form of the results.
pub(crate) const SCHEMA: u64 = 1;

/// The results of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Results {
    /// The version of this form.
    pub(crate) schema: u64,
    /// The tier.
    pub(crate) tier: Tier,
    /// The verdict on everything.
    pub(crate) verdict: Status,
    /// The exit code of that verdict.
    pub(crate) exit_code: u8,
    /// The commit of the sources, and whether they differ from it; none if there is no repository.
    pub(crate) commit: Option<String>,
    /// A key for the plan, the tier and all sources. Shards of one run have the same.
    pub(crate) key: String,
    /// The part of the checks that was run; none if all.
    pub(crate) shard: Option<Shard>,
    /// What has changed since a commit, if the user asked for it.
    pub(crate) change: Option<Change>,
    /// The wall time, in seconds; of several shards, the longest.
    pub(crate) seconds: f64,
    /// The time that all checks may take together, in seconds.
    pub(crate) budget_seconds: Option<f64>,
    /// The checks, in the order of the plan.
    pub(crate) checks: Vec<CheckResult>,
}

/// A part of the checks of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shard {
    /// Which part, from 1 on.
    pub(crate) index: usize,
    /// The number of parts.
    pub(crate) count: usize,
}

/// What has changed since a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// The commit, as the user named it.
    pub(crate) since: String,
    /// The files that differ.
    pub(crate) files: Vec<String>,
    /// The functions of raft-core that differ.
    pub(crate) functions: Vec<String>,
    /// The rules that those functions ask.
    pub(crate) rules: Vec<String>,
    /// The mutants that take these rules out.
    pub(crate) mutants: Vec<String>,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckResult {
    /// Its name.
    pub(crate) name: String,
    /// What it says if it succeeds.
    pub(crate) about: String,
    /// The command, to reproduce it.
    pub(crate) command: String,
    /// The verdict on it.
    pub(crate) status: Status,
    /// Why it has this status, unless the output says so.
    pub(crate) because: Option<String>,
    /// The exit code of the program; none if it did not end by itself.
    pub(crate) exit_code: Option<i32>,
    /// Whether it was skipped, because it passed before and nothing has changed that it reads.
    pub(crate) unchanged: bool,
    /// The wall time of the run that decided, in seconds.
    pub(crate) seconds: f64,
    /// The time that it may take, in seconds.
    pub(crate) budget_seconds: f64,
    /// The key of everything that it reads.
    pub(crate) key: String,
    /// The end of its output.
    pub(crate) output: String,
    /// The report of the program.
    pub(crate) report: Option<serde_json::Value>,
    /// The shortest of the runs that violate a property.
    pub(crate) counterexamples: Vec<Counterexample>,
}

/// The verdict on a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Status {
    /// It succeeded.
    Passed,
    /// It succeeded, and something differs from the baseline.
    Changed,
    /// Something holds only because it was not exercised, or a document is out of date.
    Vacuous,
    /// A budget was used up, or the user ended the run.
    Incomplete,
    /// The server differs from the model.
    Diverged,
    /// A property is violated, or a test fails.
    Failed,
    /// The check cannot be run as it is.
    Unusable,
    /// A program is broken.
    Broken,
}

impl Status {
    /// Returns the exit code.
    pub(crate) const fn exit(self) -> Exit {
        match self {
            Status::Passed => Exit::Fine,
            Status::Changed => Exit::Changed,
            Status::Vacuous => Exit::Vacuous,
            Status::Incomplete => Exit::Incomplete,
            Status::Diverged => Exit::Diverged,
            Status::Failed => Exit::Violated,
            Status::Unusable => Exit::Usage,
            Status::Broken => Exit::Internal,
        }
    }

    /// Returns the name in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Status::Passed => "PASSED",
            Status::Changed => "CHANGED",
            Status::Vacuous => "VACUOUS",
            Status::Incomplete => "INCOMPLETE",
            Status::Diverged => "DIVERGED",
            Status::Failed => "FAILED",
            Status::Unusable => "UNUSABLE",
            Status::Broken => "BROKEN",
        }
    }

    /// Returns the status of a check whose program ended with a code. `is_ours` says whether the
    /// program is one of this project, whose codes have a meaning.
    pub(crate) fn of_exit_code(code: Option<i32>, is_ours: bool) -> Status {
        match code {
            Some(0) => Status::Passed,
            Some(1) => Status::Failed,
            Some(2) if is_ours => Status::Unusable,
            Some(3) if is_ours => Status::Diverged,
            Some(4) if is_ours => Status::Changed,
            Some(5) if is_ours => Status::Vacuous,
            Some(6) if is_ours => Status::Incomplete,
            Some(_) if !is_ours => Status::Failed,
            Some(_) | None => Status::Broken,
        }
    }

    /// Returns the verdict on several checks.
    pub(crate) fn worst(all: impl IntoIterator<Item = Status>) -> Status {
        all.into_iter().min_by_key(|status| status.exit()).unwrap_or(Status::Passed)
    }
}

impl Results {
    /// Returns the verdict in one line.
    pub(crate) fn headline(&self) -> String {
        let all = self.checks.len();
        let count = |status| self.checks.iter().filter(|check| check.status == status).count();
        let passed = count(Status::Passed);
        let unchanged = self.checks.iter().filter(|check| check.unchanged).count();
        let skipped = match unchanged {
            0 => String::new(),
            unchanged => format!(", {unchanged} of them before, and nothing they read has changed"),
        };
        let others: Vec<String> = [
            Status::Broken,
            Status::Unusable,
            Status::Failed,
            Status::Diverged,
            Status::Incomplete,
            Status::Vacuous,
            Status::Changed,
        ]
        .into_iter()
        .filter(|status| count(*status) > 0)
        .map(|status| format!("; {} {}", count(status), status.name().to_lowercase()))
        .collect();
        let (verdict, tier) = (self.verdict.name(), self.tier.name());
        format!(
            "{verdict}: {passed} of {all} checks of the tier {tier} passed{skipped}{}.",
            others.concat()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_budget_is_never_green() {
        let all = [Status::Passed, Status::Changed, Status::Incomplete];
        assert_eq!(Status::worst(all), Status::Incomplete);
        assert_eq!(Status::worst([Status::Incomplete, Status::Failed]), Status::Failed);
        assert_eq!(Status::worst([Status::Failed, Status::Broken]), Status::Broken);
        assert_eq!(Status::worst([]), Status::Passed);
    }

    #[test]
    fn codes_of_other_programs_have_no_meaning_of_their_own() {
        assert_eq!(Status::of_exit_code(Some(4), true), Status::Changed);
        assert_eq!(Status::of_exit_code(Some(4), false), Status::Failed);
        assert_eq!(Status::of_exit_code(Some(101), true), Status::Broken);
        assert_eq!(Status::of_exit_code(None, false), Status::Broken);
    }
}
