//! One server of the model and one of production, side by side: the same things happen to both, and
//! then they must be in the same state and have sent the same messages.

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

/// What the steps since the last look were given and asked for.
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

/// The paper's rules, with a note of what is refused.
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

/// Timers never run out by themselves here.
pub(crate) const TIMING: Timing = Timing {
    election_min: Duration::from_secs(100_000),
    election_max: Duration::from_secs(100_001),
    // Not before many elections, or it would run out at the moment of victory.
    heartbeat: Duration::from_secs(10_000_000_000),
};

/// No snapshot is taken unasked, and none waits for followers.
pub(crate) const BOUNDS: Bounds = Bounds {
    snapshot_log_bytes: u64::MAX,
    compaction_patience: 0,
    snapshot_rate: u64::MAX,
    log_bytes: u64::MAX,
    unanswered: usize::MAX,
    request_timeout: Duration::MAX,
    apply_backlog: u64::MAX,
};

/// A command, and the term in which its client asked for it. Another leader may have been asked for the
/// same in another term.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Proposed {
    term: Term,
    command: Bytes,
}

/// What clients of the production server wait for.
#[derive(Clone, Debug, Default)]
struct Waiting {
    proposals: BTreeMap<ProposalId, Proposed>,
    reads: BTreeMap<ReaderId, ReadId>,
}

/// A server of the model beside one of production.
pub struct Lockstep<'w> {
    settings: &'w Settings,
    refinement: &'w Refinement,
    /// How the production server is set up.
    pub setup: Setup,
    /// The model's server.
    pub model: Server,
    /// The production server's disk.
    pub disk: Disk,
    running: Option<Running>,
    watcher: Arc<Mutex<Watcher>>,
    now: Duration,
    /// The names that production and the model give to reads.
    reads: BTreeMap<ReadId, ReadId>,
    /// The indexes at which crashes will leave the state machine, and its files when it was there.
    wanted: BTreeMap<u64, Option<Moment>>,
    /// What was sent in the last step: by the model, mapped to production; and by production.
    sent: [Vec<(NodeId, Message)>; 2],
    /// What the model refused in the last step.
    refused: Vec<Rejection>,
    /// What the state machine says of itself in the last step, where that is wrong.
    complaint: Option<Divergence>,
    /// What clients wait for.
    clients: Waiting,
    /// The reads that were served in the last step: by the model, and by production.
    served: [BTreeSet<ReadId>; 2],
    /// The entries that the state machine applied in the last step, with its answers.
    applied: Vec<(Entry, Bytes)>,
    timer_set: Option<Divergence>,
    /// What was drawn for the election timeout last, as far as it can be told from the timer.
    drawn: Option<u128>,
    /// What was on the disk durably when that was last read, and the files in which it was.
    durable: RefCell<Option<(DirectoryContents, PersistentState)>>,
}

impl<'w> Lockstep<'w> {
    /// Both start for the first time. `plan` is what is going to happen to them, as far as that is
    /// known: at which indexes crashes will find the state machine on the disk.
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

    /// Both at the same moment once more, to try something, with the reference in the place of
    /// production's state machine. None where that will not do.
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

    /// The running production server.
    fn running(&mut self) -> Result<&mut Running, Failure> {
        self.running.as_mut().ok_or_else(|| "the server is down".into())
    }

    /// Lets something happen to both.
    ///
    /// # Errors
    ///
    /// Production stops, or the action is impossible for one of them.
    pub fn act(&mut self, action: &Action) -> Result<(), Divergence> {
        self.act_together(&[action])
    }

    /// Lets several things happen to both, to production as one batch: what they ask for is taken when
    /// all have happened.
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

    /// When the election timer runs out, if there is one.
    fn timer(&self) -> Option<Duration> {
        let replica = &self.running.as_ref()?.replica;
        (!replica.leads()).then(|| replica.timer())
    }

    /// The timer starts anew when the step says so, and only then.
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
            // Time passes here in steps of the delay, so the rest is what was drawn.
            let drawn = after.saturating_sub(self.now).as_nanos() % APPLY_DELAY.as_nanos();
            if self.drawn.replace(drawn) == Some(drawn) {
                let (model, node) = ("is drawn anew", "is the one before");
                self.timer_set = Some(Divergence::of("the election timeout", model, node));
            }
        }
    }

    /// Lets something happen to production.
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

    /// The state machine does its next task, or so many entries of it, and is compared with the
    /// reference.
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

    /// Saves the state machine's files, if a crash will leave it where it is now.
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

    /// The power goes. The state machine is found where it was when it was saved there last, or
    /// nowhere.
    fn crash(&mut self, applied: u64) {
        let moment = self.disk.moment();
        self.running = None;
        self.reads.clear();
        self.clients = Waiting::default();
        self.disk = moment.after_power_loss(|| false);
        let saved = self.wanted.get(&applied).cloned().flatten();
        self.disk.put_back(DIRECTORY, &saved.unwrap_or_else(|| Disk::default().moment()));
    }

    /// Takes what production asks for, and has done at once what takes no time in these settings.
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

/// The field of a difference that is none: the model cannot do what should be tried.
const IMPOSSIBLE: &str = "whether it is possible";

fn impossible(reason: &dyn ToString) -> Divergence {
    let (model, node) = (reason.to_string(), "is not asked".to_owned());
    Divergence { field: IMPOSSIBLE.to_owned(), model, node }
}

/// Whether an action is not a timer that nobody waits for: only leaders send heartbeats, and only the
/// others call elections. To the model such a timer means nothing, and production has one timer.
pub(crate) fn timer_runs(server: &Server, action: &Action) -> bool {
    let leads = server.process.as_ref().map(|process| process.node.is_leader());
    match action {
        Action::Heartbeat { .. } => leads != Some(false),
        Action::ElectionTimeout { .. } => leads != Some(true),
        _ => true,
    }
}

impl Divergence {
    /// Whether it is none: the model cannot do what should have been tried.
    pub fn is_impossible(&self) -> bool {
        self.field == IMPOSSIBLE
    }
}

/// The same settings, but that nothing is done at once.
pub(crate) fn one_by_one(settings: &Settings) -> Settings {
    Settings { disk: DiskMode::Queued, apply: ApplyMode::Separate, ..settings.clone() }
}

/// What is to be done next of what takes no time in these settings.
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

/// A message as production sends it here, where a frame has room for one entry.
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

/// What something that was sent says, decoded.
fn messages(sent: Sent) -> Result<Vec<(NodeId, Message)>, Failure> {
    match sent {
        Sent::Snapshot(to, offer) => Ok(vec![(to, Message::InstallSnapshot(offer))]),
        Sent::Frames(to, bytes) => {
            let peer_messages = frames(&bytes)?.into_iter().map(PeerMessage::of);
            let messages = peer_messages.filter_map(|message| match message {
                Some(PeerMessage::Message(message)) => Some(Ok((to, message))),
                // It accompanies a snapshot, and resets a timer.
                Some(PeerMessage::LeaderAlive(_)) => None,
                None => Some(Err("a frame that no connection accepts".into())),
            });
            messages.collect()
        }
    }
}
