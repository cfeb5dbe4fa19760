//! The test of the log store alone.

use raft_checker::control::Control;
use raft_conform::log_store::{LogStores, try_all};

#[test]
fn whatever_fails_while_the_files_change_over_nothing_is_lost() {
    let tried = try_all(&Control::default()).unwrap_or_else(|divergence| panic!("{divergence}"));
    let LogStores { operations, disks, failed_starts, runs } = tried;
    assert!(operations > 300 && disks > 2 * operations, "{tried:?}");
    assert!(failed_starts > 2 * disks && runs > 3 * failed_starts, "{tried:?}");
}
