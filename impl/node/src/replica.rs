//! The decisions of a running server, without its threads, sockets and clocks.
//!
//! A [`Replica`] is a [`Shell`] with timers, clients, and the rules for when to write, apply, take
//! a snapshot and compact. Its caller reports events and the current time, and receives [`Order`]s.
//! The caller executes the orders immediately or in the background, and reports the results. In
//! production, the caller is one task with a few threads ([`RunningNode`](crate::RunningNode)). A
//! test can run the same replica on a simulated disk, network and clock, one order at a time.

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

/// The maximum number of groups of reads that wait for a proof of leadership at the same time.
/// Later reads wait and form one group.
const READ_GROUPS: usize = 4;

/// The time for which a follower's state machine waits for more entries.
pub const APPLY_DELAY: Duration = Duration::from_millis(10);

/// The interval at which sizes are measured and metrics are published.
pub const HOUSEKEEPING: Duration = Duration::from_millis(100);

/// A request of a client that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Proposal(ProposalId),
    Read(ReaderId),
}

/// The state of the work on a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Snapshotting {
    Idle,
    /// The state machine was asked for a view, or the view is being written.
    Taking,
    /// The snapshot is stored. The log is compacted when no follower needs the entries any more, or
    /// when the log is too long to wait for the followers.
    Stored(SnapshotName),
}

/// An observer that is called for every step.
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
    /// The unanswered requests of clients and their deadlines, by the number in their ids. A higher
    /// number never has an earlier deadline.
    open: BTreeMap<u64, (Duration, Request)>,
    /// Commands that clients proposed since the last call of [`advance`](Replica::advance).
    commands: Vec<(ProposalId, Bytes)>,
    waiting_reads: BTreeSet<ReaderId>,
    readers: BTreeMap<ReadId, BTreeSet<ReaderId>>,
    /// The time of the last message from each other server.
    heard: BTreeMap<NodeId, Duration>,
    /// The time at which the state machine was last given a task.
    applied_at: Duration,
    snapshotting: Snapshotting,
    wants_view: bool,
    wants_sync: bool,
    /// The new snapshot at the base of the log, and the write that stores this base, until that
    /// write is durable.
    new_base: Option<(Mark, SnapshotName)>,
    /// The snapshot at the durable base of the log, until the removal of the snapshots before it is
    /// ordered.
    durable_base: Option<SnapshotName>,
    base: Index,
    log_bytes: u64,
    kept_house: Duration,
    metrics: NodeMetrics,
}

impl Replica {
    /// Creates a replica around a node that was started from its disk. The caller chooses the
    /// origin of time, but time must never go back. `seed` is a fresh random number, for the
    /// election timeouts.
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

    /// Returns a copy of the replica in its current state, with another observer.
    pub fn fork(&self, observer: Option<Observer>) -> Replica {
        Replica { observer, ..self.clone() }
    }

    /// Returns the node and its queues, for inspection.
    pub fn shell(&self) -> &Shell {
        &self.shell
    }

    /// Returns whether this server leads.
    pub fn leads(&self) -> bool {
        self.shell.node().is_leader()
    }

    /// Returns the reason why the node has halted, if it has.
    pub fn halted(&self) -> Option<HaltReason> {
        self.shell.halted()
    }

    /// Returns the time at which [`advance`](Replica::advance) must be called even if no event
    /// happens.
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

    /// Returns the time at which the heartbeat timer of a leader, or the election timer of another
    /// server, expires.
    pub fn timer(&self) -> Duration {
        self.timers.next(self.leads())
    }

    /// Returns whether the election timer has expired. The next call of
    /// [`advance`](Replica::advance) then starts an election, unless the timer expired too long
    /// ago.
    pub fn election_is_due(&self, now: Duration) -> bool {
        !self.leads() && self.timers.next(false) <= now
    }

    /// Extends the election timeout by the time for which the server read no messages.
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

    /// Handles the effects of a step. The election timer is reset immediately, so that the next
    /// input in the same batch finds it reset.
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

    /// Reports that a write and all writes before it are on the disk.
    pub fn durable(&mut self, now: Duration, durable: &Durable) {
        let mark = durable.mark();
        self.input(now, Input::Durable { mark });
        if let Some((_, name)) = self.new_base.take_if(|(write, _)| *write <= mark) {
            self.durable_base = Some(name);
        }
    }

    /// Reports that the state machine has completed its task.
    pub fn applied(&mut self, now: Duration, done: Done) {
        self.shell.answer_applied(done.index, done.answers);
        self.input(now, Input::Applied { index: done.index });
    }

    /// Takes a view from the state machine. Returns the order to store it, or none if the view is
    /// obsolete.
    pub fn view(&mut self, view: Box<dyn SnapshotView>) -> Option<Order> {
        if let TermAt::Present(term) = self.shell.node().log.term_at(view.index()) {
            return Some(Order::StoreSnapshot { view, term });
        }
        // A snapshot from the leader has replaced the log beyond the view.
        self.snapshotting = Snapshotting::Idle;
        None
    }

    /// Reports that a snapshot is stored durably. A follower then makes its state machine durable
    /// as well, so that it need not load the snapshot after a crash. A leader defers that, because
    /// its state machine applies nothing during the sync, and clients would have to wait.
    pub fn snapshot_stored(&mut self, name: SnapshotName) {
        info!(index = %name.last_included.index, bytes = name.length, "snapshot taken");
        self.snapshotting = Snapshotting::Stored(name);
        self.metrics.snapshot_bytes = name.length;
        self.wants_sync = !self.leads();
    }

    /// Handles a message from another server.
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
                // The message is dropped, as the network may drop it. The leader tries again with
                // its next heartbeat.
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

    /// Accepts a client's command for replication. The command is proposed with the next
    /// [`advance`](Self::advance), together with all other commands accepted before it. It is
    /// answered within [`Bounds::request_timeout`].
    ///
    /// # Errors
    ///
    /// [`ProposeError::Overloaded`] if too much work is in progress.
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

    /// Accepts a client's read. The read is answered within [`Bounds::request_timeout`].
    pub fn read(&mut self, now: Duration) -> ReaderId {
        self.next_id += 1;
        let id = ReaderId(self.next_id);
        self.open_request(now, Request::Read(id));
        self.waiting_reads.insert(id);
        id
    }

    /// Returns the number of reads that wait for their answer.
    pub fn reads(&self) -> usize {
        self.waiting_reads.len() + self.readers.values().map(BTreeSet::len).sum::<usize>()
    }

    fn open_request(&mut self, now: Duration, request: Request) {
        let until = now.saturating_add(self.bounds.request_timeout);
        self.open.insert(self.next_id, (until, request));
    }

    /// Removes the reads whose proof of leadership has not begun and for which `wanted` returns
    /// false.
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

    /// Does all work that is due: begins the commands and reads of clients, handles expired timers,
    /// and does the housekeeping. `sending` tells whether a snapshot is being sent to another
    /// server.
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

    /// Combines all waiting reads into one read of raft-core. Its proof of leadership begins after
    /// all of them have arrived.
    fn begin_reads(&mut self, now: Duration) {
        if self.waiting_reads.is_empty() || self.readers.len() >= READ_GROUPS {
            return;
        }
        self.next_id += 1;
        let id = ReadId(self.next_id);
        self.readers.insert(id, std::mem::take(&mut self.waiting_reads));
        self.input(now, Input::Read { id });
    }

    /// Returns everything that is ready for the network, the disk, the state machine and the
    /// clients. The orders must be executed in the returned sequence. A result that is reported
    /// immediately may make further orders ready. Writes are ordered only if the disk is free, and
    /// tasks only if the state machine is free.
    pub fn orders(&mut self, now: Duration, free: Free) -> Vec<Order> {
        let mut orders = Vec::new();
        for (to, message) in self.shell.take_sends() {
            match message {
                Message::InstallSnapshot(offer) => {
                    // The file is sent on another connection. Meanwhile this message shows that a
                    // leader is alive.
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
        // Snapshots are removed only after the state machine has reached this one: it may still
        // have to restore an older one.
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

    /// Answers the requests whose time limit has passed. A leader that cannot reach a majority does
    /// not notice this, and would let its clients wait until it can reach a majority again. A
    /// command that is given up still counts as unanswered, because its entry is in the log.
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

    /// Returns an order that joins the tasks which the state machine may begin. No client waits for
    /// a follower's state machine, so it gets more entries at a time.
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

    /// Measures the log, publishes metrics, and begins snapshots and compactions that are due.
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

    /// Returns whether the entries up to `index` may be removed. They are needed while a follower
    /// lacks them, or while a snapshot is being sent whose receiver will need the entries after it.
    /// A log that is too long is compacted in any case.
    fn may_compact(&self, index: Index, sending: bool) -> bool {
        let Role::Leader(leadership) = &self.shell.node().role else { return true };
        let needed = leadership.followers.values().any(|follower| follower.match_index < index);
        let patience =
            if sending { self.bounds.log_bytes / 2 } else { self.bounds.compaction_patience };
        !(needed || sending) || self.log_bytes >= patience
    }

    /// Returns the status of this server. For each other server, it contains the time since the
    /// last message and, on a leader, the progress of replication.
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
