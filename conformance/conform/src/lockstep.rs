//! Runs one server of the model and one production server side by side. Both perform the same
//! actions. Then they must be in the same state and must have sent the same messages.

mod accepted_inputs;
mod clients;
mod compare;
mod divergence;
mod parsed_debug;
mod value_difference;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use raft_checker::cluster::history::Fact;
use raft_checker::cluster::server::Server;
use raft_checker::protocol::{Memory, Protocol};
use raft_core::{
    AppendEntries, Bytes, Config, Effect, Entry, HaltReason, Index, Input, LogPosition, Message,
    Node, NodeId, Paper, PersistentState, ReadId, Rejection, Term, step,
};
use raft_node::orders::ReaderId;
use raft_node::peer_message::PeerMessage;
use raft_node::replica::{APPLY_DELAY, HOUSEKEEPING, Observer};
use raft_node::shell::{Observe, ProposalId};
use raft_node::timers::Timing;
use raft_node::wire::BATCH_BYTES;
use raft_node::{Bounds, StateMachine as _};
use raft_trace::{Action, ApplyMode, DiskMode, Envelope, Settings};

use crate::refinement_mapping::Refinement;
pub use divergence::Divergence;
use raft_simulation::disk::{DirectoryContents, Disk, Moment};
use raft_simulation::failure::Failure;
use raft_simulation::lazily_opened_store::DIRECTORY;
use raft_simulation::reference_store::Reference;
use raft_simulation::server::{Applied, Running, SMALL_FILES, Sent, Setup, frames};
pub use value_difference::Difference;

/// Inputs and effects of the production server's steps during the current actions.
#[derive(Default)]
struct Watcher {
    reset: bool,
    read: Option<ReadId>,
    rejections: Vec<Rejection>,
    timer: Option<Input>,
}

impl Observe for Watcher {
    fn step(&mut self, input: &Input, effects: &[Effect], _: &Node) {
        for effect in effects {
            self.reset |= *effect == Effect::ResetElectionTimer;
            if let Effect::Rejected(reason) = effect {
                self.rejections.push(*reason);
            }
        }
        match input {
            Input::Read { id } => self.read = Some(*id),
            Input::ElectionTimeout | Input::Heartbeat => self.timer = Some(input.clone()),
            _ => {}
        }
    }
}

/// The paper's rules, with a record of all rejections.
#[derive(Default)]
struct Refusing(RefCell<Vec<Rejection>>);

impl Protocol for Refusing {
    fn step(&self, node: &mut Node, _: &mut Memory, input: Input, effects: &mut Vec<Effect>) {
        step(&Paper, node, input, effects);
        let refused = effects.iter().filter_map(|effect| match effect {
            Effect::Rejected(reason) => Some(*reason),
            _ => None,
        });
        self.0.borrow_mut().extend(refused);
    }

    fn restart(
        &self,
        config: Config,
        disk: PersistentState,
        applied: Index,
    ) -> Result<Node, HaltReason> {
        Node::restart(&Paper, config, disk, applied)
    }
}

/// Timeouts so long that no timer runs out by itself.
pub(crate) const TIMING: Timing = Timing {
    election_min: Duration::from_secs(100_000),
    election_max: Duration::from_secs(100_001),
    // Longer than many election timeouts. Otherwise it would run out when an election is won.
    heartbeat: Duration::from_secs(10_000_000_000),
};

/// Bounds under which a server takes a snapshot only when it is told to, and compacts its log
/// without waiting for followers.
pub(crate) const BOUNDS: Bounds = Bounds {
    snapshot_log_bytes: u64::MAX,
    compaction_patience: 0,
    snapshot_rate: u64::MAX,
    log_bytes: u64::MAX,
    unanswered: usize::MAX,
    request_timeout: Duration::MAX,
    apply_backlog: u64::MAX,
};

/// A command, and the term in which its client proposed it. The same command may have been proposed
/// to another leader in another term.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Proposed {
    term: Term,
    command: Bytes,
}

/// The open requests of the production server's clients.
#[derive(Clone, Debug, Default)]
struct Waiting {
    proposals: BTreeMap<ProposalId, Proposed>,
    reads: BTreeMap<ReaderId, ReadId>,
}

/// A server of the model and a production server that perform the same actions.
pub struct Lockstep<'w> {
    settings: &'w Settings,
    refinement: &'w Refinement,
    /// The setup of the production server.
    pub setup: Setup,
    /// The model's server.
    pub model: Server,
    /// The production server's disk.
    pub disk: Disk,
    running: Option<Running>,
    watcher: Arc<Mutex<Watcher>>,
    now: Duration,
    /// The model's id of each read, by production's id.
    reads: BTreeMap<ReadId, ReadId>,
    /// The applied indexes at which crashes will leave the state machine, each with the disk at the
    /// time when the state machine was there.
    wanted: BTreeMap<u64, Option<Moment>>,
    /// The messages sent in the last step: by the model, mapped to production; and by production.
    sent: [Vec<(NodeId, Message)>; 2],
    /// The rejections of the model in the last step.
    refused: Vec<Rejection>,
    /// The latest wrong answer, either of the state machine or to a client.
    complaint: Option<Divergence>,
    clients: Waiting,
    /// The reads that were served in the last step: by the model, and by production.
    served: [BTreeSet<ReadId>; 2],
    /// The entries that the state machine applied in the last step, with its answers.
    applied: Vec<(Entry, Bytes)>,
    timer_set: Option<Divergence>,
    /// The random part of the last election timeout, as far as it can be computed from the timer.
    drawn: Option<u128>,
    /// The durable state when it was last read, with the files that contained it.
    durable: RefCell<Option<(DirectoryContents, PersistentState)>>,
}

impl<'w> Lockstep<'w> {
    /// Starts both servers for the first time. `plan` is the list of the next actions, as far as
    /// they are known. It tells at which applied indexes crashes will leave the state machine.
    ///
    /// # Errors
    ///
    /// Production does not start.
    pub fn boot(
        settings: &'w Settings,
        refinement: &'w Refinement,
        id: NodeId,
        plan: &[&Action],
    ) -> Result<Lockstep<'w>, Divergence> {
        let voters: BTreeSet<NodeId> = (1..=settings.servers).map(NodeId).collect();
        let limits = settings.limits;
        let wanted = plan.iter().filter_map(|action| match action {
            Action::Crash { applied_kept, .. } => Some((applied_kept.0, None)),
            _ => None,
        });
        let setup = Setup {
            id,
            voters,
            limits,
            timing: TIMING,
            bounds: BOUNDS,
            batch: 1,
            log_sizes: SMALL_FILES,
        };
        let started = refinement.started(&setup);
        let disk = started.map_err(|failure| Divergence::failure("the first start", &failure))?;
        let mut lockstep = Lockstep {
            settings,
            refinement,
            setup,
            model: Server::boot(settings, &Paper, id),
            disk,
            running: None,
            watcher: Arc::default(),
            now: Duration::ZERO,
            reads: BTreeMap::new(),
            wanted: wanted.collect(),
            sent: Default::default(),
            refused: Vec::new(),
            complaint: None,
            clients: Waiting::default(),
            served: Default::default(),
            applied: Vec::new(),
            timer_set: None,
            drawn: None,
            durable: RefCell::default(),
        };
        lockstep.start().map_err(|failure| Divergence::failure("the start", &failure))?;
        Ok(lockstep)
    }

    /// Returns a copy of both servers for an experiment. In the copy, the reference replaces
    /// production's state machine. Returns `None` while a snapshot is being stored or restored.
    ///
    /// # Errors
    ///
    /// Production's disk cannot be read.
    pub fn fork(&self) -> Result<Option<Lockstep<'w>>, Failure> {
        let watcher: Arc<Mutex<Watcher>> = Arc::default();
        let observer = watcher.clone() as Observer;
        let (running, disk) = match &self.running {
            None => (None, self.disk.moment().after_kill()),
            Some(running) => {
                let reference = Reference::of(&self.refinement.entries(&self.model.state_machine));
                match running.fork(&self.setup, &self.disk, reference, Some(observer))? {
                    None => return Ok(None),
                    Some((running, disk)) => (Some(running), disk),
                }
            }
        };
        Ok(Some(Lockstep {
            settings: self.settings,
            refinement: self.refinement,
            setup: self.setup.clone(),
            model: self.model.clone(),
            disk,
            running,
            watcher,
            now: self.now,
            reads: self.reads.clone(),
            wanted: self.wanted.clone(),
            sent: Default::default(),
            refused: Vec::new(),
            complaint: None,
            clients: self.clients.clone(),
            served: Default::default(),
            applied: Vec::new(),
            timer_set: None,
            drawn: self.drawn,
            durable: self.durable.clone(),
        }))
    }

    fn start(&mut self) -> Result<(), Failure> {
        let observer = self.watcher.clone() as Observer;
        let running = Running::start(&self.setup, &self.disk, self.now, 1, Some(observer))?;
        self.running = Some(running);
        self.drawn = None;
        self.save_state_machine()
    }

    /// Returns the running production server.
    fn running(&mut self) -> Result<&mut Running, Failure> {
        self.running.as_mut().ok_or_else(|| "the server is down".into())
    }

    /// Performs an action on both servers.
    ///
    /// # Errors
    ///
    /// Production stops, or the action is impossible for one of them.
    pub fn act(&mut self, action: &Action) -> Result<(), Divergence> {
        self.act_together(&[action])
    }

    /// Performs several actions on both servers. Production gets them as one batch: its orders are
    /// taken after the last action.
    ///
    /// # Errors
    ///
    /// As for [`act`](Lockstep::act).
    pub fn act_together(&mut self, actions: &[&Action]) -> Result<(), Divergence> {
        self.sent = Default::default();
        self.served = Default::default();
        self.applied.clear();
        self.refused.clear();
        if let [action] = actions {
            self.perform_on_model(self.settings, action)?;
        } else {
            let slow = one_by_one(self.settings);
            for action in actions {
                self.perform_on_model(&slow, action)?;
            }
            while let Some(action) = takes_no_time(self.settings, &self.model) {
                self.perform_on_model(&slow, &action)?;
            }
        }
        let timer = self.timer();
        *self.watcher.lock().unwrap_or_else(PoisonError::into_inner) = Watcher::default();
        for action in actions {
            let done = self.perform(action);
            done.map_err(|failure| Divergence::failure("whether it goes on", &failure))?;
        }
        self.settle().map_err(|failure| Divergence::failure("whether it goes on", &failure))?;
        self.check_timer(timer, actions);
        Ok(())
    }

    fn perform_on_model(&mut self, settings: &Settings, action: &Action) -> Result<(), Divergence> {
        if !timer_runs(&self.model, action) {
            return Err(impossible(&"this timer does not run"));
        }
        let protocol = Refusing::default();
        let reaction =
            self.model.run(settings, &protocol, action).map_err(|reason| impossible(&reason))?;
        self.refused.extend(protocol.0.into_inner());
        let sent = reaction.sent.iter();
        let sent = sent.flat_map(|sent| {
            let messages = entry_by_entry(self.refinement.message(&sent.message));
            messages.into_iter().map(|message| (sent.to, message))
        });
        self.sent[0].extend(sent);
        let served = reaction.facts.iter().filter_map(|fact| match fact {
            Fact::ReadServed(id, _) => Some(*id),
            _ => None,
        });
        self.served[0].extend(served);
        Ok(())
    }

    /// Returns the time at which the election timer runs out, unless the server leads or is down.
    fn timer(&self) -> Option<Duration> {
        let replica = &self.running.as_ref()?.replica;
        (!replica.leads()).then(|| replica.timer())
    }

    /// Checks that the election timer was reset if and only if a step asked for it, and that the
    /// new timeout was drawn at random.
    fn check_timer(&mut self, before: Option<Duration>, actions: &[&Action]) {
        let watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(before), Some(after)) = (before, self.timer()) else { return };
        let fires = actions.iter().any(|action| matches!(action, Action::ElectionTimeout { .. }));
        let anew = after >= self.now.saturating_sub(HOUSEKEEPING * 2) + TIMING.election_min;
        let right = if watcher.reset { anew } else { fires || after == before };
        let say = |anew| if anew { "starts anew" } else { "goes on" };
        self.timer_set = (!right)
            .then(|| Divergence::of("the election timer", say(watcher.reset), say(!watcher.reset)));
        if watcher.reset || fires {
            // Since the reset, time has passed in multiples of `APPLY_DELAY`. So the remainder
            // comes from the random timeout.
            let drawn = after.saturating_sub(self.now).as_nanos() % APPLY_DELAY.as_nanos();
            if self.drawn.replace(drawn) == Some(drawn) {
                let (model, node) = ("is drawn anew", "is the one before");
                self.timer_set = Some(Divergence::of("the election timeout", model, node));
            }
        }
    }

    /// Performs an action on the production server.
    fn perform(&mut self, action: &Action) -> Result<(), Failure> {
        let now = self.now;
        match action {
            Action::ElectionTimeout { .. } | Action::Heartbeat { .. } => {
                let running = self.running()?;
                let due = running.replica.timer();
                running.replica.advance(due, false);
                self.now = due;
            }
            Action::Propose { command, .. } => {
                let command = self.refinement.command(command);
                let running = self.running()?;
                let id = running.replica.propose(now, command.clone())?;
                running.replica.advance(now, false);
                let term = running.replica.shell().node().current_term;
                self.clients.proposals.insert(id, Proposed { term, command });
            }
            Action::Read { id, .. } => {
                let running = self.running()?;
                let reader = running.replica.read(now);
                running.replica.advance(now, false);
                self.clients.reads.insert(reader, *id);
                let named = self.watcher.lock().unwrap_or_else(PoisonError::into_inner).read.take();
                self.reads.extend(named.map(|named| (named, *id)));
            }
            Action::Deliver(envelope) => self.deliver(envelope)?,
            Action::Drop(_) | Action::Duplicate(_) => {}
            Action::Sync { writes, .. } => self.running()?.commit(now, *writes)?,
            Action::Apply { .. } => self.apply(1)?,
            Action::StartSnapshot { .. } => self.running()?.replica.take_snapshot(),
            Action::FinishSnapshot { .. } => self.finish_snapshot()?,
            Action::Crash { writes_kept, applied_kept, .. } => {
                self.running()?.write(*writes_kept)?;
                self.crash(applied_kept.0);
            }
            Action::Restart { .. } => self.start()?,
        }
        self.now += APPLY_DELAY;
        Ok(())
    }

    fn deliver(&mut self, envelope: &Envelope) -> Result<(), Failure> {
        let Envelope { from, message, .. } = envelope;
        let (now, file) = match message {
            Message::InstallSnapshot(offer) => {
                (self.now, Some(self.refinement.file(&offer.snapshot)))
            }
            _ => (self.now, None),
        };
        let message = self.refinement.message(message);
        let running = self.running()?;
        match (message, file) {
            (Message::InstallSnapshot(offer), Some(file)) => {
                running.receive_snapshot(now, *from, offer, &file.store)
            }
            (message, _) => {
                let mut bytes = Vec::new();
                for frame in PeerMessage::Message(message).frames(BATCH_BYTES) {
                    raft_node::wire::encode(&frame, &mut bytes);
                }
                running.hear(now, *from, &bytes)
            }
        }
    }

    /// Performs the next task of the state machine, but at most `most` entries of it, and compares
    /// the answers with those of the reference.
    fn apply(&mut self, most: usize) -> Result<(), Failure> {
        let now = self.now;
        let running = self.running()?;
        let before = running.reader.applied();
        let applied = running.apply(now, most)?.ok_or("the state machine has nothing to do")?;
        if let Applied::Entries { first, entries, answers } = applied {
            let known = self.refinement.entries(&self.model.state_machine);
            let earlier = usize::try_from(before.0).unwrap_or(usize::MAX).min(known.len());
            let mut reference = Reference::of(&known[..earlier]);
            let expected: Vec<_> = entries.iter().map(|entry| reference.apply(entry)).collect();
            self.applied.extend(entries.into_iter().zip(answers.iter().cloned()));
            if first != before.next() || answers != expected {
                self.complaint = Some(Divergence::of("the answers", expected, answers));
            }
        }
        self.save_state_machine()
    }

    /// Saves the state machine's files if a crash will leave it at the current applied index.
    fn save_state_machine(&mut self) -> Result<(), Failure> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let applied = running.reader.applied().0;
        if let Some(None) = self.wanted.get(&applied) {
            running.sync_machine()?;
            self.wanted.insert(applied, Some(self.disk.moment()));
        }
        Ok(())
    }

    fn finish_snapshot(&mut self) -> Result<(), Failure> {
        self.now += HOUSEKEEPING;
        let now = self.now;
        let running = self.running()?;
        running.store_snapshot()?;
        running.replica.advance(now, false);
        Ok(())
    }

    /// Simulates a power loss. The state machine's files are replaced by those saved at this
    /// applied index, or by none.
    fn crash(&mut self, applied: u64) {
        let moment = self.disk.moment();
        self.running = None;
        self.reads.clear();
        self.clients = Waiting::default();
        self.disk = moment.after_power_loss(|| false);
        let saved = self.wanted.get(&applied).cloned().flatten();
        self.disk.put_back(DIRECTORY, &saved.unwrap_or_else(|| Disk::default().moment()));
    }

    /// Takes production's orders, and performs at once those that take no time in these settings.
    fn settle(&mut self) -> Result<(), Failure> {
        let settings = self.settings;
        loop {
            let now = self.now;
            let Some(running) = &mut self.running else { return Ok(()) };
            running.take_orders(now)?;
            for sent in std::mem::take(&mut running.sent) {
                self.sent[1].extend(messages(sent)?);
            }
            let told = std::mem::take(&mut running.told);
            self.hear_as_client(told);
            let Some(running) = &mut self.running else { return Ok(()) };
            if settings.disk == DiskMode::Atomic && !running.writes.is_empty() {
                let all = running.writes.len();
                running.commit(now, all)?;
            } else if settings.apply == ApplyMode::AtOnce && running.storing.is_some() {
                self.finish_snapshot()?;
            } else if settings.apply == ApplyMode::AtOnce && !running.tasks.is_empty() {
                self.apply(usize::MAX)?;
            } else {
                return Ok(());
            }
            self.now += APPLY_DELAY;
        }
    }
}

/// The field of a [`Divergence`] that is not a difference: the model cannot perform the action.
const IMPOSSIBLE: &str = "whether it is possible";

fn impossible(reason: &dyn ToString) -> Divergence {
    let (model, node) = (reason.to_string(), "is not asked".to_owned());
    Divergence { field: IMPOSSIBLE.to_owned(), model, node }
}

/// Returns false if an action is the timer of another role: only leaders send heartbeats, and only
/// the other servers start elections. The model ignores such a timer, and production has only one
/// timer.
pub(crate) fn timer_runs(server: &Server, action: &Action) -> bool {
    let leads = server.process.as_ref().map(|process| process.node.is_leader());
    match action {
        Action::Heartbeat { .. } => leads != Some(false),
        Action::ElectionTimeout { .. } => leads != Some(true),
        _ => true,
    }
}

impl Divergence {
    /// Returns whether this is not a difference, because the model could not perform the action.
    pub fn is_impossible(&self) -> bool {
        self.field == IMPOSSIBLE
    }
}

/// Returns the same settings, but with separate actions for disk writes and for the state machine.
pub(crate) fn one_by_one(settings: &Settings) -> Settings {
    Settings { disk: DiskMode::Queued, apply: ApplyMode::Separate, ..settings.clone() }
}

/// Returns the next action that takes no time in these settings, if there is one.
pub(crate) fn takes_no_time(settings: &Settings, server: &Server) -> Option<Action> {
    let (id, process) = (server.id, server.process.as_ref()?);
    if settings.disk == DiskMode::Atomic && !process.writes.is_empty() {
        Some(Action::Sync { server: id, writes: process.writes.len() })
    } else if settings.apply == ApplyMode::AtOnce && process.storing.is_some() {
        Some(Action::FinishSnapshot { server: id })
    } else if settings.apply == ApplyMode::AtOnce && !process.apply_queue.is_empty() {
        Some(Action::Apply { server: id })
    } else {
        None
    }
}

/// Splits a message as production does it here, where a frame has room for one entry.
fn entry_by_entry(message: Message) -> Vec<Message> {
    let Message::AppendEntries(request) = message else { return vec![message] };
    if request.entries.len() < 2 {
        return vec![Message::AppendEntries(request)];
    }
    let mut prev_log = request.prev_log;
    let each = request.entries.iter().map(|entry| {
        let part = AppendEntries { prev_log, entries: vec![entry.clone()], ..request.clone() };
        prev_log = LogPosition { term: entry.term, index: prev_log.index.next() };
        Message::AppendEntries(part)
    });
    each.collect()
}

/// Decodes the messages in something that was sent.
fn messages(sent: Sent) -> Result<Vec<(NodeId, Message)>, Failure> {
    match sent {
        Sent::Snapshot(to, offer) => Ok(vec![(to, Message::InstallSnapshot(offer))]),
        Sent::Frames(to, bytes) => {
            let peer_messages = frames(&bytes)?.into_iter().map(PeerMessage::of);
            let messages = peer_messages.filter_map(|message| match message {
                Some(PeerMessage::Message(message)) => Some(Ok((to, message))),
                // It is sent during a snapshot transfer, and only resets a timer.
                Some(PeerMessage::LeaderAlive(_)) => None,
                None => Some(Err("a frame that no connection accepts".into())),
            });
            messages.collect()
        }
    }
}
