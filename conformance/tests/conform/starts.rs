//! The first start.

use raft_conformance::conform::first_start;

#[test]
fn whatever_interrupts_the_first_start_the_next_one_is_a_first_start() {
    let tried = first_start::try_all().unwrap_or_else(|divergence| panic!("{divergence}"));
    assert!(tried.crash_points > 10 && tried.faults > 10, "{tried:?}");
    assert!(tried.disks > tried.crash_points && tried.again > tried.disks, "{tried:?}");
}
