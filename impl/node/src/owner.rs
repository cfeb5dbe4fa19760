//! The one task that owns the node: it drains its inboxes, steps, and hands on what comes out.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use raft_core::{Index, Input, Mark, Message, NodeId, ReadId, ReadRefusal, Role, TermAt, Write};
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use crate::applier::{self, Done};
use crate::handle::{NodeStatus, ProposeError, ReadError, Request};
use crate::net::{Dialler, FromPeer, Link, Outgoing, Said, SnapshotLink};
use crate::node::NodeError;
use crate::node_log::NodeLog;
use crate::numbers::{Numbers, log_bytes};
use crate::options::{Bounds, Options};
use crate::shell::{Answer, Observe, ProposalId, Shell};
use crate::snapshot_store::{SnapshotName, SnapshotStore};
use crate::timers::Timers;
use crate::wire::{Hello, Purpose};
use crate::workers::{self, ApplyOrder, Disk, Machine, Report};

/// How much of one inbox is handled before the results go out.
const DRAIN: usize = 1024;

/// How often the connections get a chance to deliver before an election is called: once to read, once
/// to hand on, and once more.
const LAST_CALLS: usize = 3;

/// How many groups of reads ask for a proof of leadership at a time. Later reads wait and share one.
const READ_GROUPS: usize = 4;

/// How long a follower's state machine waits for more entries.
const APPLY_DELAY: Duration = Duration::from_millis(10);

/// How often sizes are measured and numbers published.
const HOUSEKEEPING: Duration = Duration::from_millis(100);

type Proposer = oneshot::Sender<Result<raft_core::Bytes, ProposeError>>;
type Reader = oneshot::Sender<Result<Index, ReadError>>;

/// A connection to another server, for messages and for snapshots.
struct Peer {
    dialler: Dialler,
    link: Link,
    snapshot: SnapshotLink,
}

/// Where the making of a snapshot stands.
enum Snapshotting {
    Idle,
    /// The state machine was asked for a view, or the view is being written.
    Taking,
    /// It is stored. The log is compacted when the followers do not need the entries any more, or
    /// have to be given up on.
    Stored(SnapshotName),
}

/// What the owner gives work to.
pub(crate) struct World {
    pub(crate) disk: Disk,
    pub(crate) machine: Machine,
    pub(crate) snapshots: SnapshotStore,
    /// Where the threads report; for those that are started later.
    pub(crate) reports: mpsc::Sender<Report>,
}

/// What the owner listens to.
pub(crate) struct Inboxes {
    pub(crate) from_workers: mpsc::Receiver<Report>,
    pub(crate) from_peers: mpsc::Receiver<FromPeer>,
    pub(crate) requests: mpsc::Receiver<Request>,
}

pub(crate) struct Owner {
    shell: Shell,
    timers: Timers,
    began: Instant,
    bounds: Bounds,
    peers: BTreeMap<NodeId, Peer>,
    world: World,
    trace: Option<NodeLog>,
    proposers: HashMap<ProposalId, Proposer>,
    waiting_reads: Vec<Reader>,
    readers: HashMap<ReadId, Vec<Reader>>,
    next_id: u64,
    disk_busy: bool,
    apply_busy: bool,
    /// When the state machine was last given something to do.
    applied_at: Instant,
    snapshotting: Snapshotting,
    /// The snapshot at the base of the log, and the write that makes it so, until that is durable.
    new_base: Option<(Mark, SnapshotName)>,
    base: Index,
    log_bytes: u64,
    kept_house: Instant,
    shutting_down: bool,
    numbers: Numbers,
}

impl Owner {
    pub(crate) fn new(
        options: &Options,
        shell: Shell,
        disk: u64,
        world: World,
        trace: Option<NodeLog>,
    ) -> Owner {
        let peer = |(id, address): (&NodeId, &String)| {
            let hello = |purpose| Hello {
                cluster: options.cluster.clone(),
                from: options.id,
                to: *id,
                disk,
                purpose,
            };
            let dialler = |purpose| Dialler {
                address: address.clone(),
                hello: hello(purpose),
                security: options.security.clone(),
            };
            let link = Link::start(dialler(Purpose::Messages));
            let snapshot = SnapshotLink::default();
            (*id, Peer { dialler: dialler(Purpose::Snapshot), link, snapshot })
        };
        let others = options.voters.iter().filter(|(id, _)| **id != options.id);
        let base = shell.node().log.base().index;
        Owner {
            timers: Timers::new(options.timing, Duration::ZERO, rand::random()),
            began: Instant::now(),
            bounds: options.bounds,
            peers: others.map(peer).collect(),
            world,
            trace,
            proposers: HashMap::new(),
            waiting_reads: Vec::new(),
            readers: HashMap::new(),
            next_id: 0,
            disk_busy: false,
            apply_busy: false,
            applied_at: Instant::now(),
            snapshotting: Snapshotting::Idle,
            new_base: None,
            base,
            log_bytes: log_bytes(shell.node()),
            kept_house: Instant::now(),
            shutting_down: false,
            numbers: Numbers::new(),
            shell,
        }
    }

    /// Runs until it is told to stop, or has to.
    pub(crate) async fn run(mut self, mut inboxes: Inboxes) -> Result<(), NodeError> {
        let end = self.serve(&mut inboxes).await;
        // The threads cannot report any more, and end.
        drop(inboxes);
        self.world.disk.finish();
        self.world.machine.finish();
        end
    }

    async fn serve(&mut self, inboxes: &mut Inboxes) -> Result<(), NodeError> {
        let Inboxes { from_workers, from_peers, requests } = inboxes;
        loop {
            let mut commands = Vec::new();
            tokio::select! {
                biased;
                Some(report) = from_workers.recv() => self.report(report)?,
                Some(said) = from_peers.recv() => self.hear(said),
                Some(request) = requests.recv() => self.request(request, &mut commands),
                () = tokio::time::sleep_until(self.deadline().into()) => {}
            }
            // Whatever else is there already shares the transaction and the messages.
            while let Ok(report) = from_workers.try_recv() {
                self.report(report)?;
            }
            self.hear_all(from_peers);
            for _ in 0..DRAIN {
                let Ok(request) = requests.try_recv() else { break };
                self.request(request, &mut commands);
            }
            if !commands.is_empty() {
                self.propose(commands);
            }
            self.begin_reads();
            if self.election_is_due() {
                // A leader may have spoken, and on a busy machine nobody has read it yet.
                for _ in 0..LAST_CALLS {
                    tokio::task::yield_now().await;
                    self.hear_all(from_peers);
                }
            }
            self.tick();
            self.keep_house();
            self.hand_on()?;
            if let Some(reason) = self.shell.halted() {
                return Err(NodeError::Halt(reason));
            }
            if self.shutting_down && !self.disk_busy {
                info!("stopped");
                return Ok(());
            }
        }
    }

    fn hear_all(&mut self, from_peers: &mut mpsc::Receiver<FromPeer>) {
        for _ in 0..DRAIN {
            let Ok(said) = from_peers.try_recv() else { return };
            self.hear(said);
        }
    }

    fn election_is_due(&self) -> bool {
        !self.shell.node().is_leader() && self.timers.next(false) <= self.now()
    }

    /// When there is something to do even if nothing happens.
    fn deadline(&self) -> Instant {
        let timer = self.began + self.timers.next(self.shell.node().is_leader());
        let house = self.kept_house + HOUSEKEEPING;
        let apply = if self.shell.has_task() && !self.apply_busy {
            self.applied_at + APPLY_DELAY
        } else {
            house
        };
        timer.min(house).min(apply)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn input(&mut self, input: Input) {
        self.shell.input(input, self.trace.as_mut().map(|log| log as &mut dyn Observe));
        self.after_step();
    }

    /// The timer is set right away, so that whatever comes next in a batch finds it as it is.
    fn after_step(&mut self) {
        if self.shell.take_timer_reset() {
            self.timers.reset_election(self.began.elapsed(), rand::random());
        }
        let log = &self.shell.node().log;
        if log.base().index > self.base {
            self.base = log.base().index;
            match SnapshotName::of(log.snapshot()) {
                Ok(name) => self.new_base = Some((self.shell.node().disk.issued, name)),
                Err(error) => warn!(%error, "old snapshots stay on the disk"),
            }
        }
    }

    fn report(&mut self, report: Report) -> Result<(), NodeError> {
        match report {
            Report::Durable(mark) => {
                self.disk_busy = false;
                self.durable(mark);
            }
            Report::Applied(done) => {
                self.apply_busy = false;
                self.applied(done);
            }
            Report::View(view) => {
                if let TermAt::Present(term) = self.shell.node().log.term_at(view.index()) {
                    let World { snapshots, reports, .. } = &self.world;
                    let (snapshots, reports) = (snapshots.clone(), reports.clone());
                    workers::store_snapshot(view, term, snapshots, reports);
                } else {
                    // A snapshot of the leader has overtaken it.
                    self.snapshotting = Snapshotting::Idle;
                }
            }
            Report::SnapshotStored(name) => {
                info!(index = %name.last_included.index, bytes = name.length, "snapshot taken");
                self.snapshotting = Snapshotting::Stored(name);
                self.numbers.snapshot_bytes = name.length;
            }
            Report::Failed(error) => return Err(error),
        }
        Ok(())
    }

    fn durable(&mut self, mark: Mark) {
        self.input(Input::Durable { mark });
        if let Some((_, name)) = self.new_base.take_if(|(write, _)| *write <= mark) {
            workers::remove_snapshots(self.world.snapshots.clone(), name);
        }
    }

    fn applied(&mut self, done: Done) {
        self.shell.answer_applied(done.index, done.answers);
        self.input(Input::Applied { index: done.index });
    }

    fn hear(&mut self, FromPeer { from, said }: FromPeer) {
        match said {
            Said::LeaderAlive(term) => {
                if self.shell.heeds_leader(from, term) {
                    self.timers.reset_election(self.now(), rand::random());
                }
            }
            Said::Message(Message::AppendEntries(request))
                if !request.entries.is_empty()
                    && self.apply_backlog() > self.bounds.apply_backlog =>
            {
                // As if the network had lost it: the leader tries again with its next heartbeat.
                self.numbers.overloaded.increment(1);
            }
            Said::Message(message) => {
                self.numbers.received.increment(1);
                self.input(Input::Receive { from, message });
                for (from, rejection) in self.shell.take_rejections() {
                    warn!(%from, ?rejection, "a message was refused");
                    let reason = format!("{rejection:?}");
                    metrics::counter!("raft_rejected_messages_total", "reason" => reason)
                        .increment(1);
                }
            }
        }
    }

    fn apply_backlog(&self) -> u64 {
        let node = self.shell.node();
        node.commit_index.since(node.last_applied)
    }

    fn request(&mut self, request: Request, commands: &mut Vec<(ProposalId, raft_core::Bytes)>) {
        match request {
            Request::Propose(command, answer) => {
                let unanswered = self.shell.unanswered() + commands.len();
                if self.shutting_down
                    || unanswered >= self.bounds.unanswered
                    || self.log_bytes >= self.bounds.log_bytes
                    || self.apply_backlog() > self.bounds.apply_backlog
                {
                    self.numbers.overloaded.increment(1);
                    let _ = answer.send(Err(ProposeError::Overloaded));
                    return;
                }
                self.next_id += 1;
                let id = ProposalId(self.next_id);
                self.proposers.insert(id, answer);
                commands.push((id, command));
            }
            Request::Read(answer) => self.waiting_reads.push(answer),
            Request::Status(answer) => {
                let _ = answer.send(self.status());
            }
            Request::TakeSnapshot(answer) => {
                if matches!(self.snapshotting, Snapshotting::Idle) {
                    self.take_snapshot();
                }
                let _ = answer.send(self.shell.node().last_applied);
            }
            Request::Shutdown => self.shutting_down = true,
        }
    }

    fn propose(&mut self, commands: Vec<(ProposalId, raft_core::Bytes)>) {
        self.numbers.proposals.increment(commands.len() as u64);
        self.shell.propose(commands, self.trace.as_mut().map(|log| log as &mut dyn Observe));
        self.after_step();
    }

    /// Reads that wait become one read of raft-core: its proof of leadership is younger than all of
    /// them.
    fn begin_reads(&mut self) {
        self.waiting_reads.retain(|reader| !reader.is_closed());
        if self.waiting_reads.is_empty() || self.readers.len() >= READ_GROUPS {
            return;
        }
        self.next_id += 1;
        let id = ReadId(self.next_id);
        self.readers.insert(id, std::mem::take(&mut self.waiting_reads));
        self.input(Input::Read { id });
    }

    fn tick(&mut self) {
        let (now, leads) = (self.now(), self.shell.node().is_leader());
        if let Some(input) = self.timers.fire(now, leads, rand::random()) {
            if input == Input::ElectionTimeout {
                info!(term = %self.shell.node().current_term.next(), "calling an election");
            }
            self.input(input);
        }
    }

    /// Hands everything that is ready to the network, the disk, the state machine and the clients.
    fn hand_on(&mut self) -> Result<(), NodeError> {
        self.send_all();
        if let Some(log) = &mut self.trace {
            log.flush();
        }
        if !self.disk_busy
            && let Some((mark, writes)) = self.shell.take_writes()
        {
            if self.shell.node().is_leader() {
                self.disk_busy = true;
                self.world.disk.order(mark, writes);
            } else {
                self.commit_here(mark, writes)?;
            }
        }
        self.hand_to_state_machine()?;
        for answer in self.shell.take_answers() {
            self.answer(answer);
        }
        Ok(())
    }

    /// Whoever does not lead has nothing to say before its disk has answered, so it waits for it
    /// right here: the way to another thread and back would only make the leader wait longer.
    fn commit_here(&mut self, mark: Mark, writes: Vec<Write>) -> Result<(), NodeError> {
        let began = Instant::now();
        self.world.disk.commit(writes)?;
        // Messages of a leader may have come meanwhile and are not read yet.
        self.timers.stood_still(began.elapsed());
        self.durable(mark);
        self.send_all();
        Ok(())
    }

    fn send_all(&mut self) {
        for (to, message) in self.shell.take_sends() {
            self.send(to, message);
        }
    }

    /// Gives the state machine everything that it may do. Nobody waits for a follower's, so it is
    /// given more at a time.
    fn hand_to_state_machine(&mut self) -> Result<(), NodeError> {
        let lazy = !self.shell.node().is_leader() && self.applied_at.elapsed() < APPLY_DELAY;
        while !self.apply_busy && !lazy {
            let Some(mut task) = self.shell.take_task() else { break };
            while let Some(next) = self.shell.take_task() {
                if let Some(next) = applier::join(&mut task, next) {
                    self.shell.put_back(next);
                    break;
                }
            }
            self.applied_at = Instant::now();
            let alone = self.shell.unanswered() <= 1;
            match self.world.machine.run_or_order(task, alone)? {
                Some(done) => self.applied(done),
                None => self.apply_busy = true,
            }
        }
        Ok(())
    }

    fn send(&self, to: NodeId, message: Message) {
        let Some(peer) = self.peers.get(&to) else { return };
        match message {
            Message::InstallSnapshot(offer) => {
                let term = offer.term;
                // The file travels beside the messages; meanwhile these show that a leader lives.
                peer.snapshot.start(peer.dialler.clone(), offer, self.world.snapshots.clone());
                peer.link.send(Outgoing::LeaderAlive(term));
            }
            message => peer.link.send(Outgoing::Message(message)),
        }
    }

    fn answer(&mut self, answer: Answer) {
        let (id, result) = match answer {
            Answer::Applied(id, answer) => (id, Ok(answer)),
            Answer::NotLeader(id, leader) => (id, Err(ProposeError::NotLeader { leader })),
            Answer::Superseded(id) => (id, Err(ProposeError::Superseded)),
            Answer::Unknown(id) => (id, Err(ProposeError::Unknown)),
            Answer::ReadReady(id, index) => return self.answer_reads(id, Ok(index)),
            Answer::ReadRefused(id, reason) => {
                let error = match reason {
                    ReadRefusal::NotLeader { leader } => ReadError::NotLeader { leader },
                    ReadRefusal::NothingCommittedInTerm | ReadRefusal::TooManyReads => {
                        ReadError::Overloaded
                    }
                };
                return self.answer_reads(id, Err(error));
            }
        };
        if let Some(proposer) = self.proposers.remove(&id) {
            // Whoever no longer waits has given up.
            let _ = proposer.send(result);
        }
    }

    fn answer_reads(&mut self, id: ReadId, result: Result<Index, ReadError>) {
        for reader in self.readers.remove(&id).into_iter().flatten() {
            let _ = reader.send(result);
        }
    }

    /// Sizes, snapshots and published numbers.
    fn keep_house(&mut self) {
        if self.kept_house.elapsed() < HOUSEKEEPING {
            return;
        }
        self.kept_house = Instant::now();
        self.log_bytes = log_bytes(self.shell.node());
        self.numbers.publish(&self.shell, self.log_bytes);
        match &self.snapshotting {
            Snapshotting::Idle => {
                let due = self.bounds.snapshot_log_bytes.max(self.numbers.snapshot_bytes / 4);
                if self.log_bytes >= due {
                    self.take_snapshot();
                }
            }
            Snapshotting::Taking => {}
            Snapshotting::Stored(name) => {
                let name = *name;
                if self.may_compact(name.last_included.index) {
                    self.snapshotting = Snapshotting::Idle;
                    let (index, handle) = (name.last_included.index, name.handle());
                    self.input(Input::SnapshotTaken { index, handle });
                    self.log_bytes = log_bytes(self.shell.node());
                }
            }
        }
    }

    fn take_snapshot(&mut self) {
        if self.shell.node().last_applied > self.base {
            self.snapshotting = Snapshotting::Taking;
            self.world.machine.order(ApplyOrder::View);
        }
    }

    /// Whether the entries up to `index` may go: no follower that can keep up needs them, and no
    /// snapshot is on its way whose receiver will need what follows it.
    fn may_compact(&self, index: Index) -> bool {
        let Role::Leader(leadership) = &self.shell.node().role else { return true };
        let needed = leadership.followers.values().any(|follower| follower.match_index < index);
        let sending = self.peers.values().any(|peer| peer.snapshot.is_receiving());
        let patience = if sending {
            self.bounds.log_bytes / 2
        } else {
            self.bounds.snapshot_log_bytes.saturating_mul(2)
        };
        !(needed || sending) || self.log_bytes >= patience
    }

    fn status(&self) -> NodeStatus {
        let node = self.shell.node();
        let (role, followers) = match &node.role {
            Role::Follower { .. } => ("follower", BTreeMap::new()),
            Role::Candidate { .. } => ("candidate", BTreeMap::new()),
            Role::Leader(leadership) => ("leader", leadership.followers.clone()),
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
            followers,
        }
    }
}
