//! The task that runs the replica: it drains its inboxes, and executes the orders of the replica.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use raft_core::{Mark, Node, NodeId, Write};
use tokio::sync::mpsc;
use tracing::info;

use crate::error::NodeError;
use crate::handle::{NodeStatus, ProposeError, Request};
use crate::log_store::Identity;
use crate::net::{By, Dialler, Link, Refusals, SnapshotLink};
use crate::node_log::NodeLog;
use crate::options::Options;
use crate::orders::{Free, Order};
use crate::panic_supervisor::Supervisor;
use crate::peer_message::FromPeer;
use crate::pending_requests::Waiting;
use crate::replica::{Observer, Replica};
use crate::shell::Task;
use crate::snapshot_store::SnapshotStore;
use crate::wire::{Hello, Purpose};
use crate::workers::{self, ApplyOrder, Disk, Machine, Report};

/// The maximum number of messages that are handled from one inbox before orders are executed.
const DRAIN: usize = 1024;

/// A leader counts a follower as silent if it has received nothing from it for this time. If twice
/// the longest election timeout is longer, that time applies instead.
const CONTACT: Duration = Duration::from_secs(1);

/// The number of times that the connections can deliver messages before an election is started: one
/// to read, one to pass the message on, and one more.
const LAST_CALLS: usize = 3;

/// The connections to another server, for messages and for snapshots.
struct Peer {
    dialler: Dialler,
    link: Link,
    snapshot: SnapshotLink,
}

/// The parts of the server that the owner gives work to.
pub(crate) struct World {
    pub(crate) disk: Disk,
    pub(crate) machine: Machine,
    pub(crate) snapshots: SnapshotStore,
    pub(crate) supervisor: Supervisor,
    /// The channel for reports, for threads that are started later.
    pub(crate) reports: mpsc::Sender<Report>,
}

/// The channels on which the owner receives.
pub(crate) struct Inboxes {
    pub(crate) panics: mpsc::Receiver<String>,
    pub(crate) from_workers: mpsc::Receiver<Report>,
    pub(crate) from_peers: mpsc::Receiver<FromPeer>,
    pub(crate) requests: mpsc::Receiver<Request>,
}

pub(crate) struct Owner {
    replica: Replica,
    began: Instant,
    peers: BTreeMap<NodeId, Peer>,
    refusals: Arc<Refusals>,
    /// The time after which a follower that has sent nothing counts as silent.
    patience: Duration,
    world: World,
    trace: Option<Arc<Mutex<NodeLog>>>,
    waiting: Waiting,
    free: Free,
    shutting_down: bool,
}

impl Owner {
    pub(crate) fn new(
        options: &Options,
        node: Node,
        identity: &Identity,
        refusals: Arc<Refusals>,
        world: World,
        trace: Option<Arc<Mutex<NodeLog>>>,
    ) -> Owner {
        let peer = |(id, address): (&NodeId, &String)| {
            let hello = |purpose| Hello {
                cluster: identity.cluster.clone(),
                from: identity.node,
                to: *id,
                voters: identity.voters.clone(),
                disk: identity.disk,
                purpose,
            };
            let dialler = |purpose| Dialler {
                address: address.clone(),
                hello: hello(purpose),
                security: options.security.clone(),
                refusals: refusals.clone(),
            };
            let link = Link::start(dialler(Purpose::Messages), &world.supervisor);
            let snapshot = SnapshotLink::default();
            (*id, Peer { dialler: dialler(Purpose::Snapshot), link, snapshot })
        };
        let others = options.voters.iter().filter(|(id, _)| **id != options.id);
        let peers = others.map(peer).collect();
        let observer = trace.clone().map(|trace| trace as Observer);
        let (timing, bounds, seed) = (options.timing, options.bounds, rand::random());
        Owner {
            replica: Replica::new(node, timing, bounds, Duration::ZERO, seed, observer),
            began: Instant::now(),
            peers,
            refusals,
            patience: CONTACT.max(timing.election_max * 2),
            world,
            trace,
            waiting: Waiting::default(),
            free: Free { disk: true, machine: true },
            shutting_down: false,
        }
    }

    /// Runs until it is asked to stop, or has to stop because of an error.
    pub(crate) async fn run(mut self, mut inboxes: Inboxes) -> Result<(), NodeError> {
        let end = self.serve(&mut inboxes).await;
        // After this the threads can no longer report, and they end.
        drop(inboxes);
        self.world.disk.finish();
        self.world.machine.finish();
        end
    }

    async fn serve(&mut self, inboxes: &mut Inboxes) -> Result<(), NodeError> {
        let Inboxes { panics, from_workers, from_peers, requests } = inboxes;
        loop {
            let deadline = self.began + self.replica.deadline(self.free);
            tokio::select! {
                biased;
                Some(panic) = panics.recv() => return Err(NodeError::Panicked(panic)),
                Some(report) = from_workers.recv() => self.report(report)?,
                Some(said) = from_peers.recv() => self.hear(said),
                Some(request) = requests.recv() => self.request(request),
                () = tokio::time::sleep_until(deadline.into()) => {}
            }
            // All other input that has already arrived shares the same transaction and messages.
            while let Ok(report) = from_workers.try_recv() {
                self.report(report)?;
            }
            self.hear_all(from_peers);
            for _ in 0..DRAIN {
                let Ok(request) = requests.try_recv() else { break };
                self.request(request);
            }
            if self.replica.election_is_due(self.now()) {
                // On a busy machine, a message of a leader may have arrived and may not be read
                // yet.
                for _ in 0..LAST_CALLS {
                    tokio::task::yield_now().await;
                    self.hear_all(from_peers);
                }
            }
            self.advance()?;
            if let Some(reason) = self.replica.halted() {
                return Err(NodeError::Halt(reason));
            }
            if self.shutting_down && self.free.disk {
                info!("stopped");
                return Ok(());
            }
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn hear_all(&mut self, from_peers: &mut mpsc::Receiver<FromPeer>) {
        for _ in 0..DRAIN {
            let Ok(said) = from_peers.try_recv() else { return };
            self.hear(said);
        }
    }

    fn hear(&mut self, FromPeer { from, message }: FromPeer) {
        self.replica.hear(self.now(), from, message);
    }

    fn report(&mut self, report: Report) -> Result<(), NodeError> {
        match report {
            Report::Durable(durable) => {
                self.free.disk = true;
                self.replica.durable(self.now(), &durable);
            }
            Report::Applied(done) => {
                self.free.machine = true;
                self.replica.applied(self.now(), done);
            }
            Report::View(view) => {
                if let Some(order) = self.replica.view(view) {
                    self.execute(order)?;
                }
            }
            Report::SnapshotStored(name) => self.replica.snapshot_stored(name),
            Report::Failed(error) => return Err(error),
        }
        Ok(())
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Propose(_, answer) if self.shutting_down => {
                let _ = answer.send(Err(ProposeError::Overloaded));
            }
            Request::Propose(command, answer) => {
                let now = self.now();
                self.waiting.propose(&mut self.replica, now, command, answer);
            }
            Request::Read(answer) => {
                let now = self.now();
                self.waiting.read(&mut self.replica, now, answer);
            }
            Request::Status(answer) => {
                let _ = answer.send(self.status());
            }
            Request::TakeSnapshot(answer) => {
                self.replica.take_snapshot();
                let _ = answer.send(self.replica.shell().node().last_applied);
            }
            Request::Shutdown => self.shutting_down = true,
        }
    }

    fn status(&self) -> NodeStatus {
        let mut status = self.replica.status(self.now());
        let window = self.replica.shell().node().config.limits.window as u64;
        let now = Instant::now();
        for (id, peer) in &mut status.peers {
            let link = self.peers.get(id);
            peer.receives_snapshot = link.is_some_and(|link| link.snapshot.is_receiving());
            peer.refused = self.refusals.lately(*id, By::Us, now);
            peer.refuses = self.refusals.lately(*id, By::Them, now);
            peer.replication = peer.replication(status.last_index, self.patience, window);
        }
        status
    }

    /// Advances the replica, and executes its orders for the network, the disk, the state machine
    /// and the clients.
    fn advance(&mut self) -> Result<(), NodeError> {
        self.waiting.forget_abandoned_reads(&mut self.replica);
        let sending = self.peers.values().any(|peer| peer.snapshot.is_receiving());
        self.replica.advance(self.now(), sending);
        loop {
            let orders = self.replica.orders(self.now(), self.free);
            if orders.is_empty() {
                return Ok(());
            }
            if let Some(log) = &self.trace {
                log.lock().unwrap_or_else(PoisonError::into_inner).flush();
            }
            for order in orders {
                self.execute(order)?;
            }
        }
    }

    fn execute(&mut self, order: Order) -> Result<(), NodeError> {
        match order {
            Order::Send { to, message } => {
                if let Some(peer) = self.peers.get(&to) {
                    peer.link.send(message);
                }
            }
            Order::SendSnapshot { to, offer } => {
                if let Some(peer) = self.peers.get(&to) {
                    let World { snapshots, supervisor, .. } = &self.world;
                    peer.snapshot.start(peer.dialler.clone(), offer, snapshots, supervisor);
                }
            }
            Order::Commit { mark, writes } => self.commit(mark, writes)?,
            Order::Apply { task, alone } => self.apply(task, alone)?,
            Order::TakeView => self.world.machine.order(ApplyOrder::View),
            Order::SyncState => self.world.machine.order(ApplyOrder::Sync),
            Order::StoreSnapshot { view, term } => {
                let World { snapshots, supervisor, reports, .. } = &self.world;
                let (snapshots, reports) = (snapshots.clone(), reports.clone());
                workers::store_snapshot(view, term, snapshots, supervisor, reports);
            }
            Order::RemoveSnapshots { keep } => {
                let World { snapshots, supervisor, .. } = &self.world;
                workers::remove_snapshots(snapshots.clone(), keep, supervisor);
            }
            Order::AnswerProposal(id, result) => self.waiting.answer_proposal(id, result),
            Order::AnswerRead(id, result) => self.waiting.answer_read(id, result),
        }
        Ok(())
    }

    /// Makes writes durable. A follower or candidate cannot send its messages before the writes are
    /// durable, so this thread waits for its disk. Using another thread would only make the leader
    /// wait longer.
    fn commit(&mut self, mark: Mark, writes: Vec<Write>) -> Result<(), NodeError> {
        if self.replica.leads() {
            self.free.disk = false;
            self.world.disk.order(mark, writes);
            return Ok(());
        }
        let began = Instant::now();
        let durable = self.world.disk.commit(mark, writes)?;
        // Messages of a leader may have arrived meanwhile, and are not read yet.
        self.replica.stood_still(began.elapsed());
        self.replica.durable(self.now(), &durable);
        Ok(())
    }

    fn apply(&mut self, task: Task, alone: bool) -> Result<(), NodeError> {
        match self.world.machine.run_or_order(task, alone)? {
            Some(done) => self.replica.applied(self.now(), done),
            None => self.free.machine = false,
        }
        Ok(())
    }
}
