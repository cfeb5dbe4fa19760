//! Tests that a failing run is reduced to a smaller one that fails in the same way.

use std::time::Duration;

use raft_simulation::simulate::shrink::shrink;
use raft_simulation::simulate::{Length, run, run_variant};

#[test]
fn what_does_not_matter_to_a_failure_is_left_out() {
    // No majority can commit anything within a recovery time of zero, so every run fails.
    let length = Length {
        chaos: Duration::from_secs(4),
        recovery: Duration::ZERO,
        convergence: Duration::ZERO,
    };
    let seed = (0..100).find(|seed| run(*seed, 5, length, false).faults.len() > 4);
    let failed = run(seed.expect("most plans have several faults"), 5, length, false);
    let smallest = shrink(&failed, length);
    let property = |broken: Option<&str>| assert_eq!(broken, Some("recovery"));
    property(failed.broken.as_ref().map(|broken| broken.property));
    property(smallest.broken.as_ref().map(|broken| broken.property));
    assert!(smallest.faults.len() < failed.faults.len(), "{:?}", smallest.faults);
    assert!(smallest.variant.servers < 5, "{:?}", smallest.variant);
    assert!(smallest.steps < failed.steps / 4, "{} of {}", smallest.steps, failed.steps);
    assert!(!smallest.recorded.is_empty());
    // The run can be repeated.
    let again = run_variant(&smallest.variant, length, true);
    assert_eq!((again.hash, again.recorded), (smallest.hash, smallest.recorded));
}
