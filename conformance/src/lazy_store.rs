//! The production store, opened when it is first used.
//!
//! Thousands of servers a second start here, and most of them never apply anything. To open a store
//! takes longer than all the rest. What it would say of itself depends on its files alone, so equal
//! files are asked once.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use raft_core::{Bytes, Entry, Index};
use raft_kv::store::{KvStore, Versioned};
use raft_node::{SnapshotView, StateMachine, StateMachineError};

use crate::disk::{DirectoryContents, Disk};
use crate::server::Failure;

/// How much memory a store may use for its cache, in bytes.
pub const CACHE: usize = 1 << 20;

/// The directory of the store's files.
pub const DIRECTORY: &str = "kv";

/// How many files are remembered.
const REMEMBERED: usize = 512;

/// What files say of themselves: the last index that they reflect.
static KNOWN: LazyLock<Mutex<HashMap<DirectoryContents, Index>>> = LazyLock::new(Mutex::default);

/// A production store on a simulated disk. Clones share it.
#[derive(Clone)]
pub struct LazyStore(Arc<Mutex<Inner>>);

enum Inner {
    Unopened { disk: Disk, applied: Index },
    Open(KvStore),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(disk: &Disk) -> Result<KvStore, Failure> {
    Ok(KvStore::open_in(disk.root().directory(DIRECTORY)?, CACHE)?)
}

impl Inner {
    fn open(&mut self) -> Result<&mut KvStore, Failure> {
        if let Inner::Unopened { disk, .. } = self {
            *self = Inner::Open(open(disk)?);
        }
        match self {
            Inner::Open(store) => Ok(store),
            Inner::Unopened { .. } => Err("the store is not open".into()),
        }
    }
}

impl LazyStore {
    /// The store of a disk.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub fn new(disk: &Disk) -> Result<LazyStore, Failure> {
        let contents = disk.contents(DIRECTORY);
        let known = lock(&KNOWN).get(&contents).copied();
        let inner = match known {
            Some(applied) => Inner::Unopened { disk: disk.clone(), applied },
            None => {
                let store = open(disk)?;
                let mut known = lock(&KNOWN);
                if known.len() >= REMEMBERED {
                    known.clear();
                }
                known.insert(contents, store.applied());
                Inner::Open(store)
            }
        };
        Ok(LazyStore(Arc::new(Mutex::new(inner))))
    }

    /// A key's value.
    ///
    /// # Errors
    ///
    /// The store cannot be opened or read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Versioned>, Failure> {
        Ok(lock(&self.0).open()?.reader().get(key)?)
    }
}

impl StateMachine for LazyStore {
    fn applied(&self) -> Index {
        match &*lock(&self.0) {
            Inner::Unopened { applied, .. } => *applied,
            Inner::Open(store) => store.applied(),
        }
    }

    fn apply(&mut self, first: Index, entries: &[Entry]) -> Result<Vec<Bytes>, StateMachineError> {
        lock(&self.0).open()?.apply(first, entries)
    }

    fn snapshot(&self) -> Result<Box<dyn SnapshotView>, StateMachineError> {
        lock(&self.0).open()?.snapshot()
    }

    fn restore(&mut self, index: Index, data: &mut dyn Read) -> Result<(), StateMachineError> {
        lock(&self.0).open()?.restore(index, data)
    }

    fn sync(&mut self) -> Result<(), StateMachineError> {
        match &mut *lock(&self.0) {
            // Its files are all that there is.
            Inner::Unopened { .. } => Ok(()),
            Inner::Open(store) => store.sync(),
        }
    }
}
