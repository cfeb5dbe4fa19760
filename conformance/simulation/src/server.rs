//! A production server on a simulated disk, without threads. Its orders wait here until the caller
//! executes them.
//!
//! It consists of the parts that `raftd` runs: replica, shell, log, snapshot store, applier,
//! key-value store, wire format, snapshot transfer, and the start of a node from a disk. Only the
//! parts are missing that decide when the others run: the owner task and its threads, sockets,
//! clocks.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use raft_core::{
    Bytes, Config, Entry, Index, InstallSnapshot, Limits, Mark, Message, NodeId, PersistentState,
    Term, Write,
};
use raft_node::applier::Applier;
use raft_node::log_store::{Durable, Identity, LogStore, Sizes};
use raft_node::orders::{Free, Order, ReaderId};
use raft_node::peer_message::PeerMessage;
use raft_node::replica::{Observer, Replica};
use raft_node::shell::{ProposalId, Task};
use raft_node::snapshot_store::SnapshotStore;
use raft_node::snapshot_transfer::{Receiving, Sending};
use raft_node::start::{SNAPSHOT_DIRECTORY, Startup, open_files, start};
use raft_node::timers::Timing;
use raft_node::wire::{self, Frame, HEADER, Header, WireError};
use raft_node::{Bounds, ProposeError, ReadError, SnapshotView, StateMachine as _};

use crate::disk::Disk;
use crate::failure::Failure;
use crate::lazily_opened_store::LazyStore;
use crate::reference_store::Reference;

/// The set-up of a server.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The id of the server.
    pub id: NodeId,
    /// All voters of the cluster, including this server.
    pub voters: BTreeSet<NodeId>,
    /// The limits of the node: entries per message and per follower, and reads.
    pub limits: Limits,
    /// Election timeouts and heartbeats.
    pub timing: Timing,
    /// The bounds for snapshots and for requests.
    pub bounds: Bounds,
    /// The number of bytes of entries in one frame.
    pub batch: usize,
    /// The sizes of the log's files.
    pub log_sizes: Sizes,
}

impl Setup {
    /// Returns the configuration of the node for raft-core.
    pub fn config(&self) -> Config {
        Config { id: self.id, voters: self.voters.clone(), limits: self.limits }
    }
}

/// Data that leaves a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Frames on the connection for messages.
    Frames(NodeId, Vec<u8>),
    /// A snapshot on a connection of its own.
    Snapshot(NodeId, InstallSnapshot),
}

/// An answer to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAnswer {
    /// The answer to a command.
    Proposal(ProposalId, Result<Bytes, ProposeError>),
    /// The answer to a read.
    Read(ReaderId, Result<Index, ReadError>),
}

/// The result of a task of the state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The state machine applied entries.
    Entries {
        /// The index of the first.
        first: Index,
        /// The entries.
        entries: Vec<Entry>,
        /// The answers, one for each.
        answers: Vec<Bytes>,
    },
    /// The state machine restored a snapshot.
    Restored(raft_core::Snapshot),
}

/// A view that is to be stored.
pub struct Storing {
    /// The view.
    pub view: Box<dyn SnapshotView>,
    /// The term of its last entry.
    pub term: Term,
}

/// A running server.
pub struct Running {
    /// The replica, which makes all decisions.
    pub replica: Replica,
    /// Writes that were ordered, oldest first.
    pub writes: VecDeque<(Mark, Write)>,
    /// Tasks of the state machine that were ordered, oldest first.
    pub tasks: VecDeque<Task>,
    /// The view that is to be stored.
    pub storing: Option<Storing>,
    /// Data that left the server and was not taken yet.
    pub sent: Vec<Sent>,
    /// Answers to clients that were not taken yet.
    pub told: Vec<ClientAnswer>,
    /// Its snapshots.
    pub snapshots: SnapshotStore,
    /// The state on the disk when the server started.
    pub state: PersistentState,
    /// A reader of the state machine.
    pub reader: LazyStore,
    /// Whether the disk and the state machine accept orders. At first both always do, because
    /// orders wait here.
    pub free: Free,
    log: LogStore,
    applier: Applier,
    batch: usize,
}

/// The number of bytes of a snapshot in one frame. It is small, so that a small snapshot takes
/// several frames.
pub const SMALL_CHUNK: usize = 16;

/// The sizes of small log files, so that the log changes files often.
pub const SMALL_FILES: Sizes =
    Sizes { growth: (4 << 10, 16 << 10), part: 512, worthwhile: 1 << 10 };

const FREE: Free = Free { disk: true, machine: true };

impl Running {
    /// Starts a server from its disk.
    ///
    /// # Errors
    ///
    /// Fails if the server refuses to start.
    pub fn start(
        setup: &Setup,
        disk: &Disk,
        now: Duration,
        seed: u64,
        observer: Option<Observer>,
    ) -> Result<Running, Failure> {
        let machine = LazyStore::new(disk)?;
        let reader = machine.clone();
        let Setup { timing, bounds, batch, .. } = *setup;
        let directory = disk.root().directory("node")?;
        let started = start(&directory, &startup(setup, seed), Box::new(machine))?;
        Ok(Running {
            replica: Replica::new(started.node, timing, bounds, now, seed, observer),
            writes: VecDeque::new(),
            tasks: VecDeque::new(),
            storing: None,
            sent: Vec::new(),
            told: Vec::new(),
            snapshots: started.snapshots,
            state: started.state,
            reader,
            free: FREE,
            batch,
            log: started.log,
            applier: started.applier,
        })
    }

    /// Returns the last index that the state machine reflects.
    pub fn reader_applied(&self) -> Index {
        self.reader.applied()
    }

    /// Copies this server and its disk, with the reference store as its state machine. Returns
    /// `None` if that is not possible, because a snapshot is being stored or restored.
    ///
    /// # Errors
    ///
    /// Fails if the disk fails.
    pub fn fork(
        &self,
        setup: &Setup,
        disk: &Disk,
        reference: Reference,
        observer: Option<Observer>,
    ) -> Result<Option<(Running, Disk)>, Failure> {
        let shell = self.replica.shell().queues().tasks;
        let mut tasks = self.tasks.iter().chain(shell.into_iter().map(|(_, task)| task));
        if self.storing.is_some() || tasks.any(|task| matches!(task, Task::Restore(_))) {
            return Ok(None);
        }
        let disk = disk.moment().after_kill();
        let machine = LazyStore::reference(reference);
        let reader = machine.clone();
        let directory = disk.root().directory("node")?;
        let inside = directory.directory(SNAPSHOT_DIRECTORY)?;
        let snapshots = SnapshotStore::new(inside, u64::MAX);
        let running = Running {
            replica: self.replica.fork(observer),
            writes: self.writes.clone(),
            tasks: self.tasks.clone(),
            storing: None,
            sent: self.sent.clone(),
            told: self.told.clone(),
            applier: Applier::new(Box::new(machine), snapshots.clone()),
            snapshots,
            state: self.state.clone(),
            reader,
            free: self.free,
            batch: self.batch,
            log: open_log(&disk, setup)?.0,
        };
        Ok(Some((running, disk)))
    }

    /// Takes the orders of the replica. Orders that take time are queued, the others are executed.
    ///
    /// # Errors
    ///
    /// Fails if the server has to stop.
    pub fn take_orders(&mut self, now: Duration) -> Result<(), Failure> {
        for order in self.replica.orders(now, self.free) {
            match order {
                Order::Send { to, message } => {
                    let mut bytes = Vec::new();
                    for frame in message.frames(self.batch) {
                        wire::encode(&frame, &mut bytes);
                    }
                    self.sent.push(Sent::Frames(to, bytes));
                }
                Order::SendSnapshot { to, offer } => self.sent.push(Sent::Snapshot(to, offer)),
                Order::Commit { mark, writes } => {
                    let first = (mark.0 + 1).saturating_sub(writes.len() as u64);
                    self.writes.extend((first..).map(Mark).zip(writes));
                }
                Order::Apply { task, .. } => self.tasks.push_back(task),
                Order::TakeView => {
                    let view = self.applier.view()?;
                    if let Some(Order::StoreSnapshot { view, term }) = self.replica.view(view) {
                        self.storing = Some(Storing { view, term });
                    }
                }
                Order::StoreSnapshot { view, term } => self.storing = Some(Storing { view, term }),
                Order::SyncState => self.applier.sync()?,
                Order::RemoveSnapshots { keep } => self.snapshots.keep_only(keep)?,
                Order::AnswerProposal(id, answer) => {
                    self.told.push(ClientAnswer::Proposal(id, answer));
                }
                Order::AnswerRead(id, answer) => self.told.push(ClientAnswer::Read(id, answer)),
            }
        }
        match self.replica.halted() {
            Some(reason) => Err(format!("the node halts: {reason:?}").into()),
            None => Ok(()),
        }
    }

    /// Makes the oldest `count` writes durable, in one transaction, and reports this to the
    /// replica.
    ///
    /// # Errors
    ///
    /// Fails if the server has to stop.
    pub fn commit(&mut self, now: Duration, count: usize) -> Result<(), Failure> {
        if let Some(durable) = self.write(count)? {
            self.replica.durable(now, &durable);
        }
        Ok(())
    }

    /// Makes the oldest `count` writes durable, without a report to the replica.
    ///
    /// # Errors
    ///
    /// Fails if the disk fails.
    pub fn write(&mut self, count: usize) -> Result<Option<Durable>, Failure> {
        let count = count.min(self.writes.len());
        let Some((mark, _)) = count.checked_sub(1).and_then(|last| self.writes.get(last)) else {
            return Ok(None);
        };
        let mark = *mark;
        let writes = self.writes.range(..count).map(|(_, write)| write.clone()).collect();
        let durable = self.log.commit_up_to(mark, writes)?;
        self.writes.drain(..count);
        Ok(Some(durable))
    }

    /// Lets the state machine do the oldest task, or at most `most` entries of it, and reports this
    /// to the replica. Returns `None` if there is no task.
    ///
    /// # Errors
    ///
    /// Fails if the server has to stop.
    pub fn apply(&mut self, now: Duration, most: usize) -> Result<Option<Applied>, Failure> {
        let Some(mut task) = self.tasks.pop_front() else { return Ok(None) };
        if let Task::Apply { first, entries } = &mut task
            && entries.len() > most
        {
            let rest = entries.split_off(most);
            let first = first.plus(most);
            self.tasks.push_front(Task::Apply { first, entries: rest });
        }
        let done = self.applier.run(task.clone())?;
        let answers = done.answers.clone();
        self.replica.applied(now, done);
        Ok(Some(match task {
            Task::Apply { first, entries } => Applied::Entries { first, entries, answers },
            Task::Restore(snapshot) => Applied::Restored(snapshot),
        }))
    }

    /// Makes the state machine durable.
    ///
    /// # Errors
    ///
    /// Fails if the server has to stop.
    pub fn sync_machine(&mut self) -> Result<(), Failure> {
        Ok(self.applier.sync()?)
    }

    /// Stores the view that is to be stored, and reports this to the replica.
    ///
    /// # Errors
    ///
    /// Fails if the server has to stop.
    pub fn store_snapshot(&mut self) -> Result<(), Failure> {
        if let Some(Storing { view, term }) = self.storing.take() {
            let name = self.snapshots.store(view.as_ref(), term)?;
            self.replica.snapshot_stored(name);
        }
        Ok(())
    }

    /// Passes bytes from the connection for messages to the replica.
    ///
    /// # Errors
    ///
    /// Fails if the bytes are not valid messages.
    pub fn hear(&mut self, now: Duration, from: NodeId, bytes: &[u8]) -> Result<(), Failure> {
        for frame in frames(bytes)? {
            let message = PeerMessage::of(frame).ok_or("a frame on the wrong connection")?;
            self.replica.hear(now, from, message);
        }
        Ok(())
    }

    /// Receives a whole snapshot over a separate connection, which breaks once on the way, and
    /// passes its message to the replica.
    ///
    /// # Errors
    ///
    /// Fails if the transfer fails. The server continues without the snapshot.
    pub fn receive_snapshot(
        &mut self,
        now: Duration,
        from: NodeId,
        offer: InstallSnapshot,
        source: &SnapshotStore,
    ) -> Result<(), Failure> {
        for chunks in [1, usize::MAX] {
            let mut sending = Sending::begin(&offer, source, SMALL_CHUNK)?;
            let mut receiving = Receiving::begin(&offer, &self.snapshots)?;
            sending.go_on_at(receiving.here());
            for _ in 0..chunks {
                let Some(frame) = sending.next_chunk()? else { break };
                let Frame::SnapshotChunk(chunk) = over_the_wire(&frame)? else {
                    return Err("a chunk became something else".into());
                };
                receiving.add(&chunk)?;
            }
            if receiving.is_complete() {
                receiving.finish()?;
                self.replica.hear(now, from, PeerMessage::Message(Message::InstallSnapshot(offer)));
                return Ok(());
            }
        }
        Err("the snapshot ended early".into())
    }
}

/// Opens the log of a disk, as a start would.
///
/// # Errors
///
/// Fails if the log is damaged.
pub fn open_log(disk: &Disk, setup: &Setup) -> Result<(LogStore, PersistentState), Failure> {
    open_log_as(disk, &identity(setup.id, &setup.voters), setup.log_sizes, setup.id.0)
}

/// Opens the log of a disk, as a start of that server would, with files of these sizes. `seed` is a
/// fresh random number.
///
/// # Errors
///
/// Fails if the log is damaged, or the disk fails.
pub fn open_log_as(
    disk: &Disk,
    identity: &Identity,
    sizes: Sizes,
    seed: u64,
) -> Result<(LogStore, PersistentState), Failure> {
    let directory = disk.root().directory("node")?;
    let files = open_files(&*directory)?;
    Ok(LogStore::open(files, identity, seed, sizes)?)
}

/// Returns the information that a server has about itself when it starts.
pub fn startup(setup: &Setup, seed: u64) -> Startup {
    let Setup { id, voters, limits, log_sizes, .. } = setup.clone();
    Startup {
        identity: identity(id, &voters),
        config: Config { id, voters, limits },
        snapshot_rate: u64::MAX,
        log_sizes,
        seed,
    }
}

/// Returns the identity on the disk of a simulated server.
pub fn identity(id: NodeId, voters: &BTreeSet<NodeId>) -> Identity {
    let (cluster, voters) = ("simulated".to_owned(), voters.clone());
    Identity { cluster, node: id, voters, disk: id.0 }
}

/// Decodes the frames in some bytes.
///
/// # Errors
///
/// Fails if the bytes are not complete frames.
pub fn frames(mut bytes: &[u8]) -> Result<Vec<Frame>, WireError> {
    let mut frames = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() {
        let header = Header::decode(*header)?;
        let body = rest.get(..header.length).ok_or(WireError::Body)?;
        frames.push(header.decode_body(body)?);
        bytes = &rest[header.length..];
    }
    if bytes.is_empty() { Ok(frames) } else { Err(WireError::Body) }
}

/// Encodes and decodes a frame.
///
/// # Errors
///
/// Fails if the bytes are not a frame.
pub fn over_the_wire(frame: &Frame) -> Result<Frame, WireError> {
    let mut bytes = Vec::new();
    wire::encode(frame, &mut bytes);
    frames(&bytes)?.pop().ok_or(WireError::Body)
}
