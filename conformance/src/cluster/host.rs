//! A machine of a simulated cluster: a disk, a clock, and now and then a process.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use raft_core::{Bytes, Entry, Index, NodeId, PersistentState, Term, TermAt, Write};
use raft_node::replica::{Free, Observer};
use raft_node::shell::ProposalId;
use rand::RngExt;
use rand::rngs::SmallRng;

use super::events::Event;
use super::http::HttpServer;
use crate::disk::Disk;
use crate::reference::Reference;
use crate::server::{Failure, Running, Setup, open_log};

/// What a crash leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Everything: only the process is gone.
    All,
    /// Nothing: the power is gone.
    Nothing,
    /// Anything, sector by sector.
    Anything,
}

/// A machine.
pub struct Host {
    /// How its server is set up.
    pub setup: Setup,
    /// Its disk.
    pub disk: Disk,
    /// The process, if it is up.
    pub running: Option<Running>,
    /// What serves its clients, from the first request on.
    pub(super) http: Option<HttpServer>,
    /// How often it was started.
    pub incarnation: u64,
    /// Whether the process stands still.
    pub paused: bool,
    /// Why the process stopped by itself.
    pub stopped: Option<String>,
    /// What would have happened to the process while it stood still.
    pub(super) held: Vec<Event>,
    /// What the state machine should hold.
    pub reference: Reference,
    /// Commands that clients gave it and that are not answered.
    pub(super) proposed: HashMap<ProposalId, Bytes>,
    /// Commands that it said it has applied.
    pub(super) done: HashSet<ProposalId>,
    /// What was reported to be on the disk.
    pub(super) durable: PersistentState,
    /// What was on the disk when the process ended.
    pub left: PersistentState,
    /// When it is going to be woken.
    pub(super) wakes_at: Duration,
    /// Where in the record its last crash stands.
    pub(super) crashed_at: Option<usize>,
    /// How many writes are being made durable.
    pub(super) committing: usize,
    /// Whether a snapshot is being written.
    pub(super) storing: bool,
    /// The entries that the state machine applied last, with its answers.
    pub(super) last_applied: Vec<(Entry, Bytes)>,
    /// How fast its clock goes, in millionths.
    rate: u32,
}

impl Host {
    pub(super) fn new(setup: Setup, drift: u32, random: &mut SmallRng) -> Host {
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
            reference: Reference::default(),
            proposed: HashMap::new(),
            done: HashSet::new(),
            durable: PersistentState::default(),
            left: PersistentState::default(),
            wakes_at: Duration::MAX,
            crashed_at: None,
            committing: 0,
            storing: false,
            last_applied: Vec::new(),
            rate: 1_000_000 + random.random_range(0..=2 * drift) - drift,
        }
    }

    /// Who it is.
    pub fn id(&self) -> NodeId {
        self.setup.id
    }

    /// Whether an entry of that term is on its disk, or a snapshot that covers it.
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

    /// What its clock says.
    pub(super) fn clock(&self, now: Duration) -> Duration {
        scale(now, self.rate, 1_000_000)
    }

    /// When its clock will say that, or a little later.
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

    /// Ends the process. How many of the writes that were on their way the disk has kept, or what is
    /// wrong with it.
    pub(super) fn crash(
        &mut self,
        left: Left,
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
            Left::All => moment.after_kill(),
            Left::Nothing => moment.after_power_loss(|| false),
            Left::Anything => moment.after_power_loss(|| random.random()),
        };
        drop(running);
        self.left = open_log(&self.disk.moment().after_kill(), self.id(), &self.setup.voters)?.1;
        let before = std::mem::replace(&mut self.durable, self.left.clone());
        Ok(kept(before.clone(), &pending, &self.left).ok_or_else(|| {
            format!(
                "{}: after a crash the disk holds {:?}; before, it held {before:?}, and on the way \
                 there were {pending:?}",
                self.id(),
                self.left
            )
        }))
    }

    /// The oldest writes become durable, which is reported.
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

    /// Requests that clients wait for and that the replica does not know of (any more), in words.
    pub(super) fn forgotten_requests(&self) -> Option<String> {
        let replica = &self.running.as_ref()?.replica;
        let commands = (self.proposed.len(), replica.shell().unanswered());
        let reads = (self.http.as_ref().map_or(0, |http| http.waiting.reads()), replica.reads());
        let [commands, reads] = [("commands", commands), ("reads", reads)].map(
            |(what, (waiting, known))| {
                (waiting > known).then(|| format!("{waiting} {what} wait, and it knows of {known}"))
            },
        );
        Some(format!("{}: {}", self.id(), commands.or(reads)?))
    }

    /// Whether a client waits for its replica.
    pub fn owes_answers(&self) -> bool {
        !self.proposed.is_empty() || self.http.as_ref().is_some_and(|http| http.waiting.reads() > 0)
    }

    /// Compares the state machine with what these entries make, all of which it should reflect.
    pub(super) fn check_state(&mut self, entries: &[Entry]) -> Result<(), String> {
        self.reference = Reference::of(entries);
        let Some(running) = &self.running else { return Ok(()) };
        for (key, expected) in &self.reference.keys {
            let found = running.reader.get(key).map_err(|error| error.to_string())?;
            let found = found.map(|found| (found.version, found.value));
            if found.as_ref() != Some(expected) {
                let key = String::from_utf8_lossy(key);
                return Err(format!(
                    "{}: the state holds {found:?} for {key}, and not {expected:?}",
                    self.id()
                ));
            }
        }
        Ok(())
    }
}

/// How many of the writes are on the disk.
fn kept(mut state: PersistentState, pending: &[Write], found: &PersistentState) -> Option<usize> {
    for (count, write) in pending.iter().enumerate() {
        if state == *found {
            return Some(count);
        }
        state.write(write);
    }
    (state == *found).then_some(pending.len())
}

fn scale(time: Duration, by: u32, of: u32) -> Duration {
    let nanoseconds = time.as_nanos() * u128::from(by) / u128::from(of);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}
