//! A test of the test. With a rule of the paper left out, random schedules find a violation, make
//! it small and save it. The saved trace breaks the same property again under the wrong rules, and
//! no property under the paper's.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use proptest::test_runner::{Config, RngSeed};
use raft_checker::properties::PropertySet;
use raft_core::{Paper, Rule, Rules};
use raft_trace::ClusterTrace;

use super::counterexample::Counterexample;
use super::run::Run;

/// The paper's rules, but one of them always gets the same answer.
struct Wrong {
    rule: Rule,
    answer: bool,
}

impl Rules for Wrong {
    fn holds(&self, rule: Rule, answer: bool) -> bool {
        if rule == self.rule { self.answer } else { answer }
    }

    fn value(&self, _: Rule, value: u64) -> u64 {
        value
    }
}

/// Returns the properties that a trace file breaks when it is replayed step by step; none if a step
/// is not possible.
fn replayed<R: Rules>(path: &Path, rules: &R) -> Option<PropertySet> {
    let file = File::open(path).expect("the file was just written");
    let trace = ClusterTrace::read(BufReader::new(file)).expect("it is a trace");
    let mut run = Run::begin(&trace.settings, rules);
    for action in &trace.actions {
        run.act(rules, action).ok()?;
    }
    run.end(rules);
    Some(run.broken)
}

/// Checks that random schedules find the wrong rule, with a trace of at most that many steps.
fn is_found_out(wrong: &Wrong, steps: usize) {
    let name = wrong.rule.name();
    let rng_seed = RngSeed::Fixed(1);
    let config = Config { cases: 2000, rng_seed, failure_persistence: None, ..Config::default() };
    let found = Counterexample::search(config, 100..1000, wrong).expect(&name);
    assert!(found.actions.len() <= steps, "{name}: {} steps", found.actions.len());

    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = found.save(folder);
    assert_eq!(found.save(folder), path, "the same trace gets the same name");
    let again = replayed(&path, wrong).expect("every step of it is possible");
    assert!(again.contains(found.property), "{name}: {}", path.display());
    let by_paper = replayed(&path, &Paper).unwrap_or_default();
    assert!(by_paper.is_empty(), "{name}: {}", path.display());
    std::fs::remove_file(path).expect("it was there");
}

#[test]
fn voting_twice_is_found_out() {
    let wrong = Wrong { rule: Rule::OneVotePerTerm, answer: true };
    is_found_out(&wrong, 20);
}

#[test]
fn committing_entries_of_older_terms_is_found_out() {
    let wrong = Wrong { rule: Rule::CommitOwnTermOnly, answer: true };
    is_found_out(&wrong, 80);
}

#[test]
fn answering_before_the_disk_is_found_out() {
    let wrong = Wrong { rule: Rule::ReplyWaitsForItsWrite, answer: false };
    is_found_out(&wrong, 30);
}

#[test]
fn voting_for_an_outdated_log_is_found_out() {
    let wrong = Wrong { rule: Rule::CandidateUpToDate, answer: true };
    is_found_out(&wrong, 40);
}

/// A violation of liveness is visible only at the end of a run.
#[test]
fn never_sending_a_snapshot_is_found_out() {
    let wrong = Wrong { rule: Rule::SendSnapshotIfCompacted, answer: false };
    is_found_out(&wrong, 40);
}
