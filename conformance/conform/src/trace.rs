//! Performs a trace of a cluster on production servers.
//!
//! The behaviour of a server depends only on its own state and its own inputs. So a trace is split
//! into one run for each server, and each run is compared with the model separately. A trace need
//! not be the run of a cluster: a trace that leads one server to a difference contains only the
//! inputs of that server.

use std::collections::BTreeMap;

use raft_checker::cluster::Impossible;
use raft_checker::cluster::server::Server;
use raft_checker::cluster::snapshot_data::{decode, encode};
use raft_checker::control::Control;
use raft_core::{Bytes, Entry, Index, Message, NodeId, Paper, Payload, Snapshot, Term};
use raft_kv::command::Command;
use raft_trace::{Action, ClusterTrace, Settings};

use super::fault_variant::{Course, Difference, FaultVariant, is_batch, plainly};
use super::minimise::minimise;
use super::server_projection::Projected;
use super::{Found, Progress};
use crate::lockstep::{Divergence, Lockstep, timer_runs};
use crate::refinement_mapping::Refinement;

/// The tests that are made in addition to the comparison after each step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Crashes inside each step.
    pub crashes: bool,
    /// Failing disk operations, batches, and tests of the inputs that copies accept. Without effect
    /// unless `crashes` is set.
    pub rest: bool,
}

/// A limit on the steps that are repeated to return to a state where a fault or a batch can be
/// tried. In traces that would exceed it, only a sample of the states is used.
const AGAIN: usize = 50_000;

/// The number of plain steps that take about as long as one step with crashes and failing disks.
const COST: usize = 8;

/// The most servers in a trace: more than a real cluster has, and few enough to start all of them.
const MAX_SERVERS: u64 = 64;

/// The longest command in a trace of the model, in bytes. The command becomes part of a value.
const MAX_NAME: usize = 256;

/// The numbers of tests that were made with a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Steps of servers.
    pub steps: u64,
    /// Inputs for which copies of both servers were tested: whether they accept the input.
    pub asked: u64,
    /// Moments inside steps at which a crash was simulated.
    pub crash_points: u64,
    /// Different disks after these crashes, each followed by a start.
    pub disks: u64,
    /// Disk operations that were made to fail.
    pub faults: u64,
    /// Pairs of steps that were performed as one batch.
    pub batches: u64,
}

/// The reason why a trace cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTrace {
    /// No server could run with these settings or perform such a step.
    #[error("{0}")]
    Unusable(String),
    /// The model cannot perform a step.
    #[error("step {step} is not possible: {reason}")]
    Impossible {
        /// The step, counted from 1.
        step: usize,
        /// The reason.
        reason: Impossible,
    },
}

/// Performs a trace on production servers and compares them with the model. Returns a difference
/// with a short trace that leads to it.
///
/// # Errors
///
/// The model cannot perform the trace.
pub fn hold(
    trace: &ClusterTrace,
    control: &Control,
    progress: &Progress,
) -> Result<(Held, Option<Found>), BadTrace> {
    use std::sync::atomic::Ordering::Relaxed;
    let trace = followed(trace)?;
    let refinement =
        if speaks_service(&trace) { Refinement::of_service() } else { Refinement::default() };
    let effort = Effort { crashes: true, rest: true };
    let mut all = Held::default();
    progress.known.fetch_add(trace.actions.len() as u64, Relaxed);
    for projected in Projected::of(&trace) {
        let (held, found) = projected.hold(&refinement, effort, control);
        progress.tried.fetch_add(held.steps, Relaxed);
        all.add(held);
        if let Some(found) = found {
            // If the difference needs no crashes and failing disks, shorter traces are tried
            // without them.
            let (effort, cost) = match found.variant {
                FaultVariant::Plainly => (Effort::default(), 1),
                _ => (effort, COST),
            };
            let again = |projected: &Projected<'_>| projected.hold(&refinement, effort, control).1;
            return Ok((all, Some(minimise(&projected, found, cost, again))));
        }
    }
    Ok((all, None))
}

impl Held {
    fn add(&mut self, other: Held) {
        self.steps += other.steps;
        self.asked += other.asked;
        self.crash_points += other.crash_points;
        self.disks += other.disks;
        self.faults += other.faults;
        self.batches += other.batches;
    }
}

impl<'a> Projected<'a> {
    /// Returns the actions of each server.
    pub(super) fn of(trace: &'a ClusterTrace) -> Vec<Projected<'a>> {
        let own = |id| trace.actions.iter().filter(move |action| action.server() == Some(id));
        let ids = (1..=trace.settings.servers).map(NodeId);
        let servers = ids.map(|id| Projected {
            settings: &trace.settings,
            id,
            actions: own(id).cloned().collect(),
        });
        servers.collect()
    }

    /// Performs the actions on a production server and compares it with the model.
    pub(super) fn hold(
        &self,
        refinement: &Refinement,
        effort: Effort,
        control: &Control,
    ) -> (Held, Option<Found>) {
        let mut held = Held::default();
        let course = Course { settings: self.settings, refinement, id: self.id };
        let plan: Vec<&Action> = self.actions.iter().collect();
        let booted = course.lead(&[], &plan);
        let mut done = 0;
        let outcome = booted.map_err(plainly).and_then(|mut lockstep| {
            while done < self.actions.len() && control.stopped().is_none() {
                self.step(course, &mut lockstep, done, effort, &mut held)?;
                held.steps += 1;
                done += 1;
            }
            Ok(())
        });
        let found = outcome.err().map(|(divergence, variant)| {
            let last = done + variant.steps();
            let actions = self.actions[..last.min(self.actions.len())].to_vec();
            let about = format!("what happens to {} until production differs", self.id);
            let trace = ClusterTrace { settings: self.settings.clone(), about, actions };
            Found { divergence, trace, server: self.id, variant }
        });
        (held, found)
    }

    fn step<'w>(
        &self,
        course: Course<'w>,
        lockstep: &mut Lockstep<'w>,
        place: usize,
        effort: Effort,
        held: &mut Held,
    ) -> Result<(), Difference> {
        let (before, action) = (&self.actions[..place], &self.actions[place]);
        if !effort.crashes {
            lockstep.act(action).map_err(plainly)?;
            return lockstep.compare().map_err(plainly);
        }
        let mut copy = None;
        if effort.rest {
            let asked = lockstep.accepts();
            held.asked += asked.map_err(|divergence| (divergence, FaultVariant::Asked))?;
            copy = lockstep.fork().map_err(|failure| {
                plainly(Divergence::failure("whether it can be copied", &failure))
            })?;
        }
        let crashed = course.with_crashes(lockstep, &[action])?;
        held.crash_points += crashed.tried.moments;
        held.disks += crashed.tried.disks;
        if !effort.rest {
            return Ok(());
        }
        let copy = copy.as_ref();
        let every = (self.actions.len() * self.actions.len() / AGAIN).max(1);
        let sampled = place.is_multiple_of(every);
        let alike = copy.filter(|_| Course::operations(copy, action) == Some(crashed.operations));
        for operation in (0..crashed.operations).filter(|_| sampled || alike.is_some()) {
            held.faults += 1;
            let lockstep = course.again(alike, before, &[action]).map_err(plainly)?;
            course.with_fault(lockstep, action, operation)?;
        }
        let next = self.actions.get(place + 1);
        let next = next.filter(|next| is_batch(action, next) && (sampled || copy.is_some()));
        if let Some(next) = next {
            held.batches += 1;
            let pair = [action, next];
            let in_batch = |divergence| (divergence, FaultVariant::Batch { steps: 2 });
            let mut lockstep = course.again(copy, before, &pair).map_err(in_batch)?;
            course.with_crashes(&mut lockstep, &pair)?;
        }
        Ok(())
    }
}

/// Returns whether there are commands and all of them are requests of the key-value service.
fn speaks_service(trace: &ClusterTrace) -> bool {
    let mut commands = commands(trace).peekable();
    commands.peek().is_some() && commands.all(|command| Command::decode(command.as_slice()).is_ok())
}

fn commands(trace: &ClusterTrace) -> impl Iterator<Item = &Bytes> {
    fn of(entry: &Entry) -> Option<&Bytes> {
        match &entry.payload {
            Payload::Noop => None,
            Payload::Command(command) => Some(command),
        }
    }
    trace.actions.iter().flat_map(|action| {
        let (proposed, entries) = match action {
            Action::Propose { command, .. } => (Some(command), None),
            Action::Deliver(envelope) => match &envelope.message {
                Message::AppendEntries(request) => (None, Some(&request.entries)),
                _ => (None, None),
            },
            _ => (None, None),
        };
        proposed.into_iter().chain(entries.into_iter().flatten().filter_map(of))
    })
}

/// Returns the trace with the model's snapshot handles, so that the model can perform it. A
/// recorded run has names of files as handles.
fn followed(trace: &ClusterTrace) -> Result<ClusterTrace, BadTrace> {
    check(trace)?;
    let mut trace = trace.clone();
    let settings = trace.settings.clone();
    let ids = (1..=settings.servers).map(NodeId);
    let mut servers: Vec<Server> = ids.map(|id| Server::boot(&settings, &Paper, id)).collect();
    let mut snapshots: BTreeMap<(Index, Term), Bytes> = BTreeMap::new();
    for (place, action) in trace.actions.iter_mut().enumerate() {
        let bad = |reason| BadTrace::Impossible { step: place + 1, reason };
        let Some(id) = action.server() else { continue };
        if let Action::Deliver(envelope) = action
            && let Message::InstallSnapshot(offer) = &mut envelope.message
            && !translate(&mut offer.snapshot, &snapshots)
        {
            let what = "a snapshot whose contents nobody knows";
            return Err(BadTrace::Unusable(format!("step {}: {what}", place + 1)));
        }
        let server = servers.iter_mut().find(|server| server.id == id);
        let server = server.ok_or_else(|| bad(Impossible::NoSuchServer(id)))?;
        if !timer_runs(server, action) {
            let what = "the timer of another role; it does not run here";
            return Err(BadTrace::Unusable(format!("step {}: {what}", place + 1)));
        }
        server.run(&settings, &Paper, action).map_err(bad)?;
        let log = server.process.as_ref().map_or(&server.disk.log, |process| &process.node.log);
        let base = log.snapshot();
        let position = (base.last_included_index, base.last_included_term);
        snapshots.entry(position).or_insert_with(|| base.handle.clone());
    }
    Ok(trace)
}

/// Replaces the handle of a snapshot by the model's handle, if necessary and if that is known.
/// Returns whether the snapshot then has the model's handle.
fn translate(snapshot: &mut Snapshot, known: &BTreeMap<(Index, Term), Bytes>) -> bool {
    let entries = decode(&snapshot.handle);
    let own = encode(&entries) == snapshot.handle
        && entries.len() as u64 == snapshot.last_included_index.0;
    let position = (snapshot.last_included_index, snapshot.last_included_term);
    if !own && let Some(handle) = known.get(&position) {
        snapshot.handle = handle.clone();
        return true;
    }
    own
}

/// Checks that servers can be set up with these settings, and that all actions can be mapped to
/// production.
fn check(trace: &ClusterTrace) -> Result<(), BadTrace> {
    let Settings { servers, limits, .. } = &trace.settings;
    let bad = |reason: String| Err(BadTrace::Unusable(reason));
    if *servers == 0 || *servers > MAX_SERVERS {
        return bad(format!("{servers} servers; there can be 1 to {MAX_SERVERS}"));
    }
    if limits.batch == 0 || limits.window == 0 || limits.reads == 0 {
        return bad("a limit is 0: batch, window and reads must be at least 1".to_owned());
    }
    let long = commands(trace).find(|command| command.as_slice().len() > MAX_NAME);
    if let Some(command) = long.filter(|_| !speaks_service(trace)) {
        let length = command.as_slice().len();
        return bad(format!(
            "a command of {length} bytes, which is no request of the service; the names of the \
             model's commands have at most {MAX_NAME}"
        ));
    }
    let odd = |action: &&Action| match action {
        Action::Deliver(envelope) => match &envelope.message {
            Message::InstallSnapshot(offer) => offer.snapshot.last_included_index == Index::ZERO,
            _ => false,
        },
        _ => false,
    };
    match trace.actions.iter().position(|action| odd(&action)) {
        Some(place) => bad(format!("step {}: a snapshot of nothing", place + 1)),
        None => Ok(()),
    }
}
