//! A follower that was away for so long that only a snapshot helps, on a network that breaks in the
//! middle of it.

use crate::clients::{Ballast, Load};
use crate::cluster::{Cluster, others};
use crate::proxy::Mode;
use crate::verdict::{Floor, judge};

/// Snapshots are taken often.
pub(crate) const SMALL: &str = "snapshots = { log_mib = 1, mib_per_second = 64 }";

/// Enough for a log to be compacted without a follower that is away. Then it ends, so that the same
/// snapshot is offered again: one that is newer each time would begin anew each time.
const BALLAST: Ballast = Ballast { keys: 16, bytes: 64 << 10, puts: 120 };

/// Less than one frame of a snapshot, and enough for one but not for two.
const NO_FRAME: u64 = 100 << 10;
const ONE_FRAME: u64 = 400 << 10;

#[test]
fn a_snapshot_arrives_although_connections_break_and_both_sides_die() {
    let mut cluster = Cluster::started(SMALL);
    let load = Load::with_ballast(&cluster, 5, BALLAST);
    load.wait_for(&mut cluster, 20);
    let follower = others(cluster.leader()).next().expect("there are two");
    cluster.kill(follower);
    // It has nothing that the leader has not.
    let leader = cluster.leader();
    let last = cluster.wait_for("its status", |cluster| cluster.status(leader)).last_index;
    cluster.wait_for("the entries that it lacks to be gone", |cluster| {
        let gone = |id| cluster.status(id).is_some_and(|status| status.snapshot_index > last);
        others(follower).all(gone).then_some(())
    });

    let limit = |cluster: &Cluster, mode| {
        others(follower).for_each(|id| cluster.link(id, follower).set(mode));
    };
    limit(&cluster, Mode::ResetAfter(NO_FRAME));
    cluster.start(follower);
    wait_for_resets(&mut cluster, follower, 2);
    let status = cluster.wait_for("its status", |cluster| cluster.status(follower));
    assert!(status.last_index <= last, "nothing can have arrived: {status:?}");

    limit(&cluster, Mode::ResetAfter(ONE_FRAME));
    wait_for_resets(&mut cluster, follower, 1);
    cluster.kill(follower);
    cluster.start(follower);
    wait_for_resets(&mut cluster, follower, 1);
    // Its successor offers a snapshot of its own.
    let leader = cluster.leader();
    cluster.kill(leader);
    cluster.start(leader);
    cluster.wait_for("the snapshot", |cluster| {
        cluster.status(follower).filter(|status| status.snapshot_index > last)
    });
    let floor = Floor { answered: 200, elections: 1, kills: 3, resets: 4 };
    let report = judge(&mut cluster, load, floor);
    for server in &report.servers {
        let is_follower = server.id.0 == follower;
        assert!(
            if is_follower { server.snapshots_installed } else { server.snapshots_taken } > 0,
            "{report:?}"
        );
    }
}

/// Waits until links have cut that many more connections to a server.
fn wait_for_resets(cluster: &mut Cluster, to: u64, more: u64) {
    let resets =
        |cluster: &Cluster| -> u64 { others(to).map(|from| cluster.link(from, to).resets()).sum() };
    let goal = resets(cluster) + more;
    cluster.wait_for("connections to be cut", |cluster| (resets(cluster) >= goal).then_some(()));
}
