//! What has changed since a commit: functions of raft-core, the rules that they ask, and the mutants
//! that take these rules out.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::Command;

use raft_checker::mutants;
use raft_core::Rule;

use super::results::Change;
use crate::failure::Failure;

/// The transition functions.
const CORE: &str = "model/core/src/";

/// Returns what has changed since a commit.
pub(crate) fn since(root: &Path, reference: &str) -> Result<Change, Failure> {
    let diff = git(root, &["diff", "--unified=0", "--no-color", "--no-ext-diff", reference, "--"])?;
    let untracked = git(root, &["ls-files", "--others", "--exclude-standard"])?;
    let hunks = hunks(&diff);
    let mut files: BTreeSet<String> = hunks.iter().map(|(file, _)| file.clone()).collect();
    files.extend(untracked.lines().map(str::to_owned));
    let (mut functions, mut rules) = (BTreeSet::new(), BTreeSet::new());
    for (file, lines) in hunks {
        let Some(name) = file.strip_prefix(CORE) else { continue };
        let text = std::fs::read_to_string(root.join(&file)).unwrap_or_default();
        for function in functions_at(&text, &lines) {
            functions.insert(format!("{name}: {}", function.name));
            rules.extend(Rule::ALL.iter().copied().filter(|rule| asks(function.text, *rule)));
        }
    }
    let removes_one = |mutant: &mutants::Mutant| mutant.removes.is_some_and(|r| rules.contains(&r));
    let mutants = mutants::all().into_iter().filter(removes_one).map(|mutant| mutant.id).collect();
    Ok(Change {
        since: reference.to_owned(),
        files: files.into_iter().collect(),
        functions: functions.into_iter().collect(),
        mutants,
        rules: rules.into_iter().map(Rule::name).collect(),
    })
}

/// Returns the commit of a repository, with `+` if files differ from it; none if there is none.
pub(crate) fn commit(root: &Path) -> Option<String> {
    let head = git(root, &["rev-parse", "--short=12", "HEAD"]).ok()?;
    let status = git(root, &["status", "--porcelain"]).ok()?;
    Some(format!("{}{}", head.trim(), if status.trim().is_empty() { "" } else { "+" }))
}

fn git(root: &Path, arguments: &[&str]) -> Result<String, Failure> {
    let failed = |reason: String| Failure::Input {
        what: format!("git {}: {}", arguments.join(" "), reason.trim()),
        advice: "name a commit, a branch or a tag; nothing was checked".to_owned(),
    };
    let output = Command::new("git").current_dir(root).args(arguments).output();
    let output = output.map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

/// Returns the changed parts of files in a diff without context: the lines in the new file. A part
/// that was only removed is the two lines around it.
fn hunks(diff: &str) -> Vec<(String, RangeInclusive<usize>)> {
    let mut file = None;
    let mut hunks = Vec::new();
    for line in diff.lines() {
        if let Some(path) = line.strip_prefix("+++ ") {
            file = path.strip_prefix("b/").map(str::to_owned);
        } else if let Some(path) = line.strip_prefix("--- a/") {
            file = Some(path.to_owned());
            hunks.push((path.to_owned(), 0..=0));
        } else if let (Some(file), Some(range)) = (&file, line.strip_prefix("@@ -")) {
            let added = range.split('+').nth(1).and_then(|rest| rest.split(' ').next());
            let (first, count) = added.map_or((0, 0), |added| {
                let mut numbers = added.split(',').map(|number| number.parse().unwrap_or(0));
                (numbers.next().unwrap_or(0), numbers.next().unwrap_or(1))
            });
            let last = if count == 0 { first + 1 } else { first + count - 1 };
            hunks.push((file.clone(), first..=last));
        }
    }
    hunks
}

/// A function of a source.
struct Function<'t> {
    name: &'t str,
    text: &'t str,
}

/// Returns the functions that have one of the lines, counted from 1. A function goes on up to the
/// next one.
fn functions_at<'t>(text: &'t str, lines: &RangeInclusive<usize>) -> Vec<Function<'t>> {
    let mut starts = Vec::new();
    let mut offset = 0;
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let code = line.split("//").next().unwrap_or(line);
        if let Some((_, rest)) = code.split_once("fn ") {
            let name = rest.split(['(', '<']).next().unwrap_or(rest);
            starts.push((number, offset, name));
        }
        offset += line.len();
    }
    let end = |place: usize| starts.get(place + 1).map_or((usize::MAX, text.len()), |s| (s.0, s.1));
    let function = |(place, (first, from, name)): (usize, &(usize, usize, &'t str))| {
        let (next, to) = end(place);
        (*first <= *lines.end() && *lines.start() < next)
            .then_some(Function { name, text: &text[*from..to] })
    };
    starts.iter().enumerate().filter_map(function).collect()
}

/// Returns whether a text asks for a rule.
fn asks(text: &str, rule: Rule) -> bool {
    let mention = format!("Rule::{rule:?}");
    let ends = |rest: &str| !rest.starts_with(|letter: char| letter.is_alphanumeric());
    text.match_indices(&mention).any(|(place, _)| ends(&text[place + mention.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "\
diff --git a/model/core/src/commit.rs b/model/core/src/commit.rs
--- a/model/core/src/commit.rs
+++ b/model/core/src/commit.rs
@@ -7 +7,2 @@ fn one() {
-x
+y
+z
@@ -20,3 +21,0 @@
-gone
diff --git a/old.rs b/old.rs
--- a/old.rs
+++ /dev/null
@@ -1,2 +0,0 @@
";

    #[test]
    fn the_changed_lines_of_a_diff_are_found() {
        let commit = || "model/core/src/commit.rs".to_owned();
        let expected = [(commit(), 0..=0), (commit(), 7..=8), (commit(), 21..=22)];
        assert_eq!(hunks(DIFF)[..3], expected);
        assert_eq!(hunks(DIFF)[3], ("old.rs".to_owned(), 0..=0));
    }

    const SOURCE: &str = "\
use x;

fn one<R>() {
    // fn comment(
    rules.holds(Rule::VoteOnce, true)
}

fn two() {
    rules.holds(Rule::VoteOnceMore, true)
}
";

    #[test]
    fn the_functions_of_changed_lines_are_found() {
        let names = |lines| {
            functions_at(SOURCE, &lines).iter().map(|function| function.name).collect::<Vec<_>>()
        };
        assert_eq!(names(5..=5), ["one"]);
        assert_eq!(names(6..=9), ["one", "two"]);
        assert_eq!(names(0..=0), Vec::<&str>::new());
    }

    #[test]
    fn a_rule_is_not_mistaken_for_one_with_a_longer_name() {
        assert!(asks("Rule::CommitQuorum, x", Rule::CommitQuorum));
        assert!(!asks("Rule::CommitQuorums, x", Rule::CommitQuorum));
    }
}
