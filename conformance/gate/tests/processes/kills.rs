//! Servers are killed or halted.

use crate::clients::Load;
use crate::cluster::{Cluster, IDS, others};
use crate::verdict::{Floor, judge};

#[test]
fn servers_are_killed_one_after_the_other_and_all_at_once() {
    let mut cluster = Cluster::started("");
    let load = Load::start(&cluster, 1);
    for id in IDS {
        load.wait_for(&mut cluster, 100);
        cluster.kill(id);
        load.wait_for(&mut cluster, 100);
        cluster.start(id);
    }
    for _ in 0..2 {
        let leader = cluster.leader();
        load.wait_for(&mut cluster, 50);
        cluster.kill(leader);
        load.wait_for(&mut cluster, 50);
        cluster.start(leader);
    }
    for _ in 0..3 {
        load.wait_for(&mut cluster, 100);
        for id in IDS {
            cluster.kill(id);
        }
        for id in IDS {
            cluster.start(id);
        }
    }
    judge(&mut cluster, load, Floor { answered: 1100, elections: 6, kills: 14, resets: 0 });
}

#[test]
fn the_leader_and_a_follower_stand_still_and_go_on() {
    let mut cluster = Cluster::started("");
    let load = Load::start(&cluster, 2);
    let mut leaders = Vec::new();
    for _ in 0..2 {
        // When it goes on, it still acts as the leader, and clients that take it for the leader
        // send it requests.
        let leader = cluster.leader();
        load.wait_for(&mut cluster, 100);
        cluster.server_mut(leader).halt();
        let rest: Vec<u64> = others(leader).collect();
        leaders.push((leader, cluster.leader_among(&rest)));
        load.wait_for(&mut cluster, 100);
        cluster.server_mut(leader).go_on();

        let follower = others(cluster.leader()).next().expect("there are two");
        load.wait_for(&mut cluster, 100);
        cluster.server_mut(follower).halt();
        load.wait_for(&mut cluster, 100);
        cluster.server_mut(follower).go_on();
    }
    assert!(leaders.iter().all(|(old, new)| old != new), "{leaders:?}");
    // All servers are halted, and only clients notice it.
    for id in IDS {
        cluster.server_mut(id).halt();
    }
    // The election timers run out while this request waits in vain for an answer.
    assert!(cluster.status(IDS[0]).is_none(), "it stands still, and answers");
    judge(&mut cluster, load, Floor { answered: 800, elections: 3, kills: 0, resets: 0 });
}
