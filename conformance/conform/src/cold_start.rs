//! A start whose result is only inspected: production's code from a disk to a running node, and
//! nothing after that.
//!
//! Many thousands of disks are inspected. Restoring the state machine from a snapshot takes longer
//! than all the rest, and the result depends only on the snapshot's bytes. So equal bytes are
//! restored only once. The restarts inside a server's run restore them each time.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use raft_core::{Bytes, Entry, Index, PersistentState};
use raft_node::start::start;
use raft_node::{SnapshotView, StateMachine, StateMachineError};

use raft_simulation::disk::Disk;
use raft_simulation::failure::Failure;
use raft_simulation::lazily_opened_store::LazyStore;
use raft_simulation::reference_store::Reference;
use raft_simulation::server::{Setup, open_log, startup};

/// The most restored snapshots that are cached.
const REMEMBERED: usize = 256;

/// The stores that were restored from snapshots, by the snapshot's bytes.
static RESTORED: LazyLock<Mutex<HashMap<Vec<u8>, LazyStore>>> = LazyLock::new(Mutex::default);

/// The state that a start has read.
pub(super) struct ColdStart {
    /// Term, vote and log.
    pub(super) state: PersistentState,
    machine: Machine,
}

impl ColdStart {
    /// Starts a server from a disk.
    ///
    /// # Errors
    ///
    /// The server refuses to start, or it relies on data that is not durable.
    pub(super) fn at(setup: &Setup, disk: &Disk) -> Result<ColdStart, Failure> {
        let machine = Machine(Arc::new(Mutex::new(LazyStore::new(disk)?)));
        let directory = disk.root().directory("node")?;
        let started = start(&directory, &startup(setup, 1), Box::new(machine.clone()))?;
        let durable = open_log(&disk.moment().after_power_loss(|| false), setup)?.1;
        if durable != started.state {
            return Err("it relies on what a power loss would still take away".into());
        }
        Ok(ColdStart { state: started.state, machine })
    }

    /// Returns the last index that the state machine has applied.
    pub(super) fn applied(&self) -> Index {
        self.machine.applied()
    }

    /// Returns the whole contents of the state machine.
    ///
    /// # Errors
    ///
    /// The store cannot be opened or read.
    pub(super) fn whole(&self) -> Result<Reference, Failure> {
        self.machine.store().whole()
    }
}

/// A store that is replaced by another one when a snapshot is restored.
#[derive(Clone)]
struct Machine(Arc<Mutex<LazyStore>>);

impl Machine {
    fn store(&self) -> MutexGuard<'_, LazyStore> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateMachine for Machine {
    fn applied(&self) -> Index {
        self.store().applied()
    }

    fn apply(&mut self, first: Index, entries: &[Entry]) -> Result<Vec<Bytes>, StateMachineError> {
        self.store().apply(first, entries)
    }

    fn snapshot(&self) -> Result<Box<dyn SnapshotView>, StateMachineError> {
        self.store().snapshot()
    }

    fn restore(&mut self, index: Index, data: &mut dyn Read) -> Result<(), StateMachineError> {
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes)?;
        let mut restored = RESTORED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = restored.get(&bytes).filter(|known| known.applied() == index) {
            *self.store() = known.clone();
            return Ok(());
        }
        let mut fresh = LazyStore::new(&Disk::default())?;
        fresh.restore(index, &mut bytes.as_slice())?;
        if restored.len() >= REMEMBERED {
            restored.clear();
        }
        restored.insert(bytes, fresh.clone());
        *self.store() = fresh;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StateMachineError> {
        self.store().sync()
    }
}
