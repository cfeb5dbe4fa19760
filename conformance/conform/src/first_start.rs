//! The first start of a server: files are created, filled, synced and renamed, and a crash may
//! happen between any two of these operations.

use std::collections::BTreeSet;
use std::time::Duration;

use raft_core::{Index, Limits, NodeId, PersistentState};
use raft_node::StateMachine as _;
use raft_node::wire::BATCH_BYTES;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::lockstep::{BOUNDS, Divergence, TIMING};
use raft_simulation::disk::{Disk, Fault, Moment};
use raft_simulation::server::{Running, SMALL_FILES, Setup};

/// The number of random ways to tear unsynced data that are tried.
const TEARS: usize = 4;

/// The numbers of cases that were tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstStarts {
    /// Moments inside the first start at which a crash was simulated.
    pub crash_points: u64,
    /// Disks after these crashes, each followed by a start.
    pub disks: u64,
    /// Moments inside the second start at which another power loss was simulated.
    pub again: u64,
    /// Disk operations that were made to fail.
    pub faults: u64,
}

/// Interrupts the first start of a server at each disk operation, and then the second start in the
/// same way. Also makes each operation of the first start fail. In each case, a server must start
/// from the remaining disk and be blank.
///
/// # Errors
///
/// The first disk from which no blank server starts.
pub fn try_all() -> Result<FirstStarts, Divergence> {
    let mut tried = FirstStarts::default();
    let mut random = SmallRng::seed_from_u64(1);
    let blank = Disk::default();
    let moments = record(&blank, "the first start")?;
    for (place, moment) in moments.iter().enumerate() {
        tried.crash_points += 1;
        let what = format!("a start after a crash before operation {} of the first", place + 1);
        for disk in left(moment, &mut random) {
            tried.disks += 1;
            for (second, moment) in record(&disk, &what)?.iter().enumerate() {
                tried.again += 1;
                let what = format!("{what}, and one before operation {} of the second", second + 1);
                start(&moment.after_power_loss(|| false), &what)?;
            }
        }
    }
    for operation in 0..moments.len() as u64 {
        tried.faults += 1;
        let disk = Disk::default();
        let what = format!("a start after operation {} of the first failed", operation + 1);
        disk.fail(Some(Fault::Once(operation)));
        // The server may stop or go on. Only the disk that it leaves is checked.
        drop(Running::start(&setup(), &disk, Duration::ZERO, 1, None));
        disk.fail(None);
        for disk in left(&disk.moment(), &mut random) {
            start(&disk, &what)?;
        }
    }
    Ok(tried)
}

fn setup() -> Setup {
    let limits = Limits { batch: 1, window: 1, reads: 1 };
    let voters: BTreeSet<NodeId> = (1..=3).map(NodeId).collect();
    Setup {
        id: NodeId(1),
        voters,
        limits,
        timing: TIMING,
        bounds: BOUNDS,
        batch: BATCH_BYTES,
        log_sizes: SMALL_FILES,
    }
}

/// Returns disks that a crash may leave.
fn left(moment: &Moment, random: &mut SmallRng) -> Vec<Disk> {
    let mut disks = vec![moment.after_power_loss(|| false), moment.after_kill()];
    disks.extend((0..TEARS).map(|_| moment.after_power_loss(|| random.random())));
    disks
}

/// Starts a server. Returns the contents of the disk before each operation and after the last one.
fn record(disk: &Disk, what: &str) -> Result<Vec<Moment>, Divergence> {
    disk.record();
    let outcome = start(disk, what);
    let mut moments = disk.recorded();
    outcome?;
    moments.push(disk.moment());
    Ok(moments)
}

/// Checks that a server starts and is blank.
fn start(disk: &Disk, what: &str) -> Result<(), Divergence> {
    let differs = |node: String| Divergence {
        field: what.to_owned(),
        model: "a blank server".to_owned(),
        node,
    };
    match Running::start(&setup(), disk, Duration::ZERO, 1, None) {
        Err(failure) => Err(differs(failure.to_string())),
        Ok(running) => {
            let found = (running.state, running.reader.applied());
            let blank = (PersistentState::default(), Index::ZERO);
            if found == blank { Ok(()) } else { Err(differs(format!("{found:?}"))) }
        }
    }
}
