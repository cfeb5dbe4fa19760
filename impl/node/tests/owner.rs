//! The owner's threads: no work counts as done before the thread that does it has reported it.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};

use raft_core::{Bytes, Entry, Index, NodeId};
use raft_node::directory::{Directory, File, OsDirectory};
use raft_node::start::LOG_FILES;
use raft_node::{Options, RunningNode, SnapshotView, StateMachine, StateMachineError};
use redb::StorageBackend;

/// A gate. While it is closed, the syncs of the log wait.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    closed: bool,
    waiting: usize,
}

impl Gate {
    fn set_closed(&self, closed: bool) {
        self.state.lock().unwrap().closed = closed;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        self.changed.notify_all();
        state = self.changed.wait_while(state, |state| state.closed).unwrap();
        state.waiting -= 1;
    }

    fn wait_for_somebody(&self) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |state| state.waiting == 0).unwrap());
    }
}

/// A directory with such a gate before each sync of its log.
#[derive(Debug)]
struct Gated {
    inner: Arc<dyn Directory>,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct GatedFile {
    inner: File,
    gate: Arc<Gate>,
}

impl StorageBackend for GatedFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.inner.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.gate.pass();
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }
}

impl Directory for Gated {
    fn open_alone(&self, name: &str) -> io::Result<File> {
        let inner = self.inner.open_alone(name)?;
        if !LOG_FILES.contains(&name) {
            return Ok(inner);
        }
        Ok(Box::new(GatedFile { inner, gate: self.gate.clone() }))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        self.inner.open(name)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        self.inner.create(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }

    fn make_directory(&self, name: &str) -> io::Result<Arc<dyn Directory>> {
        self.inner.make_directory(name)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.inner.path(name)
    }
}

/// A state machine that answers each command with the command itself.
#[derive(Default)]
struct Echo(Index);

impl StateMachine for Echo {
    fn applied(&self) -> Index {
        self.0
    }

    fn apply(&mut self, first: Index, entries: &[Entry]) -> Result<Vec<Bytes>, StateMachineError> {
        self.0 = first.prev().plus(entries.len());
        let answer = |entry: &Entry| match &entry.payload {
            raft_core::Payload::Noop => Bytes::empty(),
            raft_core::Payload::Command(command) => command.clone(),
        };
        Ok(entries.iter().map(answer).collect())
    }

    fn snapshot(&self) -> Result<Box<dyn SnapshotView>, StateMachineError> {
        Ok(Box::new(EchoView(self.0)))
    }

    fn restore(&mut self, index: Index, _: &mut dyn Read) -> Result<(), StateMachineError> {
        self.0 = index;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StateMachineError> {
        Ok(())
    }
}

struct EchoView(Index);

impl SnapshotView for EchoView {
    fn index(&self) -> Index {
        self.0
    }

    fn write_to(&self, _: &mut dyn Write) -> Result<(), StateMachineError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_neither_durable_nor_answered_while_the_disk_is_still_busy_with_it() {
    let place = tempfile::tempdir().unwrap();
    let gate = Arc::<Gate>::default();
    let inner = OsDirectory::at(place.path()).unwrap();
    let directory: Arc<dyn Directory> = Arc::new(Gated { inner, gate: gate.clone() });
    let id = NodeId(1);
    let voters = BTreeMap::from([(id, "127.0.0.1:1".to_owned())]);
    let address = ([127, 0, 0, 1], 0).into();
    let options = Options::new("gated", id, voters, address, place.path().to_owned());
    let node = RunningNode::start_in(&directory, options, Box::new(Echo::default())).unwrap();
    // Wait until the server leads.
    while node.handle.propose(Bytes::from("first")).await.is_err() {
        tokio::task::yield_now().await;
    }

    gate.set_closed(true);
    let handle = node.handle.clone();
    let proposing = tokio::spawn(async move { handle.propose(Bytes::from("second")).await });
    let watched = gate.clone();
    tokio::task::spawn_blocking(move || watched.wait_for_somebody()).await.unwrap();
    let status = node.handle.status().await.unwrap();
    assert_eq!(status.durable_index.next(), status.last_index, "{status:?}");
    assert!(status.commit_index < status.last_index, "{status:?}");
    assert!(!proposing.is_finished());

    gate.set_closed(false);
    assert_eq!(proposing.await.unwrap(), Ok(Bytes::from("second")));
    node.handle.shutdown().await;
    node.join().unwrap();
}
