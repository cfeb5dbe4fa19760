//! Servers run but cannot reach each other.

use crate::clients::Load;
use crate::cluster::{Cluster, others};
use crate::proxy::Mode;
use crate::verdict::{Floor, judge};

#[test]
fn a_leader_that_is_cut_off_is_replaced_and_comes_back() {
    let mut cluster = Cluster::started("");
    let load = Load::start(&cluster, 3);
    for mode in [Mode::Reset, Mode::Stalled] {
        let leader = cluster.leader();
        load.wait_for(&mut cluster, 100);
        cluster.isolate(leader, mode);
        // Clients can still reach the old leader.
        let rest: Vec<u64> = others(leader).collect();
        assert_ne!(cluster.leader_among(&rest), leader);
        load.wait_for(&mut cluster, 200);
        cluster.heal();
    }
    judge(&mut cluster, load, Floor { answered: 600, elections: 3, kills: 0, resets: 2 });
}

#[test]
fn a_server_that_only_hears_or_only_speaks_does_not_stop_the_others() {
    let mut cluster = Cluster::started("");
    let load = Load::start(&cluster, 4);
    for (hears, mode) in
        [(true, Mode::Reset), (false, Mode::Reset), (true, Mode::Stalled), (false, Mode::Stalled)]
    {
        let leader = cluster.leader();
        load.wait_for(&mut cluster, 50);
        for other in others(leader) {
            let link =
                if hears { cluster.link(leader, other) } else { cluster.link(other, leader) };
            link.set(mode);
        }
        let rest: Vec<u64> = others(leader).collect();
        if hears {
            // The other servers receive nothing from the leader any more.
            assert_ne!(cluster.leader_among(&rest), leader);
            load.wait_for(&mut cluster, 100);
        }
        cluster.heal();
        load.wait_for(&mut cluster, 50);
    }
    judge(&mut cluster, load, Floor { answered: 600, elections: 3, kills: 0, resets: 2 });
}
