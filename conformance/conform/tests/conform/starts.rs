//! Tests of the first start.

use std::collections::BTreeSet;
use std::time::Duration;

use raft_conform::first_start;
use raft_core::{Limits, NodeId, Term};
use raft_node::Bounds;
use raft_node::timers::Timing;
use raft_simulation::disk::Disk;
use raft_simulation::failure::Failure;
use raft_simulation::server::{Running, SMALL_FILES, Setup};

#[test]
fn whatever_interrupts_the_first_start_the_next_one_is_a_first_start() {
    let tried = first_start::try_all().unwrap_or_else(|divergence| panic!("{divergence}"));
    assert!(tried.crash_points > 10 && tried.faults > 10, "{tried:?}");
    assert!(tried.disks > tried.crash_points && tried.again > tried.disks, "{tried:?}");
}

#[test]
fn a_vote_outlives_a_power_loss_soon_after_the_first_start() -> Result<(), Failure> {
    let id = NodeId(1);
    let setup = Setup {
        id,
        voters: BTreeSet::from([1, 2, 3].map(NodeId)),
        limits: Limits { batch: 1, window: 1, reads: 1 },
        timing: Timing::default(),
        bounds: Bounds::default(),
        batch: 1,
        log_sizes: SMALL_FILES,
    };
    let disk = Disk::default();
    let mut running = Running::start(&setup, &disk, Duration::ZERO, 1, None)?;
    let now = running.replica.timer();
    running.replica.advance(now, false);
    running.take_orders(now)?;
    running.commit(now, usize::MAX)?;

    let disk = disk.moment().after_power_loss(|| false);
    let again = Running::start(&setup, &disk, Duration::ZERO, 2, None)?;
    assert_eq!((again.state.current_term, again.state.voted_for), (Term(1), Some(id)));
    Ok(())
}
