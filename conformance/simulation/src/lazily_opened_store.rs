//! The production store, opened when it is first used.
//!
//! The simulations start thousands of servers a second, and most of these never apply an entry. To
//! open a store takes longer than the rest of a start. The contents of a store depend only on its
//! files. So a store is opened only once for equal files to find out its contents.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use raft_core::{Bytes, Entry, Index};
use raft_kv::store::{KvReader, KvStore, MAX_SESSIONS, Versioned};
use raft_node::{SnapshotView, StateMachine, StateMachineError};

use crate::disk::{DirectoryContents, Disk};
use crate::failure::Failure;
use crate::reference_store::Reference;

/// The size of a store's cache, in bytes.
pub const CACHE: usize = 1 << 20;

/// The directory of the store's files.
pub const DIRECTORY: &str = "kv";

/// The number of directories whose contents are remembered.
const REMEMBERED: usize = 512;

/// The known facts about stores, by the contents of their files.
static KNOWN: LazyLock<Mutex<HashMap<DirectoryContents, Known>>> = LazyLock::new(Mutex::default);

#[derive(Clone)]
struct Known {
    /// The last index that the files reflect.
    applied: Index,
    /// Everything that the files hold, if it was read.
    whole: Option<Reference>,
}

/// A production store on a simulated disk. Clones refer to the same store.
#[derive(Clone)]
pub struct LazyStore(Arc<Mutex<Lazy>>);

struct Lazy {
    inner: Inner,
    max_sessions: u64,
}

enum Inner {
    Unopened {
        disk: Disk,
        contents: DirectoryContents,
        known: Known,
    },
    Open(KvStore),
    /// The reference store, in place of the production store.
    Reference(Reference),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(disk: &Disk) -> Result<KvStore, Failure> {
    Ok(KvStore::open_in(disk.root().directory(DIRECTORY)?, CACHE)?)
}

impl Lazy {
    fn open(&mut self) -> Result<&mut KvStore, Failure> {
        if let Inner::Unopened { disk, .. } = &self.inner {
            let mut store = open(disk)?;
            store.set_max_sessions(self.max_sessions);
            self.inner = Inner::Open(store);
        }
        match &mut self.inner {
            Inner::Open(store) => Ok(store),
            _ => Err("there is no store, but the reference".into()),
        }
    }
}

impl LazyStore {
    /// Creates the store of a disk. The files are opened now only if their contents are not known
    /// yet.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be opened.
    pub fn new(disk: &Disk) -> Result<LazyStore, Failure> {
        let contents = disk.contents(DIRECTORY);
        let known = lock(&KNOWN).get(&contents).cloned();
        let inner = if let Some(known) = known {
            Inner::Unopened { disk: disk.clone(), contents, known }
        } else {
            let store = open(disk)?;
            let mut known = lock(&KNOWN);
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert(contents, Known { applied: store.applied(), whole: None });
            Inner::Open(store)
        };
        Ok(LazyStore::of(inner))
    }

    fn of(inner: Inner) -> LazyStore {
        LazyStore(Arc::new(Mutex::new(Lazy { inner, max_sessions: MAX_SESSIONS })))
    }

    /// Limits the number of sessions. It must be called before the store applies its first entry
    /// after it was opened.
    pub fn set_max_sessions(&self, max_sessions: u64) {
        let mut lazy = lock(&self.0);
        lazy.max_sessions = max_sessions;
        if let Inner::Open(store) = &mut lazy.inner {
            store.set_max_sessions(max_sessions);
        }
    }

    /// Creates a store that is the reference store, for runs that do not test the production store.
    pub fn reference(reference: Reference) -> LazyStore {
        LazyStore::of(Inner::Reference(reference))
    }

    /// Returns the value of a key.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be opened or read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Versioned>, Failure> {
        if let Inner::Open(store) = &lock(&self.0).inner {
            return Ok(store.reader().get(key)?);
        }
        let found = self.whole()?.keys.remove(key);
        Ok(found.map(|(version, value)| Versioned { version, value }))
    }

    /// Returns a reader of the store, which works as long as it is kept.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be opened, or if it is the reference store.
    pub fn reader(&self) -> Result<KvReader, Failure> {
        Ok(lock(&self.0).open()?.reader())
    }

    /// Returns everything that the store holds, including sessions, as its snapshot says.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be opened or read.
    pub fn whole(&self) -> Result<Reference, Failure> {
        match &mut lock(&self.0).inner {
            Inner::Reference(reference) => Ok(reference.clone()),
            Inner::Open(store) => whole(store),
            Inner::Unopened { disk, contents, known } => {
                if let Some(found) = &known.whole {
                    return Ok(found.clone());
                }
                // Opening changes the files, so a copy of the disk is opened.
                let found = whole(&open(&disk.moment().after_kill())?)?;
                known.whole = Some(found.clone());
                if let Some(all) = lock(&KNOWN).get_mut(contents) {
                    all.whole = Some(found.clone());
                }
                Ok(found)
            }
        }
    }
}

fn whole(store: &KvStore) -> Result<Reference, Failure> {
    let mut bytes = Vec::new();
    store.snapshot()?.write_to(&mut bytes)?;
    Reference::read(&bytes).ok_or_else(|| "the store writes something that is no snapshot".into())
}

impl StateMachine for LazyStore {
    fn applied(&self) -> Index {
        match &lock(&self.0).inner {
            Inner::Unopened { known, .. } => known.applied,
            Inner::Open(store) => store.applied(),
            Inner::Reference(reference) => reference.applied,
        }
    }

    fn apply(&mut self, first: Index, entries: &[Entry]) -> Result<Vec<Bytes>, StateMachineError> {
        let mut lazy = lock(&self.0);
        if let Inner::Reference(reference) = &mut lazy.inner {
            if first != reference.applied.next() {
                return Err(format!("entry {first} after {}", reference.applied).into());
            }
            return Ok(entries.iter().map(|entry| reference.apply(entry)).collect());
        }
        lazy.open()?.apply(first, entries)
    }

    fn snapshot(&self) -> Result<Box<dyn SnapshotView>, StateMachineError> {
        lock(&self.0).open()?.snapshot()
    }

    fn restore(&mut self, index: Index, data: &mut dyn Read) -> Result<(), StateMachineError> {
        lock(&self.0).open()?.restore(index, data)
    }

    fn sync(&mut self) -> Result<(), StateMachineError> {
        match &mut lock(&self.0).inner {
            // An unopened store has nothing but its files, and the reference store has no files.
            Inner::Unopened { .. } | Inner::Reference(_) => Ok(()),
            Inner::Open(store) => store.sync(),
        }
    }
}
