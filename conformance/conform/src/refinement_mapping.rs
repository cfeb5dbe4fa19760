//! The refinement mapping: maps commands, snapshot handles and messages of the model to production.
//!
//! The model's commands are short names, and production's commands are requests of the key-value
//! service. A name is mapped to a request that appends it to one key, so the state of the state
//! machine shows its whole history. In the model, the handle of a snapshot contains the state. In
//! production, the handle is the name of a file. Equal states make equal files, so the model's
//! handle determines the name of the file.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use raft_checker::cluster::server::{ApplyTask, Process, Server};
use raft_checker::cluster::snapshot_data;
use raft_core::{
    Bytes, Entry, Index, Log, LogWrite, Message, Node, NodeId, Payload, PersistentState, Snapshot,
    Term, Write,
};
use raft_kv::command::{Command, Operation};
use raft_kv::store::KvStore;
use raft_node::snapshot_store::{SnapshotName, SnapshotStore};
use raft_node::start::SNAPSHOT_DIRECTORY;
use raft_node::{StateMachine, StateMachineError};

use raft_simulation::disk::{Disk, Moment};
use raft_simulation::failure::Failure;
use raft_simulation::lazily_opened_store::{CACHE, DIRECTORY};
use raft_simulation::server::{Running, Setup};

/// The key to which all commands of the model are appended.
pub const KEY: &str = "history";

/// A file of a snapshot, as any server would write it.
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    /// The name of the file.
    pub name: SnapshotName,
    /// The store that contains it.
    pub store: SnapshotStore,
}

/// The mapping, with a cache of the files that it has made.
#[derive(Debug, Default)]
pub struct Refinement {
    files: Mutex<HashMap<Bytes, SnapshotFile>>,
    /// The disk of each server after its first start.
    started: Mutex<HashMap<NodeId, Moment>>,
    /// Whether commands are requests of the service already, and stay as they are.
    plain: bool,
}

impl Refinement {
    /// Creates a mapping for traces whose commands are requests of the key-value service already.
    pub fn of_service() -> Refinement {
        Refinement { plain: true, ..Refinement::default() }
    }

    /// Returns whether commands are requests of the key-value service already.
    pub fn is_of_service(&self) -> bool {
        self.plain
    }

    /// Maps a command.
    ///
    /// # Panics
    ///
    /// If the name of a command is longer than a value of the service may be.
    pub fn command(&self, command: &Bytes) -> Bytes {
        if self.plain {
            return command.clone();
        }
        let mut suffix = command.as_slice().to_vec();
        suffix.push(b';');
        let operation = Operation::Append { key: Bytes::from(KEY), suffix: Bytes::from(suffix) };
        let command = Command { request: None, operation };
        Bytes::from(command.encode().expect("the model's commands are short"))
    }

    /// Maps an entry.
    pub fn entry(&self, entry: &Entry) -> Entry {
        let payload = match &entry.payload {
            Payload::Noop => Payload::Noop,
            Payload::Command(command) => Payload::Command(self.command(command)),
        };
        Entry { term: entry.term, payload }
    }

    /// Maps entries.
    pub fn entries(&self, entries: &[Entry]) -> Vec<Entry> {
        entries.iter().map(|entry| self.entry(entry)).collect()
    }

    /// Returns the entries that a snapshot of the model contains, mapped to production.
    pub fn contents(&self, snapshot: &Snapshot) -> Vec<Entry> {
        self.entries(&snapshot_data::decode(&snapshot.handle))
    }

    /// Maps a snapshot.
    pub fn snapshot(&self, snapshot: &Snapshot) -> Snapshot {
        if snapshot.last_included_index == Index::ZERO {
            return snapshot.clone();
        }
        Snapshot { handle: self.file(snapshot).name.handle(), ..snapshot.clone() }
    }

    /// Returns the file of a snapshot of the model.
    ///
    /// # Panics
    ///
    /// If the production store cannot write it. Its disk has no faults, so this does not happen.
    pub fn file(&self, snapshot: &Snapshot) -> SnapshotFile {
        let mut key = snapshot.handle.as_slice().to_vec();
        key.extend(snapshot.last_included_term.0.to_le_bytes());
        let key = Bytes::from(key);
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(&key) {
            return file.clone();
        }
        let made = make_file(&self.contents(snapshot), snapshot.last_included_term);
        let made = made.expect("a store on a sound disk writes its snapshot");
        files.insert(key, made.clone());
        made
    }

    /// Returns the files of all snapshots that were mapped, in the order of their names.
    pub fn snapshots(&self) -> Vec<SnapshotFile> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let mut files: Vec<SnapshotFile> = files.values().cloned().collect();
        files.sort_by_key(|file| file.name.to_string());
        files.dedup_by_key(|file| file.name.to_string());
        files
    }

    /// Returns a disk after the first start of a server.
    ///
    /// # Errors
    ///
    /// The server does not start.
    pub fn started(&self, setup: &Setup) -> Result<Disk, Failure> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(moment) = started.get(&setup.id) {
            return Ok(moment.after_kill());
        }
        let disk = Disk::default();
        Running::start(setup, &disk, Duration::ZERO, 1, None)?;
        let moment = disk.moment();
        started.insert(setup.id, moment.clone());
        Ok(moment.after_kill())
    }

    /// Maps a message.
    pub fn message(&self, message: &Message) -> Message {
        let mut message = message.clone();
        match &mut message {
            Message::AppendEntries(request) => request.entries = self.entries(&request.entries),
            Message::InstallSnapshot(request) => {
                request.snapshot = self.snapshot(&request.snapshot);
            }
            _ => {}
        }
        message
    }

    /// Maps a write.
    pub fn write(&self, write: &Write) -> Write {
        let log = write.log.as_ref().map(|log| match log {
            LogWrite::Append { first, entries } => {
                LogWrite::Append { first: *first, entries: self.entries(entries) }
            }
            LogWrite::Compact(snapshot) => LogWrite::Compact(self.snapshot(snapshot)),
            LogWrite::Install(snapshot) => LogWrite::Install(self.snapshot(snapshot)),
        });
        Write { vote: write.vote, log }
    }

    /// Maps the state on a disk.
    pub fn state(&self, state: &PersistentState) -> PersistentState {
        let log = Log::new(self.snapshot(state.log.snapshot()), self.entries(state.log.entries()));
        PersistentState { log, ..state.clone() }
    }

    /// Maps a node.
    pub fn node(&self, node: &Node) -> Node {
        let state = PersistentState { log: node.log.clone(), ..PersistentState::default() };
        Node { log: self.state(&state).log, ..node.clone() }
    }

    /// Maps a server, as far as production has the same state. A snapshot that is being stored is
    /// not mapped.
    pub fn server(&self, server: &Server) -> Server {
        let process = server.process.as_ref().map(|process| {
            let Process { node, writes, outbox, apply_queue, storing, memory } = process;
            let writes = writes.iter().map(|(mark, write)| (*mark, self.write(write)));
            let mut outbox: Vec<_> = outbox.clone();
            for (_, envelope) in &mut outbox {
                envelope.message = self.message(&envelope.message);
            }
            outbox.sort_unstable();
            let task = |task: &ApplyTask| match task {
                ApplyTask::Entry(index, entry) => ApplyTask::Entry(*index, self.entry(entry)),
                ApplyTask::Restore(snapshot, mark) => {
                    ApplyTask::Restore(self.snapshot(snapshot), *mark)
                }
            };
            Process {
                node: self.node(node),
                writes: writes.collect(),
                outbox,
                apply_queue: apply_queue.iter().map(task).collect(),
                storing: storing.clone(),
                memory: memory.clone(),
            }
        });
        Server {
            id: server.id,
            disk: self.state(&server.disk),
            state_machine: self.entries(&server.state_machine),
            process,
            released_vote: server.released_vote,
        }
    }
}

fn make_file(entries: &[Entry], term: Term) -> Result<SnapshotFile, StateMachineError> {
    let disk = Disk::default();
    let mut machine = KvStore::open_in(disk.root().directory(DIRECTORY)?, CACHE)?;
    machine.apply(Index(1), entries)?;
    let store = SnapshotStore::new(disk.root().directory(SNAPSHOT_DIRECTORY)?, u64::MAX);
    let view = machine.snapshot()?;
    let name = store.store(view.as_ref(), term)?;
    Ok(SnapshotFile { name, store })
}
