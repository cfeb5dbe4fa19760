//! A follower is down for so long that it needs a snapshot, and the connections break during the
//! transfer.

use crate::clients::{Ballast, Load};
use crate::cluster::{Cluster, others};
use crate::proxy::Mode;
use crate::verdict::{Floor, judge};

/// A configuration with frequent snapshots.
pub(crate) const SMALL: &str = "snapshots = { log_mib = 1, mib_per_second = 64 }";

/// Enough data for a log to be compacted while a follower is away. Then the writes end, so that the
/// same snapshot is offered again. The transfer of a newer snapshot would begin anew each time.
const BALLAST: Ballast = Ballast { keys: 16, bytes: 64 << 10, puts: 120 };

/// Limits for the bytes of a connection: less than one frame of a snapshot, and enough for one
/// frame but not for two.
const NO_FRAME: u64 = 100 << 10;
const ONE_FRAME: u64 = 400 << 10;

#[test]
fn a_snapshot_arrives_although_connections_break_and_both_sides_die() {
    let mut cluster = Cluster::started(SMALL);
    let load = Load::with_ballast(&cluster, 5, BALLAST);
    load.wait_for(&mut cluster, 20);
    let follower = others(cluster.leader()).next().expect("there are two");
    cluster.kill(follower);
    // The follower has no entry that the leader lacks.
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
    // The next leader offers its own snapshot.
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

/// Waits until links have reset `more` further connections to a server.
fn wait_for_resets(cluster: &mut Cluster, to: u64, more: u64) {
    let resets =
        |cluster: &Cluster| -> u64 { others(to).map(|from| cluster.link(from, to).resets()).sum() };
    let goal = resets(cluster) + more;
    cluster.wait_for("connections to be cut", |cluster| (resets(cluster) >= goal).then_some(()));
}
