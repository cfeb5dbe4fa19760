//! Every test of the suite, with three seeds.

use raft_lab::{ALL, run, select};

/// Runs a test with a few seeds.
fn passes(name: &str) {
    let tests = select(&[name.to_owned()]).expect("a test of the suite");
    assert_eq!(tests.len(), 1, "{name} is one test");
    for seed in 0..3 {
        let outcome = run(tests[0], seed, false);
        let end = outcome.story.len().saturating_sub(10);
        assert_eq!(outcome.unmet, None, "{name}, seed {seed}: {:#?}", &outcome.story[end..]);
        assert!(!outcome.simulated.is_zero(), "{name}, seed {seed} did nothing");
    }
}

macro_rules! suite {
    ($($function:ident $name:literal)*) => {
        $(
            #[test]
            fn $function() {
                passes($name);
            }
        )*

        #[test]
        fn every_test_of_the_suite_stands_here() {
            let here = [$($name),*];
            let all: Vec<&str> = ALL.iter().map(|test| test.name).collect();
            assert_eq!(here.as_slice(), all.as_slice());
        }
    };
}

suite! {
    initial_election "InitialElection"
    re_election "ReElection"
    many_elections "ManyElections"
    basic_agree "BasicAgree"
    rpc_bytes "RPCBytes"
    follower_failure "FollowerFailure"
    leader_failure "LeaderFailure"
    fail_agree "FailAgree"
    fail_no_agree "FailNoAgree"
    concurrent_starts "ConcurrentStarts"
    rejoin "Rejoin"
    backup "Backup"
    count "Count"
    persist_1 "Persist1"
    persist_2 "Persist2"
    persist_3 "Persist3"
    figure_8 "Figure8"
    unreliable_agree "UnreliableAgree"
    figure_8_unreliable "Figure8Unreliable"
    reliable_churn "ReliableChurn"
    unreliable_churn "UnreliableChurn"
    snapshot_basic "SnapshotBasic"
    snapshot_install "SnapshotInstall"
    snapshot_install_unreliable "SnapshotInstallUnreliable"
    snapshot_install_crash "SnapshotInstallCrash"
    snapshot_install_un_crash "SnapshotInstallUnCrash"
    snapshot_all_crash "SnapshotAllCrash"
    snapshot_init "SnapshotInit"
    basic "Basic"
    speed "Speed"
    concurrent "Concurrent"
    unreliable "Unreliable"
    unreliable_one_key "UnreliableOneKey"
    one_partition "OnePartition"
    many_partitions_one_client "ManyPartitionsOneClient"
    many_partitions_many_clients "ManyPartitionsManyClients"
    persist_one_client "PersistOneClient"
    persist_concurrent "PersistConcurrent"
    persist_concurrent_unreliable "PersistConcurrentUnreliable"
    persist_partition "PersistPartition"
    persist_partition_unreliable "PersistPartitionUnreliable"
    persist_partition_unreliable_linearizable "PersistPartitionUnreliableLinearizable"
    snapshot_rpc "SnapshotRPC"
    snapshot_size "SnapshotSize"
    snapshot_speed "SnapshotSpeed"
    snapshot_recover "SnapshotRecover"
    snapshot_recover_many_clients "SnapshotRecoverManyClients"
    snapshot_unreliable "SnapshotUnreliable"
    snapshot_unreliable_recover "SnapshotUnreliableRecover"
    snapshot_unreliable_recover_concurrent_partition "SnapshotUnreliableRecoverConcurrentPartition"
    snapshot_unreliable_recover_concurrent_partition_linearizable "SnapshotUnreliableRecoverConcurrentPartitionLinearizable"
}
