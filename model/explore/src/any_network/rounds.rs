//! The rounds of a search.
//!
//! In a round, each process expands some of its states, sends the states after them to the processes
//! that own their tuples, and keeps what it receives. After a round no state is on its way. So a round
//! is where the processes see together that nothing is left, where they stop together, and where they
//! write checkpoints.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::checkpoint::{CheckpointError, CheckpointFolder, Position, Round, Start};
use super::definitions::{Defined, Definitions, Translation};
use super::expansion::{Expansion, Parent, Successor, Successors};
use super::peers::{PeerError, Peers};
use crate::control::StopReason;
use crate::system::{Findings, System};

/// The number of states that a process expands in a round, if it has so many. A smaller number follows
/// the order of progress more closely but leaves threads without work.
const BATCH: usize = 1024;

/// A failure that ends a search.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The exchange with other processes failed.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// A checkpoint cannot be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// The states that wait to be expanded, by their place in the order.
#[derive(Default)]
struct Queue {
    states: BTreeMap<u64, Vec<Parent>>,
    len: usize,
}

impl Queue {
    fn extend(&mut self, states: impl IntoIterator<Item = Parent>) {
        for state in states {
            self.states.entry(state.rank).or_default().push(state);
            self.len += 1;
        }
    }

    fn next_batch(&mut self) -> Vec<Parent> {
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Some((_, states)) = self.states.pop_first()
        {
            batch.extend(states);
        }
        self.len -= batch.len();
        batch
    }
}

/// What a process sends to another one in a round.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
struct Block<S: System> {
    status: Status,
    definitions: Definitions<S>,
    states: Vec<Successor>,
}

/// The state of a process at the end of a round, before it has received anything.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Status {
    /// The number of states that wait or are sent to another process.
    open: u64,
    findings: Findings,
    is_over: bool,
    stopped: Option<StopReason>,
    checkpoint_is_due: bool,
}

/// What one process knows of another one's numbers, and the other way round.
#[derive(Default)]
struct Correspondence {
    defined: Defined,
    translation: Translation,
}

/// A search in rounds.
pub(crate) struct Rounds<'a, 's, S: System> {
    expansion: &'a mut Expansion<'s, S>,
    peers: &'a mut Peers,
    correspondences: Vec<Correspondence>,
    checkpoints: Option<CheckpointFolder>,
    queue: Queue,
    round: u64,
    /// A random number that all processes have for this run, and for one that goes on from it.
    run: u64,
    saved: Instant,
}

impl<'a, 's, S: System> Rounds<'a, 's, S> {
    pub(crate) fn new(
        expansion: &'a mut Expansion<'s, S>,
        peers: &'a mut Peers,
        checkpoints: Option<CheckpointFolder>,
    ) -> Rounds<'a, 's, S> {
        let correspondences = (0..peers.count()).map(|_| Correspondence::default()).collect();
        let (queue, saved) = (Queue::default(), Instant::now());
        Rounds { expansion, peers, correspondences, checkpoints, queue, round: 0, run: 0, saved }
    }

    /// Expands states until none is left or the search is over. Returns whether everything was
    /// explored.
    pub(crate) fn run(&mut self) -> Result<bool, SearchError> {
        self.start()?;
        loop {
            self.round += 1;
            let batch = self.queue.next_batch();
            self.expansion.inboxes.free_old_tables();
            let Successors { waiting, elsewhere } = self.expansion.expand(&batch);
            self.queue.extend(waiting);
            let statuses = self.exchange(elsewhere)?;
            let waiting = self.queue.len as u64;
            self.expansion.control.progress.queue.store(waiting, Ordering::Relaxed);
            if let Some(reason) = statuses.iter().find_map(|status| status.stopped) {
                self.expansion.control.stop(reason);
            }
            let mut findings = Findings::default();
            for status in &statuses {
                findings.extend(status.findings);
            }
            if findings.broken & self.expansion.inboxes.local.system.ends_search() != 0 {
                return Ok(false);
            }
            let is_over = statuses.iter().any(|status| status.is_over);
            if !is_over && statuses.iter().all(|status| status.open == 0) {
                return Ok(true);
            }
            let is_due = is_over || statuses.iter().any(|status| status.checkpoint_is_due);
            let is_saved = !is_due || self.save()?;
            if is_over || !is_saved {
                return Ok(false);
            }
        }
    }

    /// Sends states to their processes and keeps what the others send.
    fn exchange(&mut self, elsewhere: Vec<(usize, Successor)>) -> Result<Vec<Status>, SearchError> {
        let due = |folder: &CheckpointFolder| self.saved.elapsed() >= folder.every();
        let findings = self.expansion.lock_observed().findings;
        let status = Status {
            open: (self.queue.len + elsewhere.len()) as u64,
            findings,
            is_over: self.expansion.is_over(),
            stopped: self.expansion.control.stopped(),
            checkpoint_is_due: self.checkpoints.as_ref().is_some_and(due),
        };
        let block = || Block { status, definitions: Definitions::default(), states: Vec::new() };
        let mut blocks: Vec<Block<S>> = (0..self.peers.count()).map(|_| block()).collect();
        let local = &self.expansion.inboxes.local;
        for (owner, state) in elsewhere {
            let (block, known) = (&mut blocks[owner], &mut self.correspondences[owner].defined);
            known.tuple(local, &state.canonical.tuple, &mut block.definitions);
            for messages in &state.canonical.variants {
                known.messages(local, messages, &mut block.definitions);
            }
            block.states.push(state);
        }
        let mut statuses = Vec::new();
        for (from, mut block) in self.peers.exchange(blocks)?.into_iter().enumerate() {
            let translation = &mut self.correspondences[from].translation;
            let local = &self.expansion.inboxes.local;
            let learned = translation.learn(local, &block.definitions);
            learned
                .and_then(|()| {
                    block
                        .states
                        .iter_mut()
                        .try_for_each(|state| translate(translation, state, local.server_count()))
                })
                .ok_or_else(|| self.peers.is_wrong(from))?;
            self.queue.extend(self.expansion.keep_all(&block.states));
            statuses.push(block.status);
        }
        Ok(statuses)
    }

    /// Writes a checkpoint, with all other processes. Returns whether all had space for it.
    fn save(&mut self) -> Result<bool, SearchError> {
        let Some(folder) = &self.checkpoints else {
            return Ok(true);
        };
        let round = Round { number: self.round, run: self.run };
        let observed = self.expansion.lock_observed().clone();
        let position = Position {
            observed,
            expanded: self.expansion.expanded.load(Ordering::Relaxed),
            waiting: self.queue.states.values().flatten().copied().collect(),
        };
        let Expansion { inboxes, antichains, .. } = &*self.expansion;
        let written = folder.write(round, &inboxes.local, antichains, position);
        let all_have_written =
            self.peers.share(written.is_ok())?.into_iter().all(|written| written);
        match written {
            Ok(()) if all_have_written => folder.keep_only(round)?,
            Ok(()) => folder.remove(self.round)?,
            Err(CheckpointError::NoSpace { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if !all_have_written {
            self.expansion.control.stop(StopReason::DiskLimit);
        }
        self.saved = Instant::now();
        Ok(all_have_written)
    }

    /// Starts at the beginning, or at the newest round that all processes have.
    fn start(&mut self) -> Result<(), SearchError> {
        let Some(folder) = &self.checkpoints else {
            self.queue.extend(self.expansion.begin());
            return Ok(());
        };
        let rounds = self.peers.share((folder.start(), folder.rounds()?))?;
        if let Some(round) = Start::round(&rounds)? {
            let Expansion { inboxes, antichains, .. } = &*self.expansion;
            // The check of removed messages looks at those of the initial state as well.
            inboxes.initial(&mut Findings::default());
            let position = folder.read(round, &inboxes.local, antichains)?;
            // Nobody removes anything before all have read.
            self.peers.share(())?;
            folder.keep_only(round)?;
            (self.round, self.run) = (round.number, round.run);
            self.go_on(position);
        } else {
            // Older checkpoints stay until there is a newer one of all.
            let numbers = rounds.iter().flat_map(|(_, rounds)| rounds).map(|round| round.number);
            self.round = numbers.max().unwrap_or(0);
            let random = RandomState::new().build_hasher().finish();
            self.run = self.peers.share(random)?[0];
            self.queue.extend(self.expansion.begin());
        }
        Ok(())
    }

    fn go_on(&mut self, position: Position) {
        let Position { observed, expanded, waiting } = position;
        *self.expansion.lock_observed() = observed;
        self.expansion.expanded.store(expanded, Ordering::Relaxed);
        let kept = self.expansion.antichains.count_roughly().states;
        self.expansion.control.progress.add(kept, 0);
        self.queue.extend(waiting);
    }
}

/// Puts this process' own numbers into a state of another one. Returns `None` if a number has no
/// content.
fn translate(translation: &Translation, state: &mut Successor, count: usize) -> Option<()> {
    let canonical = &mut state.canonical;
    canonical.tuple = translation.tuple(&canonical.tuple, count)?;
    for messages in &mut canonical.variants {
        *messages = translation.messages(messages, count)?;
    }
    (!canonical.variants.is_empty() && canonical.alike > 0).then_some(())
}
