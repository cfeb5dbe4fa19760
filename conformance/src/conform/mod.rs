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
//! - the step and each one that can follow it are done as one batch.
//!
//! A transition that does not lead into a new state leads into one that has been reached on another
//! path. That both are compared with the same state of the model, and that what follows is tried after
//! either, is the test for memory that the comparison does not see.

mod crash;
mod paths;
pub mod transfer;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use raft_checker::config::BoundedConfig;
use raft_checker::coverage::{kind, role};
use raft_checker::packed::ClusterModel;
use raft_checker::search::Control;
use raft_checker::search::level::{self, Goal};
use raft_core::{Message, NodeId};
use raft_trace::{Action, ClusterTrace, Settings};

use crate::disk::Fault;
use crate::lockstep::{Divergence, Lockstep};
use crate::words::Words;
use crash::Allowed;
pub use paths::{Paths, Step};

/// What was tried on production of what the checker found in one configuration.
#[derive(Clone, Debug, Default)]
pub struct Conformed {
    /// The configuration.
    pub config: String,
    /// How many local transitions the checker found, by kind of action and role.
    pub known: BTreeMap<(&'static str, &'static str), u64>,
    /// How many of them were tried.
    pub covered: BTreeMap<(&'static str, &'static str), u64>,
    /// States of one server, up to renaming.
    pub states: u64,
    /// Moments inside steps at which the power went.
    pub crash_points: u64,
    /// What was left on the disk then, and started from.
    pub disks: u64,
    /// Operations on the disk that were made to fail.
    pub faults: u64,
    /// Pairs of steps that were done as one batch.
    pub batches: u64,
    /// Steps that were done after a state was reached on another path than the shortest.
    pub second_ways: u64,
    /// The first difference that was found.
    pub divergence: Option<Found>,
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
    pub circumstance: String,
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
    let paths = Paths::of(&model);
    drop(model);
    let mut conformed = Conformed { config: config.name.clone(), ..Conformed::default() };
    conformed.states = paths.states() as u64;
    for step in paths.steps() {
        let key = (kind(&step.action), role(paths.server(step)));
        *conformed.known.entry(key).or_default() += 1;
    }
    progress.known.fetch_add(paths.steps().len() as u64, Ordering::Relaxed);
    let words = Words::default();
    let trial = Trial {
        settings: &config.settings,
        words: &words,
        paths: &paths,
        next: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        result: Mutex::new(conformed),
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| trial.run(control, progress));
        }
    });
    let mut conformed =
        trial.result.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    conformed.complete = outcome.complete
        && outcome.found_at.is_none()
        && paths.unreached == 0
        && conformed.known() == conformed.covered();
    conformed
}

/// One configuration's transitions, on their way through production.
struct Trial<'a> {
    settings: &'a Settings,
    words: &'a Words,
    paths: &'a Paths,
    next: AtomicUsize,
    stop: AtomicBool,
    result: Mutex<Conformed>,
}

/// A difference, and the circumstance.
type Difference = (Divergence, String);

fn plainly(divergence: Divergence) -> Difference {
    (divergence, String::new())
}

impl<'a> Trial<'a> {
    fn run(&self, control: &Control, progress: &Progress) {
        let mut own = Conformed::default();
        while !self.stop.load(Ordering::Relaxed) && control.stopped().is_none() {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(step) = self.paths.steps().get(number) else { break };
            let (id, path) = self.paths.path(step);
            match self.step(number, step, id, &path, &mut own) {
                Ok(()) => {
                    let key = (kind(&step.action), role(self.paths.server(step)));
                    *own.covered.entry(key).or_default() += 1;
                }
                Err((divergence, circumstance, extra)) => {
                    let mut actions = path;
                    actions.extend(extra);
                    let about = format!("what happens to {id} until production differs");
                    let settings = self.settings.clone();
                    let trace = ClusterTrace { settings, about, actions };
                    own.divergence = Some(Found { divergence, trace, server: id, circumstance });
                    self.stop.store(true, Ordering::Relaxed);
                }
            }
            progress.tried.fetch_add(1, Ordering::Relaxed);
        }
        self.add(own);
    }

    fn add(&self, own: Conformed) {
        let mut all = self.result.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (key, count) in own.covered {
            *all.covered.entry(key).or_default() += count;
        }
        all.crash_points += own.crash_points;
        all.disks += own.disks;
        all.faults += own.faults;
        all.batches += own.batches;
        all.second_ways += own.second_ways;
        let shorter = |found: &Found| {
            all.divergence
                .as_ref()
                .is_none_or(|known| known.trace.actions.len() > found.trace.actions.len())
        };
        if own.divergence.as_ref().is_some_and(shorter) {
            all.divergence = own.divergence;
        }
    }

    /// Tries one transition in every way.
    fn step(
        &self,
        number: usize,
        step: &Step,
        id: NodeId,
        path: &[Action],
        own: &mut Conformed,
    ) -> Result<(), (Divergence, String, Option<Action>)> {
        let alone = |(divergence, circumstance)| (divergence, circumstance, None);
        let operations = self.once(number, step, id, path, own).map_err(alone)?;
        let next: Vec<Action> = self.paths.next(step).collect();
        let led = self.lead(id, path, &next);
        let led = led.map_err(|divergence| (divergence, String::new(), None))?;
        for operation in 0..operations {
            own.faults += 1;
            self.with_fault(number, step, id, path, operation).map_err(alone)?;
        }
        for next in next {
            let outcome = if is_batch(&step.action, &next) {
                own.batches += 1;
                let outcome = self.together(id, path, &led, &next);
                outcome.map_err(|divergence| (divergence, "both steps as one batch".to_owned()))
            } else if !self.paths.is_first_way(number) {
                own.second_ways += 1;
                self.after(id, path, &led, &next).map_err(plainly)
            } else {
                Ok(())
            };
            outcome.map_err(|(divergence, circumstance)| {
                (divergence, circumstance, Some(next.clone()))
            })?;
        }
        Ok(())
    }

    /// Leads production to the state before the last step of a path.
    fn lead(
        &self,
        id: NodeId,
        path: &[Action],
        next: &[Action],
    ) -> Result<Lockstep<'a>, Divergence> {
        let plan: Vec<&Action> = path.iter().chain(next).collect();
        let mut lockstep = Lockstep::boot(self.settings, self.words, id, &plan)?;
        for action in path.split_last().map_or(&[][..], |(_, before)| before) {
            lockstep.act(action)?;
        }
        Ok(lockstep)
    }

    /// Does the step, compares, and lets the power go inside it. Returns how many operations on the
    /// disk the step took.
    fn once(
        &self,
        number: usize,
        step: &Step,
        id: NodeId,
        path: &[Action],
        own: &mut Conformed,
    ) -> Result<u64, Difference> {
        let mut lockstep = self.lead(id, path, &[]).map_err(plainly)?;
        let before = lockstep.model.clone();
        let disk = lockstep.disk.clone();
        disk.record();
        lockstep.act(&step.action).map_err(plainly)?;
        let mut moments = disk.recorded();
        lockstep.compare().map_err(plainly)?;
        let operations = moments.len() as u64;
        if operations > 0 {
            moments.push(disk.moment());
            let allowed = Allowed::during(self.settings, self.words, &before, &step.action);
            let seed = crash::seed(id, number);
            let tried = crash::try_all(&allowed, &lockstep.setup, &moments, seed);
            let tried = tried.map_err(|(place, divergence)| {
                (
                    divergence,
                    format!("a crash before operation {} of {operations} on the disk", place + 1),
                )
            })?;
            own.crash_points += tried.moments;
            own.disks += tried.disks;
        }
        Ok(operations)
    }

    /// The state before the last step of a path once more, from where production was led to it, or
    /// where that cannot be had again, on the same path.
    fn again(
        &self,
        id: NodeId,
        path: &[Action],
        led: &Lockstep<'a>,
        next: &[Action],
    ) -> Result<Lockstep<'a>, Divergence> {
        let mut actions = path.last().into_iter().chain(next);
        if actions.any(needs_store) {
            return self.lead(id, path, next);
        }
        match led.fork() {
            Ok(Some(fork)) => Ok(fork),
            Ok(None) => self.lead(id, path, next),
            Err(failure) => Err(Divergence::failure("whether it can be copied", &failure)),
        }
    }

    /// Does the step while one operation on the disk fails. The node stops, and then what is left must
    /// be what a crash may leave; or it goes on, and then everything must be as if nothing had failed.
    fn with_fault(
        &self,
        number: usize,
        step: &Step,
        id: NodeId,
        path: &[Action],
        operation: u64,
    ) -> Result<(), Difference> {
        let mut lockstep = self.lead(id, path, &[]).map_err(plainly)?;
        let before = lockstep.model.clone();
        let disk = lockstep.disk.clone();
        let name =
            |divergence| (divergence, format!("operation {} on the disk fails", operation + 1));
        disk.fail(Some(Fault::Once(operation)));
        let outcome = lockstep.act(&step.action);
        disk.fail(None);
        if outcome.is_ok() {
            return lockstep.compare().map_err(name);
        }
        let allowed = Allowed::during(self.settings, self.words, &before, &step.action);
        let seed = crash::seed(id, number);
        let tried = crash::try_all(&allowed, &lockstep.setup, &[disk.moment()], seed);
        tried.map(drop).map_err(|(_, divergence)| name(divergence))
    }

    /// Does the step and the next one as one batch.
    fn together(
        &self,
        id: NodeId,
        path: &[Action],
        led: &Lockstep<'a>,
        next: &Action,
    ) -> Result<(), Divergence> {
        let mut lockstep = self.again(id, path, led, std::slice::from_ref(next))?;
        let Some(last) = path.last() else { return Ok(()) };
        lockstep.act_together(&[last, next])?;
        lockstep.compare()
    }

    /// Does the step and then the next one.
    fn after(
        &self,
        id: NodeId,
        path: &[Action],
        led: &Lockstep<'a>,
        next: &Action,
    ) -> Result<(), Divergence> {
        let mut lockstep = self.again(id, path, led, std::slice::from_ref(next))?;
        if let Some(last) = path.last() {
            lockstep.act(last)?;
        }
        lockstep.act(next)?;
        lockstep.compare()
    }
}

/// Whether an action is about what the state machine keeps on the disk.
fn needs_store(action: &Action) -> bool {
    match action {
        Action::StartSnapshot { .. }
        | Action::FinishSnapshot { .. }
        | Action::Crash { .. }
        | Action::Restart { .. } => true,
        Action::Deliver(envelope) => matches!(envelope.message, Message::InstallSnapshot(_)),
        _ => false,
    }
}

/// Whether production could get both from its inboxes at once, in this order: first what disk and
/// state machine report, then messages, then what clients want, then timers. Several commands are one
/// input of production and several of the model, so they are left out.
fn is_batch(first: &Action, second: &Action) -> bool {
    let rank = |action: &Action| match action {
        Action::Sync { .. } | Action::Apply { .. } => Some(0),
        Action::Deliver(_) => Some(1),
        Action::Propose { .. } => Some(2),
        Action::Read { .. } => Some(3),
        Action::ElectionTimeout { .. } | Action::Heartbeat { .. } => Some(4),
        _ => None,
    };
    let both = rank(first).zip(rank(second));
    both.is_some_and(|(first, second)| first < second || (first, second) == (1, 1))
}
