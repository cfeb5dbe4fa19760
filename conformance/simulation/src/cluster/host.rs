//! A machine of a simulated cluster: a disk, a clock, and at times a process.

use std::collections::HashSet;
use std::time::Duration;

use raft_core::{Bytes, Entry, Index, NodeId, PersistentState, Term, TermAt, Write};
use raft_node::orders::Free;
use raft_node::replica::Observer;
use raft_node::shell::ProposalId;
use rand::RngExt;
use rand::rngs::SmallRng;

use super::event_queue::Event;
use super::http::{HttpServer, Proposed};
use crate::disk::Disk;
use crate::failure::Failure;
use crate::reference_store::Reference;
use crate::server::{Running, Setup, open_log};

/// The part of the unsynced data that survives a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survives {
    /// Everything: only the process is killed.
    All,
    /// Nothing: the machine loses its power.
    Nothing,
    /// A random part, sector by sector: the machine loses its power.
    Anything,
}

/// A machine of the cluster.
pub struct Host {
    /// The set-up of its server.
    pub setup: Setup,
    /// Its disk.
    pub disk: Disk,
    /// The process, if it is up.
    pub running: Option<Running>,
    /// The HTTP server of its clients, from the first request on.
    pub(super) http: Option<HttpServer>,
    /// The number of times that it was started.
    pub incarnation: u64,
    /// Whether the process is paused.
    pub paused: bool,
    /// The reason why the process stopped by itself.
    pub stopped: Option<String>,
    /// The events for the process that wait until it is not paused any more.
    pub(super) held: Vec<Event>,
    /// The expected state of the state machine.
    pub reference: Reference,
    /// Commands of clients that are not answered.
    pub(super) proposed: Proposed,
    /// Commands that the server reported as applied.
    pub(super) done: HashSet<ProposalId>,
    /// The state of the disk that was reported durable.
    pub(super) durable: PersistentState,
    /// The state of the disk when the process ended.
    pub left: PersistentState,
    /// The time of its next wake-up.
    pub(super) wakes_at: Duration,
    /// The position of its last crash in the record.
    pub(super) crashed_at: Option<usize>,
    /// The number of writes that are being made durable.
    pub(super) committing: usize,
    /// Whether a snapshot is being written.
    pub(super) storing: bool,
    /// The entries that the state machine applied last, with its answers.
    pub(super) last_applied: Vec<(Entry, Bytes)>,
    /// The greatest number of client sessions that it keeps.
    sessions: u64,
    /// The election timeouts that it has drawn: their number, the shortest and the longest.
    timeouts: Option<(u64, Duration, Duration)>,
    /// The time at which its election timer runs out, as of the last look.
    election: Duration,
    /// The speed of its clock, in millionths.
    rate: u32,
}

impl Host {
    pub(super) fn new(setup: Setup, sessions: u64, drift: u32, random: &mut SmallRng) -> Host {
        let drift = drift * 1000;
        Host {
            setup,
            disk: Disk::default(),
            running: None,
            http: None,
            incarnation: 0,
            paused: false,
            stopped: None,
            held: Vec::new(),
            reference: Reference::new(sessions),
            proposed: Proposed::new(),
            done: HashSet::new(),
            durable: PersistentState::default(),
            left: PersistentState::default(),
            wakes_at: Duration::MAX,
            crashed_at: None,
            committing: 0,
            storing: false,
            last_applied: Vec::new(),
            sessions,
            timeouts: None,
            election: Duration::ZERO,
            rate: 1_000_000 + random.random_range(0..=2 * drift) - drift,
        }
    }

    /// Returns the id of its server.
    pub fn id(&self) -> NodeId {
        self.setup.id
    }

    /// Returns whether the entry of this index and term is on its disk, or a snapshot that covers
    /// it.
    pub(super) fn has_durably(&self, index: Index, term: Term) -> bool {
        let (log, durable) = match &self.running {
            Some(running) => {
                let node = running.replica.shell().node();
                (&node.log, node.durable_index())
            }
            None => (&self.left.log, self.left.log.last_index()),
        };
        index <= log.base().index || index <= durable && log.term_at(index) == TermAt::Present(term)
    }

    /// Returns the time on its clock.
    pub(super) fn clock(&self, now: Duration) -> Duration {
        scale(now, self.rate, 1_000_000)
    }

    /// Returns the time at which its clock shows `clock`, or a little later.
    pub(super) fn when(&self, clock: Duration) -> Duration {
        scale(clock, 1_000_000, self.rate) + Duration::from_micros(1)
    }

    pub(super) fn start(
        &mut self,
        now: Duration,
        seed: u64,
        observer: Observer,
    ) -> Result<(), Failure> {
        self.disk.fail(None);
        let mut running =
            Running::start(&self.setup, &self.disk, self.clock(now), seed, Some(observer))?;
        running.free = Free { disk: true, machine: true };
        running.reader.set_max_sessions(self.sessions);
        self.incarnation += 1;
        self.stopped = None;
        self.paused = false;
        self.held.clear();
        self.proposed.clear();
        self.done.clear();
        self.wakes_at = Duration::MAX;
        self.committing = 0;
        self.storing = false;
        self.last_applied.clear();
        self.running = Some(running);
        Ok(())
    }

    /// Ends the process. Returns the number of pending writes that the disk has kept, or a
    /// description of a wrong state of the disk.
    pub(super) fn crash(
        &mut self,
        left: Survives,
        random: &mut SmallRng,
    ) -> Result<Result<usize, String>, Failure> {
        let Some(mut running) = self.running.take() else { return Ok(Ok(0)) };
        self.http = None;
        let queued = running.replica.shell().queues().writes.to_vec();
        let pending: Vec<Write> =
            running.writes.iter().map(|(_, write)| write.clone()).chain(queued).collect();
        // The process may end in the middle of a transaction.
        let mut moments = vec![self.disk.moment()];
        if self.committing > 0 {
            self.disk.record();
            let written = running.write(self.committing);
            moments.extend(self.disk.recorded());
            if written.is_ok() {
                moments.push(self.disk.moment());
            }
        }
        let moment = &moments[random.random_range(0..moments.len())];
        self.disk = match left {
            Survives::All => moment.after_kill(),
            Survives::Nothing => moment.after_power_loss(|| false),
            Survives::Anything => moment.after_power_loss(|| random.random()),
        };
        drop(running);
        self.left = open_log(&self.disk.moment().after_kill(), &self.setup)?.1;
        let before = std::mem::replace(&mut self.durable, self.left.clone());
        Ok(kept(before.clone(), &pending, &self.left).ok_or_else(|| {
            format!(
                "{}: after a crash the disk holds {}; before, it held {}, and {} writes were on the way",
                self.id(),
                summary(&self.left),
                summary(&before),
                pending.len()
            )
        }))
    }

    /// Makes the oldest writes durable, and reports this.
    pub(super) fn commit(&mut self, clock: Duration, count: usize) -> Result<(), Failure> {
        let Some(running) = &mut self.running else { return Ok(()) };
        running.free.disk = true;
        let writes: Vec<Write> =
            running.writes.iter().take(count).map(|(_, write)| write.clone()).collect();
        running.commit(clock, count)?;
        for write in &writes {
            self.durable.write(write);
        }
        Ok(())
    }

    /// Describes requests for which clients have waited too long, or which the replica does not
    /// know any more.
    pub(super) fn forgotten_requests(&self, clock: Duration) -> Option<String> {
        let timeout = self.setup.bounds.request_timeout;
        if let Some((id, (since, _))) = self.proposed.first_key_value()
            && clock > *since + timeout
        {
            let (id, waits) = (id.0, clock.saturating_sub(*since));
            return Some(format!("{}: command {id} waits for {waits:?}", self.id()));
        }
        let replica = &self.running.as_ref()?.replica;
        let commands = (self.proposed.len(), replica.shell().unanswered());
        let reads = (self.http.as_ref().map_or(0, |http| http.waiting.reads()), replica.reads());
        let [commands, reads] =
            [("commands", commands), ("reads", reads)].map(|(what, (waiting, known))| {
                (waiting > known).then(|| format!("{waiting} {what} wait, and it knows of {known}"))
            });
        Some(format!("{}: {}", self.id(), commands.or(reads)?))
    }

    /// Returns whether a client waits for the replica.
    pub fn owes_answers(&self) -> bool {
        !self.proposed.is_empty() || self.http.as_ref().is_some_and(|http| http.waiting.reads() > 0)
    }

    /// Compares the state machine with the state after these entries, which it should reflect
    /// exactly.
    pub(super) fn check_state(&mut self, entries: &[Entry]) -> Result<(), String> {
        self.reference = Reference::new(self.sessions).after(entries);
        self.compare_state()
    }

    /// Compares the state machine with the reference. The two must be equal.
    pub(super) fn compare_state(&self) -> Result<(), String> {
        let Some(running) = &self.running else { return Ok(()) };
        let found = running.reader.whole().map_err(|error| error.to_string())?;
        match self.reference.difference(&found) {
            None => Ok(()),
            Some(difference) => Err(format!("{}: {difference}", self.id())),
        }
    }

    /// Records the election timeout if a new one was drawn in a step. `clock` is the time on its
    /// clock.
    pub(super) fn look_at_timer(&mut self, clock: Duration) {
        let Some(running) = self.running.as_ref().filter(|running| !running.replica.leads()) else {
            return;
        };
        let election = running.replica.timer();
        if election == self.election {
            return;
        }
        self.election = election;
        let drawn = election.saturating_sub(clock);
        let (count, shortest, longest) = self.timeouts.unwrap_or((0, drawn, drawn));
        self.timeouts = Some((count + 1, shortest.min(drawn), longest.max(drawn)));
    }

    /// Checks that election timeouts vary enough. The error describes the timeouts.
    pub(super) fn timeouts_vary(&self) -> Result<(), String> {
        /// With this many timeouts, it is almost impossible that all of them are close together by
        /// chance.
        const ENOUGH: u64 = 30;
        let Some((count, shortest, longest)) = self.timeouts else { return Ok(()) };
        let timing = self.setup.timing;
        let range = timing.election_max.saturating_sub(timing.election_min);
        if count >= ENOUGH && longest.saturating_sub(shortest) < range / 4 {
            let id = self.id();
            return Err(format!(
                "{id} drew {count} election timeouts, from {shortest:?} to {longest:?}"
            ));
        }
        Ok(())
    }
}

/// Returns the number of the writes that are on the disk, or `None` if the disk has another state.
fn kept(mut state: PersistentState, pending: &[Write], found: &PersistentState) -> Option<usize> {
    for (count, write) in pending.iter().enumerate() {
        if state == *found {
            return Some(count);
        }
        state.write(write);
    }
    (state == *found).then_some(pending.len())
}

/// Describes the state of a disk in one line.
fn summary(state: &PersistentState) -> String {
    let PersistentState { current_term, voted_for, log } = state;
    let vote = voted_for.map_or_else(|| "no vote".to_owned(), |vote| format!("a vote for {vote}"));
    let (base, last) = (log.base(), log.last());
    format!(
        "term {current_term} with {vote}, a snapshot up to {}, and entries up to {} of term {}",
        base.index, last.index, last.term
    )
}

fn scale(time: Duration, by: u32, of: u32) -> Duration {
    let nanoseconds = time.as_nanos() * u128::from(by) / u128::from(of);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}
