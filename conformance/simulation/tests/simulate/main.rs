//! Tests that a seed determines the run of a simulated cluster, and that no property is broken.

mod shrinking;
mod snapshots;

use std::time::Duration;

use raft_simulation::simulate::{Length, Outcome, run};

fn short() -> Length {
    Length { chaos: Duration::from_secs(8), ..Length::default() }
}

fn passed(outcome: &Outcome) {
    assert_eq!(outcome.broken, None, "seed {} with {:?}", outcome.variant.seed, outcome.faults);
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..6 {
        let (first, second) = (run(seed, 5, short(), false), run(seed, 5, short(), true));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.steps, second.steps);
        assert_ne!(first.hash, run(seed + 100, 5, short(), false).hash);
    }
}

#[test]
fn nothing_is_found_in_clusters_of_three_and_five() {
    let (mut crashes, mut snapshots, mut elections, mut answered) = (0, 0, 0, 0);
    for seed in 0..60 {
        let outcome = run(seed, if seed % 3 == 0 { 3 } else { 5 }, Length::default(), false);
        passed(&outcome);
        crashes += outcome.counters.crashes;
        snapshots += outcome.counters.snapshots;
        elections += outcome.elections;
        answered += outcome.answered;
    }
    // The runs must contain enough events for this result to mean something.
    assert!(crashes > 100 && snapshots > 50, "{crashes} crashes, {snapshots} snapshots");
    assert!(elections > 100 && answered > 8000, "{elections} elections, {answered} answers");
}
