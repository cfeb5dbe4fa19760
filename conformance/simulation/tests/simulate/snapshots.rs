//! Snapshots over connections that break.

use std::time::Duration;

use raft_core::{Bytes, NodeId};
use raft_kv::command::{Command, Operation};
use raft_simulation::cluster::{Cluster, Options};

const LATE: NodeId = NodeId(3);

/// Creates a cluster that takes snapshots all the time, and does not wait for a server that is
/// away. Its log is compacted in any case when it takes half of `log_bytes`.
fn cluster(log_bytes: u64) -> Cluster {
    let mut options = Options::new(3, 7);
    options.bounds.snapshot_log_bytes = 500;
    options.bounds.compaction_patience = 500;
    options.bounds.log_bytes = log_bytes;
    Cluster::new(options).expect("three blank servers start")
}

/// Isolates a server for a while, and then connects it over a link that breaks after twelve frames
/// of a snapshot. A snapshot takes more frames than that.
fn come_late(cluster: &mut Cluster) {
    for other in [NodeId(1), NodeId(2)] {
        cluster.network.set_cut(LATE, other, true);
        cluster.network.set_cut(other, LATE, true);
    }
    write_for(cluster, Duration::from_secs(5));
    assert_eq!(cluster.counters.snapshots, 0);
    cluster.network.heal();
    cluster.network.snapshot_frames = Some(12);
    write_for(cluster, Duration::from_secs(10));
    assert!(cluster.counters.snapshots > 0, "none has arrived");
}

/// Lets time pass while values of 2,000 bytes are written repeatedly, under two keys in turn.
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
    // Five values fill half of the log's bound, so the log is compacted during the transfer.
    come_late(&mut cluster(20_000));
}

#[test]
fn what_follows_a_snapshot_waits_in_the_log_for_a_link_that_breaks_all_the_time() {
    let mut cluster = cluster(1 << 30);
    come_late(&mut cluster);
    let leader = cluster.leaders().into_iter().next().expect("somebody leads");
    let commit =
        |id| cluster.running(id).expect("nobody stops").replica.shell().node().commit_index;
    let behind = commit(leader).since(commit(LATE));
    assert!(behind < 5, "{behind} entries are missing");
}
