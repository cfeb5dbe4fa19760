//! A failing disk, then a crash, then a start that also fails, then more transactions, and finally
//! a power loss. All data that was reported durable, or that a start has returned, must survive.

use raft_core::PersistentState;
use raft_node::log_store::{LogStore, Sizes};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::disk::Disk;
use crate::disks::{Disks, append, compact, some_write};

const SMALL: Sizes = Sizes { growth: (4 << 10, 16 << 10), part: 4096, worthwhile: 1 << 10 };

/// Returns a log with entries of that size, compacted up to the last one. The next transaction
/// changes files.
fn compacted(sizes: Sizes, entries: u64, size: usize) -> (Disks, LogStore, PersistentState) {
    let disks = Disks::new(<[Disk; 3]>::default(), sizes);
    let (mut store, mut state) = disks.open().unwrap();
    for _ in 0..entries {
        store.commit(vec![append(&mut state, size)]).unwrap();
    }
    store.commit(vec![compact(&mut state, entries)]).unwrap();
    (disks, store, state)
}

/// Makes one operation of the next transaction fail, after `operation` others. Then the process is
/// killed, runs five more transactions, and loses power. Returns false if the transaction has fewer
/// operations.
fn fails_in_the_transaction_that_changes_files(
    (disks, mut store, mut state): (Disks, LogStore, PersistentState),
    operation: u64,
    size: usize,
) -> bool {
    let before = state.clone();
    disks.faults.fail_once(operation);
    let failed = store.commit(vec![append(&mut state, size)]).is_err();
    drop(store);

    let disks = disks.after_kill();
    let (mut store, mut found) = disks.open_with(2).unwrap();
    assert!(found == state || (failed && found == before), "operation {operation}");
    for _ in 0..5 {
        store.commit(vec![append(&mut found, size)]).unwrap();
    }
    drop(store);
    // The witness is not synced, so its last write may be kept or lost.
    for kept in [true, false] {
        let (_, left) = disks.after_power_loss(|| kept).open_with(3).unwrap();
        assert!(left == found, "operation {operation}: {} is left", left.log.last_index());
    }
    failed
}

#[test]
fn a_failure_in_any_operation_that_changes_large_files_loses_nothing() {
    let size = 256 << 10;
    let failed = (0..).take_while(|operation| {
        let log = compacted(Sizes::default(), 56, size);
        fails_in_the_transaction_that_changes_files(log, *operation, size)
    });
    let operations = failed.count();
    assert!(operations > 8, "the ninth operation syncs what takes over; there were {operations}");
}

#[test]
fn a_failure_in_any_operation_that_changes_small_files_loses_nothing() {
    let failed = (0..).take_while(|operation| {
        let log = compacted(SMALL, 56, 40);
        fails_in_the_transaction_that_changes_files(log, *operation, 40)
    });
    let operations = failed.count();
    assert!(operations > 6, "the seventh operation syncs what takes over; there were {operations}");
}

/// The expected contents of a log: the state that was reported durable or read at a start, and the
/// state that a failed transaction may have led to.
struct Expected {
    state: PersistentState,
    perhaps: Option<PersistentState>,
}

impl Expected {
    /// Checks the state that a start found. From now on, that state must survive.
    fn found(&mut self, found: PersistentState, when: &str) {
        let fits = found == self.state || self.perhaps.as_ref() == Some(&found);
        assert!(fits, "{when}: found {found:?}, and not {:?} or {:?}", self.state, self.perhaps);
        *self = Expected { state: found, perhaps: None };
    }
}

struct Run {
    random: StdRng,
    disks: Disks,
    expected: Expected,
    largest: usize,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut random = StdRng::seed_from_u64(seed);
        let pick = |random: &mut StdRng, from: &[u64]| from[random.random_range(0..from.len())];
        let growth = pick(&mut random, &[512, 4 << 10, 16 << 10]);
        let sizes = Sizes {
            growth: (growth, growth << random.random_range(0..4)),
            part: 512 << random.random_range(0..6),
            worthwhile: pick(&mut random, &[1 << 10, 4 << 10, 32 << 10]),
        };
        let expected = Expected { state: PersistentState::default(), perhaps: None };
        let largest = usize::try_from(pick(&mut random, &[100, 3000, 20_000])).unwrap();
        Run { disks: Disks::new(<[Disk; 3]>::default(), sizes), random, expected, largest }
    }

    /// Plans a fault within the next `within` operations, or no fault.
    fn plan_fault(&mut self, within: u64) {
        match self.random.random_range(0..6) {
            0..4 => self.disks.faults.fail_once(self.random.random_range(0..within)),
            4 => self.disks.faults.fail_from(self.random.random_range(0..within)),
            _ => {}
        }
    }

    fn crash(&mut self) {
        let (random, shares) = (&mut self.random, 4);
        let share = random.random_range(0..=shares);
        self.disks = if random.random() {
            self.disks.after_kill()
        } else {
            self.disks.after_power_loss(|| random.random_ratio(share, shares))
        };
    }

    /// Runs a start and some transactions, any of which may fail, and then a crash.
    fn round(&mut self, when: &str) {
        let before = self.disks.faults.operations();
        let fails = self.random.random_ratio(1, 3);
        if fails {
            self.plan_fault(4);
        }
        match self.disks.open_with(self.random.random()) {
            Ok((store, found)) => {
                self.expected.found(found, when);
                // The state must survive a power loss before any new transaction.
                let (_, left) = self.disks.after_power_loss(|| false).open_with(0).unwrap();
                assert_eq!(left, self.expected.state, "{when}: a start relies on too much");
                self.commit(store);
            }
            Err(error) => {
                let reason = error.to_string();
                assert!(fails && reason == "the disk fails", "{when}: {reason}");
                assert!(self.disks.faults.operations() > before);
            }
        }
        self.crash();
    }

    fn commit(&mut self, mut store: LogStore) {
        self.plan_fault(60);
        for _ in 0..self.random.random_range(0..40) {
            let mut next = self.expected.state.clone();
            let writes: Vec<_> = (0..self.random.random_range(1..3))
                .map(|_| some_write(&mut self.random, &mut next, self.largest))
                .collect();
            if store.commit(writes).is_err() {
                self.expected.perhaps = Some(next);
                return;
            }
            self.expected.state = next;
        }
    }
}

#[test]
fn failing_disks_kills_and_power_losses_take_nothing_that_anybody_relies_on() {
    for seed in 0..1500 {
        let mut run = Run::new(seed);
        for round in 0..8 {
            run.round(&format!("seed {seed}, round {round}"));
        }
        let (_, found) = run
            .disks
            .open_with(1)
            .unwrap_or_else(|error| panic!("seed {seed}: it refuses to start: {error}"));
        run.expected.found(found, &format!("seed {seed}, at the end"));
    }
}
