//! Random schedules break nothing, and they reach every witness.

use std::collections::BTreeSet;
use std::path::Path;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestRunner};
use raft_checker::properties::Witness;
use raft_core::Paper;

use super::choice::schedules;
use super::counterexample::Counterexample;
use super::run::Run;

/// The number of choices in a schedule. About half of them mean an action in their state.
const CHOICES: std::ops::Range<usize> = 100..1200;

/// The folder of the traces that must break nothing.
const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../specs/corpus");

/// The schedules differ every time. The environment variables `PROPTEST_CASES` and
/// `PROPTEST_RNG_SEED` set their number (eight for each case: a run takes a millisecond) and the
/// seed.
#[test]
fn figure_3_holds_under_random_schedules() {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    config.cases *= 8;
    let Some(found) = Counterexample::search(config, CHOICES, &Paper) else {
        return;
    };
    let path = found.save(Path::new(CORPUS));
    let path = path.canonicalize().unwrap_or(path);
    panic!(
        "{} is broken after {} steps: {}\nsee them with: raftcheck replay {}",
        found.property.name(),
        found.actions.len(),
        found.property.sentence(),
        path.display(),
    );
}

/// The same schedules every time, so that the test above cannot become vacuous unnoticed.
#[test]
fn random_schedules_reach_every_witness() {
    let mut runner = TestRunner::deterministic();
    let mut missing: BTreeSet<Witness> = Witness::ALL.into_iter().collect();
    let mut decided = 0;
    for _ in 0..100 {
        let schedule = schedules(CHOICES).new_tree(&mut runner).expect("nothing is filtered out");
        let run = Run::of_schedule(&schedule.current(), &Paper);
        missing.retain(|witness| !run.witnessed.contains(*witness));
        decided += run.cluster.history.decided.len();
    }
    assert!(missing.is_empty(), "never reached: {missing:?}");
    assert!(decided > 500, "100 runs have committed only {decided} entries");
}
