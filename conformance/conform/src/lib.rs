//! From the model to the node: everything that the checker found to happen to one server is done to a
//! production server, and nothing may come out differently.
//!
//! What a server does depends on its own state and on what happens to it, and on nothing else. The
//! checker has enumerated both, up to renaming: some ten thousand *local transitions* behind tens of
//! millions of states. Each of them is tried here on the code that `raftd` runs, on a simulated disk:
//!
//! - its state is reached by a path of its own from a first start, never put there, so what the node
//!   remembers beside what is compared is what it would remember;
//! - then everything is compared: role, term, vote, log, indexes, what is known of followers, reads,
//!   writes on their way, messages that wait, messages sent (decoded from their bytes), tasks and
//!   answers of the state machine, its contents, the election timer, and what would be on the disk if
//!   the power went;
//! - the power goes, and the process dies, before each operation on the disk inside the step, with what
//!   was not synced kept, lost, or torn; what a start makes of that must be something that the model's
//!   crash leaves;
//! - each operation on the disk fails once: the node stops, or it was right to go on;
//! - the step and each one that can follow it are done as one batch, and some longer runs; some of the
//!   batches are interrupted by crashes;
//! - copies are asked in each state which inputs they would accept.
//!
//! A transition that does not lead into a new state leads into one that has been reached on another
//! path: a second way. That both are compared with the same state of the model, and that what follows
//! is tried after either, is the test for memory that the comparison does not see. Beside the
//! transitions of one server, random runs of the whole cluster are done from the first start on
//! ([`random_walks`]), snapshots are sent over breaking connections ([`snapshot_transfer`]), and the very first start
//! is interrupted ([`first_start`]), and the log store is tried by itself ([`log_store`]).
//!
//! What is picked at random is picked by what it is about, so each run does the same.

mod cold_start;
mod crash;
mod fault_variant;
pub mod first_start;
mod local_transitions;
pub mod lockstep;
pub mod log_store;
mod minimise;
mod minimise_entries;
pub mod random_walks;
pub mod refinement_mapping;
mod server_projection;
pub mod show;
pub mod simulated_run;
pub mod snapshot_transfer;
pub mod trace;
mod transition_paths;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use raft_checker::config::BoundedConfig;
use raft_checker::coverage::{kind, role};
use raft_checker::packed::ClusterModel;
use raft_checker::search::Control;
use raft_checker::search::level::{self, Goal};
use raft_core::NodeId;
use raft_trace::ClusterTrace;

use crate::lockstep::Divergence;
use crate::refinement_mapping::Refinement;
pub use fault_variant::FaultVariant;
use local_transitions::Trial;
use random_walks::Walks;
pub use snapshot_transfer::Transfers;
pub use transition_paths::{Paths, Step};

/// What was tried on production of what the checker found in one configuration.
#[derive(Clone, Debug, Default)]
pub struct Conformed {
    /// The configuration.
    pub config: String,
    /// How many local transitions the checker found, by kind of action and role.
    pub known: BTreeMap<(&'static str, &'static str), u64>,
    /// How many of them were tried.
    pub covered: BTreeMap<(&'static str, &'static str), u64>,
    /// How many of them begin in states to which no path was found.
    pub unreached: u64,
    /// States of one server, up to renaming.
    pub states: u64,
    /// Inputs of which copies were asked whether they would accept them.
    pub asked: u64,
    /// Moments inside steps and batches at which the power went.
    pub crash_points: u64,
    /// What was left on the disk then, and started from.
    pub disks: u64,
    /// Operations on the disk that were made to fail.
    pub faults: u64,
    /// Batches of two or more steps.
    pub batches: u64,
    /// How many of them have more than two.
    pub longer: u64,
    /// Transitions into states that had been reached on another path: second ways.
    pub second_ways: u64,
    /// Steps that were done after a second way, beside those in batches.
    pub followed: u64,
    /// Random runs of the cluster.
    pub walks: Walks,
    /// Transfers of the snapshots that were met.
    pub transfers: Transfers,
    /// The first difference that was found.
    pub divergence: Option<Found>,
    /// The first transfer that went wrong.
    pub bad_transfer: Option<snapshot_transfer::Scenario>,
    /// Whether all was tried, as far as there is no divergence.
    pub complete: bool,
}

/// A difference, and how to get there.
#[derive(Clone, Debug)]
pub struct Found {
    /// What differs.
    pub divergence: Divergence,
    /// What had happened to the server, the step in question last.
    pub trace: ClusterTrace,
    /// Whose trace it is.
    pub server: NodeId,
    /// What was special about the step.
    pub variant: FaultVariant,
}

impl Conformed {
    /// How many local transitions there are.
    pub fn known(&self) -> u64 {
        self.known.values().sum()
    }

    /// How many of them were tried.
    pub fn covered(&self) -> u64 {
        self.covered.values().sum()
    }

    /// How many second ways showed that a node remembers something that the comparison does not see.
    /// The search ends with the first one.
    pub fn collisions(&self) -> u64 {
        let hidden = |found: &Found| found.variant == FaultVariant::SecondWay;
        u64::from(self.divergence.as_ref().is_some_and(hidden))
    }

    /// Whether something went wrong.
    pub fn diverged(&self) -> bool {
        self.divergence.is_some() || self.bad_transfer.is_some()
    }

    /// Adds what another thread has done.
    fn add(&mut self, own: Conformed) {
        for (key, count) in own.covered {
            *self.covered.entry(key).or_default() += count;
        }
        self.asked += own.asked;
        self.crash_points += own.crash_points;
        self.disks += own.disks;
        self.faults += own.faults;
        self.batches += own.batches;
        self.longer += own.longer;
        self.second_ways += own.second_ways;
        self.followed += own.followed;
        let length = |found: &Found| found.trace.actions.len();
        let known = self.divergence.as_ref().map_or(usize::MAX, length);
        if own.divergence.as_ref().is_some_and(|found| length(found) < known) {
            self.divergence = own.divergence;
        }
    }
}

/// How far it is, for somebody who waits.
#[derive(Debug, Default)]
pub struct Progress {
    /// Transitions to be tried.
    pub known: AtomicU64,
    /// Transitions that were tried.
    pub tried: AtomicU64,
}

/// Explores a configuration and holds production to it.
pub fn conform(
    config: &BoundedConfig,
    threads: usize,
    control: &Control,
    progress: &Progress,
) -> Conformed {
    // Whether a state can recover is nothing that happens to a server.
    let config = &BoundedConfig { recover: false, ..config.clone() };
    let model = ClusterModel::new(config.clone(), true);
    let outcome = level::search(&model, Goal::Violation, threads, control);
    let explored = outcome.complete && outcome.found_at.is_none();
    let paths = Paths::of(&model, control);
    drop(model);
    let mut known = Conformed { config: config.name.clone(), ..Conformed::default() };
    if control.is_interrupted() {
        return known;
    }
    (known.states, known.unreached) = (paths.states() as u64, paths.unreached as u64);
    for step in paths.steps() {
        let key = (kind(&step.action), role(paths.server(step)));
        *known.known.entry(key).or_default() += 1;
    }
    progress.known.fetch_add(paths.steps().len() as u64, Ordering::Relaxed);
    let refinement = Refinement::default();
    let trial = Trial::new(&config.settings, &refinement, &paths, known);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| trial.run(control, progress));
        }
    });
    let mut conformed = trial.finish();
    if conformed.divergence.is_none() {
        let walked = random_walks::walk(config, &refinement, control);
        (conformed.walks, conformed.divergence) = walked;
    }
    let (transfers, scenario) = snapshot_transfer::try_all(&refinement.snapshots(), control);
    (conformed.transfers, conformed.bad_transfer) = (transfers, scenario);
    conformed.complete = explored
        && control.stopped().is_none()
        && conformed.unreached == 0
        && conformed.known() == conformed.covered();
    conformed
}
