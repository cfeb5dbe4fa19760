//! No acknowledged write is lost, whichever servers are killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use raft_kv::client::Client;
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, wait_for};

/// Clients that each append numbers to their own key until they are told to stop. Each returns the
/// number of its acknowledged appends.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<u64>>,
    progress: Arc<std::sync::atomic::AtomicU64>,
}

impl Load {
    fn start(cluster: &Cluster, clients: usize) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let progress = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let work = |number: usize| {
            let (mut client, stop) = (cluster.client(), stop.clone());
            let progress = progress.clone();
            cluster.runtime.spawn(async move {
                client.open_session().await.unwrap();
                let mut done = 0;
                while !stop.load(Ordering::Relaxed) {
                    let suffix = format!("{done},");
                    client.append(key(number).as_bytes(), suffix).await.unwrap();
                    done += 1;
                    progress.fetch_add(1, Ordering::Relaxed);
                }
                done
            })
        };
        Load { clients: (0..clients).map(work).collect(), stop, progress }
    }

    /// Waits until this number of further appends are acknowledged.
    fn wait_for_progress(&self, more: u64) {
        let goal = self.progress.load(Ordering::Relaxed) + more;
        wait_for("progress", || (self.progress.load(Ordering::Relaxed) >= goal).then_some(()));
    }

    /// Stops the clients, and checks that each key contains every acknowledged append once, in
    /// order, and nothing else.
    fn finish(self, cluster: &Cluster) {
        self.stop.store(true, Ordering::Relaxed);
        let mut reader = cluster.client();
        for (number, client) in self.clients.into_iter().enumerate() {
            let done = cluster.runtime.block_on(client).unwrap();
            let expected = (0..done).fold(String::new(), |all, append| format!("{all}{append},"));
            let found = cluster.runtime.block_on(reader.get(key(number).as_bytes())).unwrap();
            let found = found.map(|found| String::from_utf8(found.value.to_vec()).unwrap());
            assert_eq!(found.unwrap_or_default(), expected, "client {number}");
        }
    }
}

fn key(number: usize) -> String {
    format!("client/{number}")
}

#[test]
fn each_server_may_be_killed_in_turn() {
    let mut cluster = Cluster::started("");
    let load = Load::start(&cluster, 4);
    for id in [1, 2, 3, 1, 2, 3] {
        load.wait_for_progress(50);
        cluster.kill(id);
        load.wait_for_progress(50);
        cluster.start(id);
    }
    load.finish(&cluster);
}

#[test]
fn the_leader_may_be_killed_again_and_again() {
    let mut cluster = Cluster::started("");
    let load = Load::start(&cluster, 4);
    for _ in 0..4 {
        load.wait_for_progress(50);
        let leader = cluster.leader();
        cluster.kill(leader);
        load.wait_for_progress(50);
        cluster.start(leader);
    }
    load.finish(&cluster);
}

#[test]
fn all_servers_may_be_killed_at_once() {
    let mut cluster = Cluster::started("");
    let load = Load::start(&cluster, 4);
    for _ in 0..4 {
        load.wait_for_progress(50);
        (1..=3).for_each(|id| cluster.kill(id));
        (1..=3).for_each(|id| cluster.start(id));
    }
    load.wait_for_progress(50);
    load.finish(&cluster);
}

#[test]
fn servers_that_stand_still_are_waited_for_or_replaced() {
    let cluster = Cluster::started("");
    let load = Load::start(&cluster, 4);
    for _ in 0..3 {
        let leader = cluster.leader();
        cluster.signal(leader, "STOP");
        load.wait_for_progress(50);
        cluster.signal(leader, "CONT");
        load.wait_for_progress(50);
    }
    load.finish(&cluster);
}

#[test]
fn a_follower_that_was_away_for_long_gets_a_snapshot() {
    let mut cluster = Cluster::started("snapshots = { log_mib = 1, mib_per_second = 64 }");
    let follower = cluster.leader() % 3 + 1;
    cluster.kill(follower);
    let value = vec![b'x'; 64 << 10];
    let mut client = cluster.client();
    for number in 0..100 {
        let key = format!("key/{number}");
        cluster.runtime.block_on(client.put(key.as_bytes(), value.clone())).unwrap();
    }
    let leader = cluster.leader();
    let compacted = || {
        let status = cluster.status(leader)?;
        (status.snapshot_index > 10).then_some(status.last_index)
    };
    let last = wait_for("a snapshot", compacted);
    cluster.start(follower);
    wait_for("the follower to catch up", || {
        let status = cluster.status(follower)?;
        (status.applied_index >= last && status.snapshot_index > 10).then_some(())
    });
    // Without the old leader, reads need the follower and the state that it has received.
    let other = 6 - leader - follower;
    cluster.kill(other);
    cluster.kill(leader);
    cluster.start(other);
    wait_for("reads", || {
        let found = cluster.runtime.block_on(client.get(b"key/0")).ok()??;
        (found.value == value).then_some(())
    });
}

#[test]
fn a_server_that_is_told_to_stop_stops_cleanly() {
    let mut cluster = Cluster::started("");
    let mut client: Client = cluster.client();
    cluster.runtime.block_on(client.put(b"key", "value")).unwrap();
    for id in 1..=3 {
        assert_eq!(cluster.terminate(id), Some(0), "{}", cluster.log(id));
    }
    (1..=3).for_each(|id| cluster.start(id));
    let found = cluster.runtime.block_on(client.get(b"key")).unwrap().unwrap();
    assert_eq!(found.value, "value");
}
