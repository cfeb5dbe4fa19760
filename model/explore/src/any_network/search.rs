//! The search over any network.
//!
//! States are expanded in an order ([`Order`]), about a thousand at a time. In the order of their servers'
//! progress, nearly every tuple has all of its messages before its states are expanded. So few of the
//! expanded states become part of other states later.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use super::antichains::{Antichains, Kept};
use super::checkpoint::{CheckpointFolder, Checkpoints};
use super::expansion::{Expansion, Observed, Order};
use super::inbox::Inboxes;
use super::peers::{Hosts, Peers};
use super::removal_check::removals_hold;
use super::rounds::{Rounds, SearchError};
use super::state::Tuple;
use super::{run, summary};
use crate::control::Control;
use crate::hash::{content_hash, mix};
use crate::local::{Local, LocalTransition};
use crate::system::{Findings, Input, RunStep, System};

/// The options of a search.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The number of threads.
    pub threads: usize,
    /// Whether states that differ by a renaming of the servers count as one.
    pub symmetry: bool,
    /// Whether messages that can no longer make a difference are removed.
    pub prune: bool,
    /// The order in which states are expanded.
    pub order: Order,
    /// The number of expanded states after which the search gives up.
    pub most_expanded: u64,
}

/// One thread, every reduction, and the order that takes the least time.
impl Default for Options {
    fn default() -> Options {
        Options {
            threads: 1,
            symmetry: true,
            prune: true,
            order: Order::Progress,
            most_expanded: u64::MAX,
        }
    }
}

/// The result of a search.
pub struct Outcome<S: System> {
    /// The kept states, in numbers. Their steps and their hash are counted only if everything was
    /// explored.
    pub kept: Kept,
    /// The number of expanded states, including those that became part of other states later.
    pub expanded: u64,
    /// The number of distinct pairs of a server and an input, up to a renaming of the servers.
    pub local_transitions: u64,
    /// All properties that were broken and situations that occurred.
    pub findings: Findings,
    /// Whether everything was explored.
    pub complete: bool,
    /// Whether everything was explored, and the messages that were removed make no difference to this
    /// system. Otherwise states may be missing, and the search has to be repeated without removing.
    pub removals_hold: bool,
    /// A run that breaks a property, and the property's bit. No step can be left out of it.
    pub violation: Option<(Vec<RunStep<S>>, u64)>,
}

/// An exploration that has ended.
pub struct Exploration<S: System> {
    /// The result.
    pub outcome: Outcome<S>,
    inboxes: Inboxes<S>,
    antichains: Antichains,
    local_transitions: Vec<LocalTransition>,
}

impl<S: System> Exploration<S> {
    /// Calls `look` with every tuple of servers, budgets and history that was reached. With
    /// symmetry, calls it with one tuple of each class.
    pub fn for_each_tuple(&self, mut look: impl FnMut(Vec<&S::Server>, S::Used, &S::History)) {
        let local = &self.inboxes.local;
        for Tuple { servers, used, history } in self.antichains.tuples() {
            let servers = servers[..self.inboxes.count()].iter().map(|id| local.server(*id));
            look(servers.collect(), local.used(used), local.history(history));
        }
    }

    /// Returns one local transition of each class: a server, and its input. With symmetry,
    /// transitions that differ only by a renaming of the servers are one class. A message that makes
    /// no difference to the server is no input.
    pub fn local_transitions(&self) -> Vec<(&S::Server, Input<'_, S>)> {
        let local = &self.inboxes.local;
        let transitions = self.local_transitions.iter();
        transitions.map(|(server, label)| (local.server(*server), local.input(*label))).collect()
    }
}

/// Explores all states of a system over a network that loses, repeats and reorders messages without
/// bounds.
///
/// # Panics
///
/// If no threads can be started.
pub fn search<S: System>(system: &Arc<S>, options: Options, control: &Control) -> Outcome<S> {
    explore(system, options, control).outcome
}

/// Explores like [`search`], and returns everything that was reached.
///
/// # Panics
///
/// If no threads can be started.
pub fn explore<S: System>(system: &Arc<S>, options: Options, control: &Control) -> Exploration<S> {
    let alone = explore_at_scale(system, options, &Scale::default(), control);
    alone.expect("without other processes and checkpoints nothing fails")
}

/// The other processes that explore the same, and the checkpoints. By default there are none.
#[derive(Clone, Debug, Default)]
pub struct Scale {
    /// Equal for searches of the same system by the same program. Searches with different identities
    /// do not explore together, and do not go on from each other's checkpoints.
    pub identity: u64,
    /// The processes that explore together.
    pub hosts: Option<Hosts>,
    /// Where the search is saved.
    pub checkpoints: Option<Checkpoints>,
}

/// Explores like [`search`], with other processes or with checkpoints. The outcome is the same for each
/// process, except that only the first one has the run that breaks a property.
///
/// # Errors
///
/// If a process is lost, or if a checkpoint cannot be written or read. Checkpoints stay as they are.
///
/// # Panics
///
/// If no threads can be started.
pub fn search_at_scale<S: System>(
    system: &Arc<S>,
    options: Options,
    scale: &Scale,
    control: &Control,
) -> Result<Outcome<S>, SearchError> {
    Ok(explore_at_scale(system, options, scale, control)?.outcome)
}

/// Explores like [`search_at_scale`], and returns everything that this process has reached.
///
/// # Errors
///
/// As for [`search_at_scale`].
///
/// # Panics
///
/// If no threads can be started.
pub fn explore_at_scale<S: System>(
    system: &Arc<S>,
    options: Options,
    scale: &Scale,
    control: &Control,
) -> Result<Exploration<S>, SearchError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build();
    let pool = pool.expect("threads can be started");
    // Searches with different reductions keep different states. Processes write checkpoints together.
    let identity = mix(scale.identity
        ^ content_hash(&(options.symmetry, options.prune, scale.checkpoints.is_some())));
    let place = scale.hosts.as_ref().map_or((0, 1), Hosts::place);
    // The own folder is checked before the other processes are waited for.
    let checkpoints = scale.checkpoints.as_ref();
    let folder = checkpoints.map(|c| CheckpointFolder::open(c, identity, place)).transpose()?;
    let mut peers = match &scale.hosts {
        Some(hosts) => Peers::connect(hosts, identity, control)?,
        None => Peers::alone(),
    };
    let local = Local::new(Arc::clone(system), options.symmetry, options.prune);
    let mut expansion = Expansion {
        inboxes: Inboxes::new(local),
        antichains: Antichains::new(place.0),
        control,
        order: options.order,
        most_expanded: options.most_expanded,
        expanded: AtomicU64::new(0),
        observed: Mutex::new(Observed::default()),
        process: place,
    };
    let complete = pool.install(|| Rounds::new(&mut expansion, &mut peers, folder).run())?;
    pool.install(|| sum_up(system, options, expansion, complete, &mut peers))
}

/// Puts the results of all processes together.
fn sum_up<S: System>(
    system: &Arc<S>,
    options: Options,
    expansion: Expansion<'_, S>,
    complete: bool,
    peers: &mut Peers,
) -> Result<Exploration<S>, SearchError> {
    let Expansion { inboxes, antichains, expanded, observed, .. } = expansion;
    let kept = if complete { antichains.count(&inboxes) } else { antichains.count_roughly() };
    let kept = summary::kept(peers, kept)?;
    let observed = observed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (observed, expanded) = summary::observed(peers, observed, expanded.into_inner())?;
    // The check of removals looks at pairs of servers and messages that did not meet.
    let local_transitions = inboxes.local.classes();
    let classes = summary::local_transitions(peers, &local_transitions)?;
    let removals_hold =
        complete && (!options.prune || removals_hold(&inboxes, &antichains.tuples(), peers)?);
    let first = observed.first.iter().min_by_key(|(bit, _)| system.ends_search() & 1 << **bit == 0);
    let mut violation = None;
    if let Some((bit, parent)) = first {
        let chain = summary::chain(&inboxes, &antichains, peers, *parent)?;
        let chain = chain.filter(|_| peers.process() == 0);
        violation =
            chain.and_then(|chain| Some((run::find(&inboxes, &chain, 1 << bit)?, 1 << bit)));
    }
    let outcome = Outcome {
        kept,
        expanded,
        local_transitions: classes,
        findings: observed.findings,
        complete,
        removals_hold,
        violation,
    };
    let local_transitions = local_transitions.into_iter().map(|(_, transition)| transition);
    let local_transitions = local_transitions.collect();
    Ok(Exploration { outcome, inboxes, antichains, local_transitions })
}
