//! Tries all local transitions of one configuration on production servers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use raft_checker::cluster::rename::Renaming;
use raft_checker::control::Control;
use raft_checker::coverage::{kind, role};
use raft_core::NodeId;
use raft_trace::{Action, ClusterTrace, Settings};

use super::fault_variant::{Course, Difference, FaultVariant, dice, is_batch, plainly};
use super::transition_paths::{Paths, Step};
use super::tried::Tried;
use super::{Conformed, Found, Progress};
use crate::lockstep::{Divergence, Lockstep};
use crate::refinement_mapping::Refinement;

/// One of this many batches is interrupted by crashes.
const BATCHES: u64 = 16;

/// The most steps that follow the first one in a long batch.
const LONGEST: u64 = 5;

/// A difference, and the actions after the step that led to it.
type Later = Box<(Difference, Vec<Action>)>;

/// All transitions of a configuration, and the results so far.
pub(super) struct Trial<'a> {
    settings: &'a Settings,
    refinement: &'a Refinement,
    paths: &'a Paths,
    tried: &'a Tried,
    next: AtomicUsize,
    stop: AtomicBool,
    result: Mutex<Conformed>,
}

impl<'a> Trial<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        refinement: &'a Refinement,
        paths: &'a Paths,
        tried: &'a Tried,
        begun: Conformed,
    ) -> Trial<'a> {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        Trial { settings, refinement, paths, tried, next, stop, result: Mutex::new(begun) }
    }

    /// Tries one transition after the other, until there are no more, a difference is found, or the
    /// check is stopped.
    pub(super) fn run(&self, control: &Control, progress: &Progress) {
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
                Err(differs) => {
                    let ((divergence, variant), later) = *differs;
                    let mut actions = path;
                    actions.extend(later);
                    let about = format!("what happens to {id} until production differs");
                    let settings = self.settings.clone();
                    let trace = ClusterTrace { settings, about, actions };
                    own.divergence = Some(Found { divergence, trace, server: id, variant });
                    self.stop.store(true, Ordering::Relaxed);
                }
            }
            progress.tried.fetch_add(1, Ordering::Relaxed);
        }
        self.result.lock().unwrap_or_else(PoisonError::into_inner).add(own);
    }

    /// Returns the results.
    pub(super) fn finish(self) -> Conformed {
        self.result.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a hash of a step under each renaming of the servers.
    fn hashes(&self, step: &Step) -> Vec<u64> {
        let server = self.paths.server(step);
        let hash =
            |by: &Renaming| dice((self.settings, by.server(server), by.action(&step.action)));
        self.paths.renamings().iter().map(hash).collect()
    }

    /// Returns whether no earlier configuration has tried a step with the one that follows it.
    fn is_new_pair(&self, step: &[u64], next: &Action) -> bool {
        let renamed = self.paths.renamings().iter().map(|by| by.action(next));
        self.tried.add(step.iter().zip(renamed).map(dice).min())
    }

    /// Tries one transition in every way in which no earlier configuration has tried it.
    fn step(
        &self,
        number: usize,
        step: &Step,
        id: NodeId,
        path: &[Action],
        own: &mut Conformed,
    ) -> Result<(), Later> {
        let course = Course { settings: self.settings, refinement: self.refinement, id };
        let Some((action, before)) = path.split_last() else { return Ok(()) };
        let hashes = self.hashes(step);
        let is_new = self.tried.add(hashes.iter().min());
        let led = if is_new { self.alone(course, number, action, before, own) } else { Ok(None) };
        let led = led.map_err(|difference| Box::new((difference, Vec::new())))?;
        let led = led.as_ref();
        let first_way = self.paths.is_first_way(number);
        own.second_ways += u64::from(!first_way);
        let mut has_new_pairs = false;
        for next in self.paths.next(step) {
            let batch = is_batch(action, &next);
            if !batch && first_way || !self.is_new_pair(&hashes, &next) {
                continue;
            }
            has_new_pairs = true;
            let outcome = if batch {
                together(course, led, before, &[action, &next], own)
            } else {
                own.followed += 1;
                after(course, led, path, &next)
                    .map_err(|divergence| (divergence, FaultVariant::SecondWay))
            };
            outcome.map_err(|difference| Box::new((difference, vec![next])))?;
        }
        if !is_new {
            own.tried_before += u64::from(!has_new_pairs);
            return Ok(());
        }
        let longest = 2 + dice((action, number)) % (LONGEST - 1);
        let run = self.paths.run(step, usize::try_from(longest).unwrap_or(2));
        if run.len() > 1 {
            let actions: Vec<&Action> = std::iter::once(action).chain(&run).collect();
            let outcome = together(course, led, before, &actions, own);
            own.longer += 1;
            outcome.map_err(|difference| Box::new((difference, run.clone())))?;
        }
        Ok(())
    }

    /// Performs the step alone: with crashes inside it, and with failing disk operations. Returns a
    /// copy of both servers before the step, if they can be copied.
    fn alone(
        &self,
        course: Course<'a>,
        number: usize,
        action: &Action,
        before: &[Action],
        own: &mut Conformed,
    ) -> Result<Option<Lockstep<'a>>, Difference> {
        let mut lockstep = course.lead(before, &[action]).map_err(plainly)?;
        if self.paths.is_first_of_its_state(number) {
            let asked = lockstep.accepts();
            own.asked += asked.map_err(|divergence| (divergence, FaultVariant::Asked))?;
        }
        let copy = lockstep.fork().map_err(|failure| {
            plainly(Divergence::failure("whether it can be copied", &failure))
        })?;
        let crashed = course.with_crashes(&mut lockstep, &[action])?;
        own.crash_points += crashed.tried.moments;
        own.disks += crashed.tried.disks;
        // A copy has no key-value store on its disk. It can be used if the step does not change the
        // store.
        let alike = Course::operations(copy.as_ref(), action) == Some(crashed.operations);
        for operation in 0..crashed.operations {
            let copy = copy.as_ref().filter(|_| alike);
            let lockstep = course.again(copy, before, &[action]).map_err(plainly)?;
            own.faults += 1;
            course.with_fault(lockstep, action, operation)?;
        }
        Ok(copy)
    }
}

/// Performs the last step of a path and then the next one, and compares.
fn after<'a>(
    course: Course<'a>,
    led: Option<&Lockstep<'a>>,
    path: &[Action],
    next: &Action,
) -> Result<(), Divergence> {
    let Some((last, before)) = path.split_last() else { return Ok(()) };
    let mut lockstep = course.again(led, before, &[last, next])?;
    lockstep.act(last)?;
    lockstep.act(next)?;
    lockstep.compare()
}

/// Performs several steps as one batch, and compares. Tries crashes inside some batches.
fn together<'a>(
    course: Course<'a>,
    led: Option<&Lockstep<'a>>,
    before: &[Action],
    actions: &[&Action],
    own: &mut Conformed,
) -> Result<(), Difference> {
    own.batches += 1;
    let batch = FaultVariant::Batch { steps: actions.len() };
    let differs = |divergence| (divergence, batch);
    let mut lockstep = course.again(led, before, actions).map_err(differs)?;
    if dice((&lockstep.model, actions)).is_multiple_of(BATCHES) {
        let crashed = course.with_crashes(&mut lockstep, actions)?;
        own.crash_points += crashed.tried.moments;
        own.disks += crashed.tried.disks;
        return Ok(());
    }
    lockstep.act_together(actions).map_err(differs)?;
    lockstep.compare().map_err(differs)
}
