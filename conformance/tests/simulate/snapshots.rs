//! Snapshots over connections that break.

use std::time::Duration;

use raft_conformance::cluster::{Cluster, Options};
use raft_core::{Bytes, NodeId};
use raft_kv::command::{Command, Operation};

const LATE: NodeId = NodeId(3);

/// A cluster in which snapshots are taken all the time, and none waits for anybody.
fn cluster() -> Cluster {
    let mut options = Options::new(3, 7);
    options.bounds.snapshot_log_bytes = 500;
    options.bounds.compaction_patience = 500;
    Cluster::new(options).expect("three blank servers start")
}

/// Lets time pass while a value of 2,000 bytes is written, now and then, under one of two keys.
fn write_for(cluster: &mut Cluster, time: Duration) {
    let end = cluster.now() + time;
    let mut count = 0_u64;
    while cluster.now() < end && cluster.broken().is_none() {
        for leader in cluster.leaders() {
            count += 1;
            let value = count.to_string().repeat(2000);
            let key = format!("k{}", count % 2);
            let value = Bytes::from(&value.as_bytes()[..2000]);
            let operation = Operation::Put { key: key.as_str().into(), value };
            let command = Command { request: None, operation }.encode().expect("it is short");
            let _ = cluster.propose(leader, command.into());
        }
        cluster.run_for(Duration::from_millis(100)).expect("the simulation goes on");
    }
    assert_eq!(cluster.broken(), None);
}

#[test]
fn a_snapshot_arrives_over_a_link_that_breaks_all_the_time_while_newer_ones_are_taken() {
    let mut cluster = cluster();
    for other in [NodeId(1), NodeId(2)] {
        cluster.network.set_cut(LATE, other, true);
        cluster.network.set_cut(other, LATE, true);
    }
    write_for(&mut cluster, Duration::from_secs(5));
    assert_eq!(cluster.counters.snapshots, 0);
    // A snapshot takes more than sixty frames.
    cluster.network.heal();
    cluster.network.snapshot_frames = Some(12);
    write_for(&mut cluster, Duration::from_secs(10));
    let base = |cluster: &Cluster, id| {
        let running = cluster.running(id).expect("nobody stops");
        running.replica.shell().node().log.base().index
    };
    assert!(cluster.counters.snapshots > 0, "none has arrived");
    assert!(base(&cluster, LATE).0 > 0);
    // What it needs next is still in the leader's log, so one snapshot was enough.
    let leader = cluster.leaders().into_iter().next().expect("somebody leads");
    let commit = cluster.running(leader).expect("nobody stops").replica.shell().node().commit_index;
    let late = cluster.running(LATE).expect("nobody stops").replica.shell().node().commit_index;
    assert!(commit.since(late) < 5, "{late} of {commit}");
}
