//! Checks that a crash inside a step leaves only what the model allows.

use std::collections::VecDeque;

use raft_checker::cluster::server::Server;
use raft_core::{Entry, Paper, PersistentState, Write};
use raft_trace::{Action, Settings};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::cold_start::ColdStart;
use crate::lockstep::{Divergence, one_by_one, takes_no_time};
use crate::refinement_mapping::Refinement;
use raft_simulation::disk::{DirectoryContents, Disk, Moment};
use raft_simulation::reference_store::Reference;
use raft_simulation::server::Setup;

/// All states that a crash during a step may leave, mapped to production.
pub(super) struct Allowed {
    /// The disk after each prefix of the pending writes.
    disks: Vec<PersistentState>,
    /// The entries in each disk's snapshot.
    bases: Vec<Vec<Entry>>,
    /// The longest state of the state machine before, during and after the step.
    state_machine: Vec<Entry>,
}

/// The number of random ways to tear unsynced data that are tried for each moment, in addition to
/// keeping all of it and none of it.
const TEARS: usize = 2;

/// The directory of the state machine's files.
const STORE: &str = raft_simulation::lazily_opened_store::DIRECTORY;

/// The directories of a server's files.
const DIRECTORIES: [&str; 3] = ["node", "node/snapshots", STORE];

impl Allowed {
    /// Returns the states that a crash may leave during a step of a server, or during several steps
    /// that are performed as one batch. `before` is the server before these steps.
    pub(super) fn during(
        settings: &Settings,
        refinement: &Refinement,
        before: &Server,
        actions: &[&Action],
    ) -> Allowed {
        let mut disk = before.disk.clone();
        let mut disks = vec![disk.clone()];
        let (writes, state_machine) = unfolded(settings, before, actions);
        for write in &writes {
            disk.write(write);
            disks.push(disk.clone());
        }
        Allowed {
            bases: disks.iter().map(|disk| refinement.contents(disk.log.snapshot())).collect(),
            disks: disks.iter().map(|disk| refinement.state(disk)).collect(),
            state_machine: refinement.entries(&state_machine),
        }
    }

    /// Checks that a restarted server has one of these states.
    fn admits(&self, started: &ColdStart) -> Result<(), Divergence> {
        let found = &started.state;
        let Some(place) = self.disks.iter().position(|disk| disk == found) else {
            return Err(Divergence {
                field: "what a crash leaves on the disk".to_owned(),
                model: format!("one of {:?}", self.disks),
                node: format!("{found:?}"),
            });
        };
        let base = found.log.base().index;
        let applied = started.applied();
        let known = if applied == base { &self.bases[place] } else { &self.state_machine };
        let count = usize::try_from(applied.0).unwrap_or(usize::MAX);
        let differs = |what: &str, node: String| Divergence {
            field: "what a crash leaves of the state machine".to_owned(),
            model: format!("a prefix of {what} from index {base} on"),
            node,
        };
        let Some(entries) = known.get(..count).filter(|_| applied >= base) else {
            return Err(differs(&format!("{known:?}"), format!("applied up to {applied}")));
        };
        let read = started.whole();
        if read.as_ref().ok() != Some(&Reference::of(entries)) {
            let node = format!("applied up to {applied} with {read:?}");
            return Err(differs(&format!("{entries:?}"), node));
        }
        Ok(())
    }
}

/// Returns the writes that are pending at some time during a step, in order, and the longest state
/// of the state machine. Actions that take no time in these settings are performed one after the
/// other.
fn unfolded(settings: &Settings, before: &Server, actions: &[&Action]) -> (Vec<Write>, Vec<Entry>) {
    let slow = one_by_one(settings);
    let mut server = before.clone();
    let waiting = |server: &Server| -> VecDeque<Write> {
        let process = server.process.iter();
        process.flat_map(|process| process.writes.iter().map(|(_, write)| write.clone())).collect()
    };
    let mut writes = waiting(before);
    let mut longest = before.state_machine.clone();
    let mut planned = actions.iter().map(|action| (*action).clone());
    while let Some(action) = planned.next().or_else(|| takes_no_time(settings, &server)) {
        let left = waiting(&server).len() - synced(&action).min(waiting(&server).len());
        if server.run(&slow, &Paper, &action).is_err() {
            break;
        }
        writes.extend(waiting(&server).into_iter().skip(left));
        if server.state_machine.len() > longest.len() {
            longest.clone_from(&server.state_machine);
        }
    }
    (writes.into(), longest)
}

fn synced(action: &Action) -> usize {
    match action {
        Action::Sync { writes, .. } => *writes,
        _ => 0,
    }
}

/// The numbers of cases that were tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tried {
    /// Moments at which a crash was simulated.
    pub(super) moments: u64,
    /// Different disks after these crashes, each followed by a start.
    pub(super) disks: u64,
}

/// Simulates a power loss and a kill of the process at each moment, and starts again from each disk
/// that is left. `before` is the contents of the disk before the step.
pub(super) fn try_all(
    allowed: &Allowed,
    setup: &Setup,
    before: &Moment,
    moments: &[Moment],
    seed: u64,
) -> Result<Tried, (usize, Divergence)> {
    let mut random = SmallRng::seed_from_u64(seed);
    let store = |moment: &Moment| moment.after_kill().contents(STORE);
    let store_before = store(before);
    let still = moments.iter().all(|moment| store(moment) == store_before);
    let mut tried = Tried::default();
    let mut known: Vec<[DirectoryContents; 3]> = Vec::new();
    for (place, moment) in moments.iter().enumerate() {
        tried.moments += 1;
        let mut disks = vec![moment.after_power_loss(|| false)];
        if !moment.is_settled() {
            disks.push(moment.after_kill());
            for _ in 0..TEARS {
                let torn = moment.after_power_loss(|| random.random());
                if still {
                    // The step does not change the state machine's files, so they are not torn: all
                    // of their unsynced data survives, or none of it.
                    let whole = &disks[usize::from(random.random::<bool>())];
                    torn.put_back(STORE, &whole.moment());
                }
                disks.push(torn);
            }
        }
        for disk in disks {
            // Most operations do not change the data that survives a power loss.
            let contents = DIRECTORIES.map(|directory| disk.contents(directory));
            if known.contains(&contents) {
                continue;
            }
            known.push(contents);
            tried.disks += 1;
            try_one(allowed, setup, &disk).map_err(|divergence| (place, divergence))?;
        }
    }
    Ok(tried)
}

fn try_one(allowed: &Allowed, setup: &Setup, disk: &Disk) -> Result<(), Divergence> {
    match ColdStart::at(setup, disk) {
        Ok(started) => allowed.admits(&started),
        Err(failure) => Err(Divergence {
            field: "whether it starts after a crash".to_owned(),
            model: "starts".to_owned(),
            node: failure.to_string(),
        }),
    }
}
