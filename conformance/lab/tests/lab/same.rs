//! The same seed gives the same run.

use raft_lab::{run, select};

#[test]
fn the_same_seed_comes_to_the_same_and_another_to_something_else() {
    let names =
        ["Figure8", "UnreliableChurn", "SnapshotInstallUnCrash", "PersistPartitionUnreliable"];
    for name in names {
        let tests = select(&[name.to_owned()]).expect("a test of the suite");
        let [first, again, other] = [7, 7, 8].map(|seed| run(tests[0], seed, false));
        assert_eq!(first.hash, again.hash, "{name}");
        assert_eq!(first.story, again.story, "{name}");
        assert_ne!(first.hash, other.hash, "{name}");
    }
}

#[test]
fn keeping_the_logs_changes_nothing_and_they_can_be_read() {
    let tests = select(&["Persist3".to_owned()]).expect("a test of the suite");
    let (with, without) = (run(tests[0], 1, true), run(tests[0], 1, false));
    assert_eq!(with.hash, without.hash);
    assert!(without.node_logs.is_empty());
    assert_eq!(with.node_logs.len(), 3);
    let starts = |log: &Vec<raft_trace::NodeRecord>| {
        log.iter().filter(|record| matches!(record, raft_trace::NodeRecord::Start { .. })).count()
    };
    // In this test, two of the three servers crash once.
    let mut starts: Vec<usize> = with.node_logs.values().map(starts).collect();
    starts.sort_unstable();
    assert_eq!(starts, [1, 2, 2]);
}
