//! Checks the production server against the model. Every local transition that the model checker
//! found is performed on a production server, and the results are compared.
//!
//! The behaviour of a server depends only on its own state and its own inputs. The checker has
//! enumerated both, over a bounded network and over any network, up to a renaming of the servers: some ten thousand *local transitions* produce
//! tens of millions of cluster states. A local transition is one action of one server in one state.
//! Each of them is tried here on the code that `raftd` runs, with a simulated disk:
//!
//! - The production server reaches the state before the transition by a path of actions from a
//!   first start. The state is never written into the server directly. So the parts of its state
//!   that are not compared are correct as well.
//! - After the step, everything is compared: role, term, vote, log, indexes, the leader's state of
//!   each follower, reads, pending writes, messages that wait for a write, messages sent (decoded
//!   from their bytes), tasks, answers and contents of the state machine, the election timer, and
//!   the contents of the disk after a power loss.
//! - A power loss and a kill of the process are simulated before each disk operation inside the
//!   step. Unsynced data is kept, lost or torn. The state after the next start must be a state that
//!   a crash in the model may leave.
//! - Each disk operation fails once. The node must stop, or go on as if nothing had failed.
//! - The step and each step that can follow it are performed as one batch. Some longer batches are
//!   tried, too. Some of the batches are interrupted by crashes.
//! - In each state, copies of both servers are tested for the inputs that they accept.
//!
//! A transition that does not lead to a new state leads to a state that was reached on another path
//! before. Such a transition is called a *second way*. The production server is compared with the
//! same state of the model after both ways, and the next steps are tried after both. So a
//! difference in state that the comparison does not cover is found as well.
//!
//! There are four more tests: random runs of the whole cluster from the first start
//! ([`random_walks`]), snapshot transfers over breaking connections ([`snapshot_transfer`]),
//! interruptions of the first start ([`first_start`]), and a test of the log store alone
//! ([`log_store`]).
//!
//! Random choices are made by a hash of the data that they concern, so each run makes the same
//! choices.

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
mod tried;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use raft_checker::any_network;
use raft_checker::bounded_cluster::{BoundedCluster, as_actions, bounded_model};
use raft_checker::bounded_network::level::{self, Goal};
use raft_checker::config::{BoundedConfig, Network};
use raft_checker::control::Control;
use raft_checker::coverage::{kind, role};
use raft_core::{NodeId, Paper};
use raft_trace::{ClusterTrace, DiskMode};

use crate::lockstep::Divergence;
use crate::refinement_mapping::Refinement;
pub use fault_variant::FaultVariant;
use local_transitions::Trial;
use random_walks::Walks;
pub use snapshot_transfer::Transfers;
use transition_paths::PathsBuilder;
pub use transition_paths::{Paths, Step};
pub use tried::Tried;

/// The results of checking production against one configuration.
#[derive(Clone, Debug, Default)]
pub struct Conformed {
    /// The configuration.
    pub config: String,
    /// The number of local transitions that the checker found, by kind of action and role.
    pub known: BTreeMap<(&'static str, &'static str), u64>,
    /// How many of them no bounded network reaches.
    pub over_any_network: u64,
    /// How many of them an earlier configuration had tried, with all that can follow.
    pub tried_before: u64,
    /// The number of these transitions that were tried, here or before.
    pub covered: BTreeMap<(&'static str, &'static str), u64>,
    /// The number of transitions that begin in a state to which no path was found.
    pub unreached: u64,
    /// States of one server, up to renaming.
    pub states: u64,
    /// Inputs for which copies of both servers were tested: whether they accept the input.
    pub asked: u64,
    /// Moments inside steps and batches at which a crash was simulated.
    pub crash_points: u64,
    /// Different disks after these crashes, each followed by a start.
    pub disks: u64,
    /// Disk operations that were made to fail.
    pub faults: u64,
    /// Batches of two or more steps.
    pub batches: u64,
    /// Batches of more than two steps.
    pub longer: u64,
    /// Transitions into states that had been reached on another path before: second ways.
    pub second_ways: u64,
    /// Steps that were performed after a second way, not counting those in batches.
    pub followed: u64,
    /// Random runs of the cluster.
    pub walks: Walks,
    /// Transfers of the snapshots that occurred in the configuration.
    pub transfers: Transfers,
    /// The difference that ended the search. If several threads found one, the one with the
    /// shortest trace.
    pub divergence: Option<Found>,
    /// The first transfer that went wrong.
    pub bad_transfer: Option<snapshot_transfer::Scenario>,
    /// Whether the configuration was explored completely and all its transitions were tried.
    pub complete: bool,
}

/// A difference, with the trace that leads to it.
#[derive(Clone, Debug)]
pub struct Found {
    /// The difference.
    pub divergence: Divergence,
    /// The actions of the server. The last one is the step that shows the difference.
    pub trace: ClusterTrace,
    /// The server that differs.
    pub server: NodeId,
    /// The way in which the step was tried.
    pub variant: FaultVariant,
}

impl Conformed {
    /// Returns the number of local transitions that the checker found.
    pub fn known(&self) -> u64 {
        self.known.values().sum()
    }

    /// Returns the number of local transitions that were tried.
    pub fn covered(&self) -> u64 {
        self.covered.values().sum()
    }

    /// Returns the number of second ways that revealed state that the comparison does not cover.
    /// The search ends with the first one, so the number is 0 or 1.
    pub fn collisions(&self) -> u64 {
        let hidden = |found: &Found| found.variant == FaultVariant::SecondWay;
        u64::from(self.divergence.as_ref().is_some_and(hidden))
    }

    /// Returns whether a difference was found or a transfer went wrong.
    pub fn diverged(&self) -> bool {
        self.divergence.is_some() || self.bad_transfer.is_some()
    }

    /// Adds the results of a thread.
    fn add(&mut self, own: Conformed) {
        for (key, count) in own.covered {
            *self.covered.entry(key).or_default() += count;
        }
        self.tried_before += own.tried_before;
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

/// Returns whether the local transitions over any network are tried as well. With a queued disk, the
/// search over any network forgets later copies of messages that wait for a write. Such servers are
/// not states of production.
fn reaches_more_over_any_network(config: &BoundedConfig) -> bool {
    config.network == Network::Any && config.settings.disk == DiskMode::Atomic
}

/// The progress of a check, for display.
#[derive(Debug, Default)]
pub struct Progress {
    /// Transitions to be tried.
    pub known: AtomicU64,
    /// Transitions that were tried.
    pub tried: AtomicU64,
}

/// Explores a configuration and checks production against it. `tried` are the tests of earlier
/// configurations, which are not repeated.
pub fn conform(
    config: &BoundedConfig,
    tried: &Tried,
    threads: usize,
    control: &Control,
    progress: &Progress,
) -> Conformed {
    // The property `can-recover` concerns the whole cluster, not one server.
    let config = &BoundedConfig { recover: false, ..config.clone() };
    let model = bounded_model(config, true, Paper);
    let outcome = level::search(&model, Goal::Violation, threads, control);
    let mut explored = outcome.complete && outcome.found_at.is_none();
    let mut paths = PathsBuilder::new(config);
    paths.add(as_actions(model.local_transitions()), Network::Bounded, control);
    drop(model);
    if reaches_more_over_any_network(config) && explored {
        let system = BoundedCluster::new(config.clone(), Network::Any, Paper);
        let options = any_network::Options { threads, ..any_network::Options::default() };
        let exploration = any_network::explore(&Arc::new(system), options, control);
        explored = exploration.outcome.complete;
        paths.add(as_actions(exploration.local_transitions()), Network::Any, control);
    }
    let paths = paths.finish(control);
    let mut known = Conformed { config: config.name.clone(), ..Conformed::default() };
    if control.is_interrupted() {
        return known;
    }
    (known.states, known.unreached) = (paths.states() as u64, paths.unreached as u64);
    known.over_any_network =
        paths.steps().iter().filter(|step| step.network == Network::Any).count() as u64;
    for step in paths.steps() {
        let key = (kind(&step.action), role(paths.server(step)));
        *known.known.entry(key).or_default() += 1;
    }
    progress.known.fetch_add(paths.steps().len() as u64, Ordering::Relaxed);
    let refinement = Refinement::default();
    let trial = Trial::new(&config.settings, &refinement, &paths, tried, known);
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
