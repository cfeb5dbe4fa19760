//! Everything that a running server decides, without the threads, sockets and clocks that it decides
//! about.
//!
//! A [`Replica`] is a [`Shell`] with timers, clients, and the rules for when to write, apply, take a
//! snapshot and compact. It is told what happened and what time it is, and gives [`Order`]s. Whoever
//! runs it does them, at once or beside everything else, and reports. In production that is one task
//! with a few threads ([`RunningNode`](crate::RunningNode)); a test can run the same replica on a
//! simulated disk, network and clock, one order at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use raft_core::{
    Bytes, HaltReason, Index, Input, Mark, Message, Node, NodeId, ReadId, ReadRefusal, Role, TermAt,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tracing::{info, warn};

use crate::applier::{self, Done};
use crate::handle::{NodeStatus, PeerStatus, ProposeError, ReadError};
use crate::log_store::Durable;
use crate::metrics::{NodeMetrics, log_bytes, rejected_message};
use crate::options::Bounds;
use crate::orders::{Free, Order, ReaderId};
use crate::peer_message::PeerMessage;
use crate::shell::{Answer, Observe, ProposalId, Shell};
use crate::snapshot_store::SnapshotName;
use crate::state_machine::SnapshotView;
use crate::timers::{Timers, Timing};

/// How many groups of reads ask for a proof of leadership at a time. Later reads wait and share one.
const READ_GROUPS: usize = 4;

/// How long a follower's state machine waits for more entries.
pub const APPLY_DELAY: Duration = Duration::from_millis(10);

/// How often sizes are measured and numbers published.
pub const HOUSEKEEPING: Duration = Duration::from_millis(100);

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Proposal(ProposalId),
    Read(ReaderId),
}

/// Where the making of a snapshot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Snapshotting {
    Idle,
    /// The state machine was asked for a view, or the view is being written.
    Taking,
    /// It is stored. The log is compacted when the followers do not need the entries any more, or
    /// have to be given up on.
    Stored(SnapshotName),
}

/// Somebody who looks at every step, from outside.
pub type Observer = Arc<Mutex<dyn Observe + Send>>;

/// A server, without its threads.
#[derive(Clone)]
pub struct Replica {
    shell: Shell,
    timers: Timers,
    random: SmallRng,
    bounds: Bounds,
    observer: Option<Observer>,
    next_id: u64,
    /// What clients wait for, by the number in its id, and until when. Numbers and times ascend
    /// together.
    open: BTreeMap<u64, (Duration, Request)>,
    /// Commands that clients asked for since the last step.
    commands: Vec<(ProposalId, Bytes)>,
    waiting_reads: BTreeSet<ReaderId>,
    readers: BTreeMap<ReadId, BTreeSet<ReaderId>>,
    /// When each other server was last heard.
    heard: BTreeMap<NodeId, Duration>,
    /// When the state machine was last given something to do.
    applied_at: Duration,
    snapshotting: Snapshotting,
    wants_view: bool,
    wants_sync: bool,
    /// The snapshot at the base of the log, and the write that makes it so, until that is durable.
    new_base: Option<(Mark, SnapshotName)>,
    /// The snapshot before which none is needed, until they were ordered away.
    durable_base: Option<SnapshotName>,
    base: Index,
    log_bytes: u64,
    kept_house: Duration,
    metrics: NodeMetrics,
}

impl Replica {
    /// A replica around a node that was started from its disk. Time is whatever the caller says, as
    /// long as it never goes back. `seed` is a fresh random number, for the election timeouts.
    pub fn new(
        node: Node,
        timing: Timing,
        bounds: Bounds,
        now: Duration,
        seed: u64,
        observer: Option<Observer>,
    ) -> Replica {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut metrics = NodeMetrics::new(&node);
        if let Ok(name) = SnapshotName::of(node.log.snapshot()) {
            metrics.snapshot_bytes = name.length;
        }
        Replica {
            timers: Timers::new(timing, now, random.random()),
            random,
            bounds,
            observer,
            next_id: 0,
            open: BTreeMap::new(),
            commands: Vec::new(),
            waiting_reads: BTreeSet::new(),
            readers: BTreeMap::new(),
            heard: BTreeMap::new(),
            applied_at: now,
            snapshotting: Snapshotting::Idle,
            wants_view: false,
            wants_sync: false,
            new_base: None,
            durable_base: None,
            base: node.log.base().index,
            log_bytes: log_bytes(node.log.entries()),
            kept_house: now,
            metrics,
            shell: Shell::new(node),
        }
    }

    /// The same replica at the same moment, watched by somebody else.
    pub fn fork(&self, observer: Option<Observer>) -> Replica {
        Replica { observer, ..self.clone() }
    }

    /// The node and its queues, for looking at.
    pub fn shell(&self) -> &Shell {
        &self.shell
    }

    /// Whether it leads.
    pub fn leads(&self) -> bool {
        self.shell.node().is_leader()
    }

    /// Why the node has stopped, if it has.
    pub fn halted(&self) -> Option<HaltReason> {
        self.shell.halted()
    }

    /// When there is something to do even if nothing happens.
    pub fn deadline(&self, free: Free) -> Duration {
        let timer = self.timers.next(self.leads());
        let house = self.kept_house + HOUSEKEEPING;
        let apply = if self.shell.has_task() && free.machine {
            self.applied_at + APPLY_DELAY
        } else {
            house
        };
        let answer = self.open.first_key_value().map_or(house, |(_, (until, _))| *until);
        timer.min(house).min(apply).min(answer)
    }

    /// When its timer runs out: for an election, or if it leads, for a heartbeat.
    pub fn timer(&self) -> Duration {
        self.timers.next(self.leads())
    }

    /// Whether the next call of [`advance`](Replica::advance) will begin an election.
    pub fn election_is_due(&self, now: Duration) -> bool {
        !self.leads() && self.timers.next(false) <= now
    }

    /// The server did not listen for this long: what it would have heard counts as in time.
    pub fn stood_still(&mut self, time: Duration) {
        self.timers.stood_still(time);
    }

    fn input(&mut self, now: Duration, input: Input) {
        match &self.observer {
            None => self.shell.input(input, None),
            Some(observer) => {
                let mut observer = observer.lock().unwrap_or_else(PoisonError::into_inner);
                self.shell.input(input, Some(&mut *observer));
            }
        }
        self.after_step(now);
    }

    /// The timer is set right away, so that whatever comes next in a batch finds it as it is.
    fn after_step(&mut self, now: Duration) {
        if self.shell.take_timer_reset() {
            self.reset_election(now);
        }
        self.metrics.observe_leader(self.shell.node());
        let log = &self.shell.node().log;
        if log.base().index > self.base {
            self.base = log.base().index;
            match SnapshotName::of(log.snapshot()) {
                Ok(name) => {
                    self.metrics.snapshot_bytes = name.length;
                    self.new_base = Some((self.shell.node().disk.issued, name));
                }
                Err(error) => warn!(%error, "old snapshots stay on the disk"),
            }
        }
    }

    fn reset_election(&mut self, now: Duration) {
        self.timers.reset_election(now, self.random.random());
    }

    /// A write is on the disk, and all before it.
    pub fn durable(&mut self, now: Duration, durable: &Durable) {
        let mark = durable.mark();
        self.input(now, Input::Durable { mark });
        if let Some((_, name)) = self.new_base.take_if(|(write, _)| *write <= mark) {
            self.durable_base = Some(name);
        }
    }

    /// The state machine has done its task.
    pub fn applied(&mut self, now: Duration, done: Done) {
        self.shell.answer_applied(done.index, done.answers);
        self.input(now, Input::Applied { index: done.index });
    }

    /// The state machine gives a view.
    pub fn view(&mut self, view: Box<dyn SnapshotView>) -> Option<Order> {
        if let TermAt::Present(term) = self.shell.node().log.term_at(view.index()) {
            return Some(Order::StoreSnapshot { view, term });
        }
        // A snapshot of the leader has overtaken it.
        self.snapshotting = Snapshotting::Idle;
        None
    }

    /// A snapshot is in its file, durably. A follower then makes its state machine durable as well, so
    /// that after a crash it need not load the snapshot. A leader puts that off: while it lasts nothing
    /// is applied, and clients would wait.
    pub fn snapshot_stored(&mut self, name: SnapshotName) {
        info!(index = %name.last_included.index, bytes = name.length, "snapshot taken");
        self.snapshotting = Snapshotting::Stored(name);
        self.metrics.snapshot_bytes = name.length;
        self.wants_sync = !self.leads();
    }

    /// Another server says something.
    pub fn hear(&mut self, now: Duration, from: NodeId, message: PeerMessage) {
        self.heard.insert(from, now);
        match message {
            PeerMessage::LeaderAlive(term) => {
                if self.shell.heeds_leader(from, term) {
                    self.reset_election(now);
                }
            }
            PeerMessage::Message(Message::AppendEntries(request))
                if !request.entries.is_empty()
                    && self.apply_backlog() > self.bounds.apply_backlog =>
            {
                // As if the network had lost it: the leader tries again with its next heartbeat.
                self.metrics.overloaded();
            }
            PeerMessage::Message(message) => {
                self.metrics.received();
                self.input(now, Input::Receive { from, message });
                for (from, rejection) in self.shell.take_rejections() {
                    warn!(%from, ?rejection, "a message was refused");
                    rejected_message(rejection).increment(1);
                }
            }
        }
    }

    fn apply_backlog(&self) -> u64 {
        let node = self.shell.node();
        node.commit_index.since(node.last_applied)
    }

    /// A client wants a command replicated. It is proposed with the next [`advance`](Self::advance),
    /// together with all others that came before that, and answered within
    /// [`Bounds::request_timeout`].
    ///
    /// # Errors
    ///
    /// [`ProposeError::Overloaded`]: too much is under way already.
    pub fn propose(&mut self, now: Duration, command: Bytes) -> Result<ProposalId, ProposeError> {
        let unanswered = self.shell.unanswered() + self.commands.len();
        if unanswered >= self.bounds.unanswered
            || self.log_bytes >= self.bounds.log_bytes
            || self.apply_backlog() > self.bounds.apply_backlog
        {
            self.metrics.overloaded();
            return Err(ProposeError::Overloaded);
        }
        self.next_id += 1;
        let id = ProposalId(self.next_id);
        self.open_request(now, Request::Proposal(id));
        self.commands.push((id, command));
        Ok(id)
    }

    /// A client wants to read. It is answered within [`Bounds::request_timeout`].
    pub fn read(&mut self, now: Duration) -> ReaderId {
        self.next_id += 1;
        let id = ReaderId(self.next_id);
        self.open_request(now, Request::Read(id));
        self.waiting_reads.insert(id);
        id
    }

    /// How many reads wait for their answer.
    pub fn reads(&self) -> usize {
        self.waiting_reads.len() + self.readers.values().map(BTreeSet::len).sum::<usize>()
    }

    fn open_request(&mut self, now: Duration, request: Request) {
        let until = now.saturating_add(self.bounds.request_timeout);
        self.open.insert(self.next_id, (until, request));
    }

    /// Forgets the reads whose proof of leadership has not begun and that nobody wants any more.
    pub fn retain_reads(&mut self, mut wanted: impl FnMut(ReaderId) -> bool) {
        let open = &mut self.open;
        self.waiting_reads.retain(|reader| {
            let wanted = wanted(*reader);
            if !wanted {
                open.remove(&reader.0);
            }
            wanted
        });
    }

    /// Does what is due: begins what clients asked for, lets timers fire, and keeps house.
    /// `sending` says whether a snapshot is on its way to another server.
    pub fn advance(&mut self, now: Duration, sending: bool) {
        self.begin_commands(now);
        self.begin_reads(now);
        let leads = self.leads();
        if let Some(input) = self.timers.fire(now, leads, self.random.random()) {
            if input == Input::ElectionTimeout {
                info!(term = %self.shell.node().current_term.next(), "calling an election");
                self.metrics.election_started();
            }
            self.input(now, input);
        }
        if now.saturating_sub(self.kept_house) >= HOUSEKEEPING {
            self.keep_house(now, sending);
        }
    }

    fn begin_commands(&mut self, now: Duration) {
        if self.commands.is_empty() {
            return;
        }
        let commands = std::mem::take(&mut self.commands);
        self.metrics.proposed(commands.len());
        match &self.observer {
            None => self.shell.propose(commands, None),
            Some(observer) => {
                let mut observer = observer.lock().unwrap_or_else(PoisonError::into_inner);
                self.shell.propose(commands, Some(&mut *observer));
            }
        }
        self.after_step(now);
    }

    /// Reads that wait become one read of raft-core: its proof of leadership is younger than all of
    /// them.
    fn begin_reads(&mut self, now: Duration) {
        if self.waiting_reads.is_empty() || self.readers.len() >= READ_GROUPS {
            return;
        }
        self.next_id += 1;
        let id = ReadId(self.next_id);
        self.readers.insert(id, std::mem::take(&mut self.waiting_reads));
        self.input(now, Input::Read { id });
    }

    /// Everything that is ready for the network, the disk, the state machine and the clients. It has
    /// to be done in this order, and what is reported at once may make more ready. Nothing is ordered
    /// of whoever is not free.
    pub fn orders(&mut self, now: Duration, free: Free) -> Vec<Order> {
        let mut orders = Vec::new();
        for (to, message) in self.shell.take_sends() {
            match message {
                Message::InstallSnapshot(offer) => {
                    // The file travels beside the messages; meanwhile this shows that a leader lives.
                    let message = PeerMessage::LeaderAlive(offer.term);
                    orders.push(Order::SendSnapshot { to, offer });
                    orders.push(Order::Send { to, message });
                }
                message => orders.push(Order::Send { to, message: PeerMessage::Message(message) }),
            }
        }
        if free.disk
            && let Some((mark, writes)) = self.shell.take_writes()
        {
            orders.push(Order::Commit { mark, writes });
        }
        if free.machine {
            orders.extend(self.next_task(now));
        }
        if std::mem::take(&mut self.wants_view) {
            orders.push(Order::TakeView);
        }
        if std::mem::take(&mut self.wants_sync) {
            orders.push(Order::SyncState);
        }
        // Not before the state machine is that far: it may still have to restore one of the others.
        let applied = self.shell.node().last_applied;
        if let Some(keep) = self.durable_base.take_if(|keep| keep.last_included.index <= applied) {
            orders.push(Order::RemoveSnapshots { keep });
        }
        for answer in self.shell.take_answers() {
            self.answer(answer, &mut orders);
        }
        self.give_up(now, &mut orders);
        orders
    }

    /// Answers the requests whose time is over. A leader that a majority cannot reach does not notice,
    /// and would let its clients wait for as long as that lasts. A command that was given up on still
    /// counts as under way: it is in the log.
    fn give_up(&mut self, now: Duration, orders: &mut Vec<Order>) {
        while let Some(oldest) = self.open.first_entry().filter(|oldest| oldest.get().0 <= now) {
            match oldest.remove().1 {
                Request::Proposal(id) => {
                    orders.push(Order::AnswerProposal(id, Err(ProposeError::Unknown)));
                }
                Request::Read(id) => {
                    self.waiting_reads.remove(&id);
                    orders.push(Order::AnswerRead(id, Err(ReadError::TimedOut)));
                }
            }
        }
    }

    /// Gives the state machine everything that it may do. Nobody waits for a follower's, so it is
    /// given more at a time.
    fn next_task(&mut self, now: Duration) -> Option<Order> {
        let lazy = !self.leads() && now.saturating_sub(self.applied_at) < APPLY_DELAY;
        if lazy {
            return None;
        }
        let mut task = self.shell.take_task()?;
        while let Some(next) = self.shell.take_task() {
            if let Some(next) = applier::join(&mut task, next) {
                self.shell.put_back(next);
                break;
            }
        }
        self.applied_at = now;
        Some(Order::Apply { task, alone: self.shell.unanswered() <= 1 })
    }

    fn answer(&mut self, answer: Answer, orders: &mut Vec<Order>) {
        let (id, result) = match answer {
            Answer::Applied(id, answer) => (id, Ok(answer)),
            Answer::NotLeader(id, leader) => (id, Err(ProposeError::NotLeader { leader })),
            Answer::Superseded(id) => (id, Err(ProposeError::Superseded)),
            Answer::Unknown(id) => (id, Err(ProposeError::Unknown)),
            Answer::ReadReady(id, index) => return self.answer_reads(id, Ok(index), orders),
            Answer::ReadRefused(id, reason) => {
                let error = match reason {
                    ReadRefusal::NotLeader { leader } => ReadError::NotLeader { leader },
                    ReadRefusal::NothingCommittedInTerm | ReadRefusal::TooManyReads => {
                        ReadError::Overloaded
                    }
                };
                return self.answer_reads(id, Err(error), orders);
            }
        };
        if self.open.remove(&id.0).is_some() {
            orders.push(Order::AnswerProposal(id, result));
        }
    }

    fn answer_reads(
        &mut self,
        id: ReadId,
        result: Result<Index, ReadError>,
        orders: &mut Vec<Order>,
    ) {
        let mut readers = self.readers.remove(&id).unwrap_or_default();
        readers.retain(|reader| self.open.remove(&reader.0).is_some());
        orders.extend(readers.into_iter().map(|reader| Order::AnswerRead(reader, result)));
    }

    /// Sizes, snapshots and published numbers.
    fn keep_house(&mut self, now: Duration, sending: bool) {
        self.kept_house = now;
        self.log_bytes = log_bytes(self.shell.node().log.entries());
        self.metrics.publish(&self.shell, self.log_bytes);
        match self.snapshotting {
            Snapshotting::Idle => {
                let due = self.bounds.snapshot_log_bytes.max(self.metrics.snapshot_bytes / 4);
                if self.log_bytes >= due {
                    self.take_snapshot();
                }
            }
            Snapshotting::Taking => {}
            Snapshotting::Stored(name) => {
                if self.may_compact(name.last_included.index, sending) {
                    self.snapshotting = Snapshotting::Idle;
                    let (index, handle) = (name.last_included.index, name.handle());
                    self.input(now, Input::SnapshotTaken { index, handle });
                    self.log_bytes = log_bytes(self.shell.node().log.entries());
                }
            }
        }
    }

    /// Begins to take a snapshot, unless one is being taken or there is nothing to compact.
    pub fn take_snapshot(&mut self) {
        if self.snapshotting == Snapshotting::Idle && self.shell.node().last_applied > self.base {
            self.snapshotting = Snapshotting::Taking;
            self.wants_view = true;
        }
    }

    /// Whether the entries up to `index` may go: no follower that can keep up needs them, and no
    /// snapshot is on its way whose receiver will need what follows it.
    fn may_compact(&self, index: Index, sending: bool) -> bool {
        let Role::Leader(leadership) = &self.shell.node().role else { return true };
        let needed = leadership.followers.values().any(|follower| follower.match_index < index);
        let patience =
            if sending { self.bounds.log_bytes / 2 } else { self.bounds.compaction_patience };
        !(needed || sending) || self.log_bytes >= patience
    }

    /// Where it stands. Of the others it knows what they said, and if it leads, what it sent them.
    pub fn status(&self, now: Duration) -> NodeStatus {
        let node = self.shell.node();
        let (role, followers) = match &node.role {
            Role::Follower { .. } => ("follower", None),
            Role::Candidate { .. } => ("candidate", None),
            Role::Leader(leadership) => ("leader", Some(&leadership.followers)),
        };
        let peer = |id: NodeId| PeerStatus {
            last_heard: self.heard.get(&id).map(|heard| now.saturating_sub(*heard)),
            progress: followers.and_then(|followers| followers.get(&id)).copied(),
            ..PeerStatus::default()
        };
        NodeStatus {
            role,
            term: node.current_term,
            leader: node.known_leader(),
            last_index: node.log.last_index(),
            durable_index: node.durable_index(),
            commit_index: node.commit_index,
            applied_index: node.last_applied,
            snapshot_index: node.log.base().index,
            log_bytes: self.log_bytes,
            peers: node.peers().map(|id| (id, peer(id))).collect(),
        }
    }
}
