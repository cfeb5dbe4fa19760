//! The replicated state: keys with values and versions, and the sessions of clients.
//!
//! The state is stored in one file, `state.redb`. Applied entries are visible to readers at once,
//! but the store does not wait until they are on disk. After a crash the file has the state of the
//! last [`sync`](StateMachine::sync), and the entries after it are applied again from the log.

mod error;
mod file;
mod restore;
mod sessions;
mod snapshot;
mod state;

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use raft_core::{Bytes, Entry, Index};
use raft_node::directory::{Directory, OsDirectory};
use raft_node::{SnapshotView, StateMachine, StateMachineError};
use redb::{Database, ReadableDatabase};

pub use error::{SnapshotError, StoreError};
use file::{Place, storage};
use restore::SnapshotReader;
pub use sessions::MAX_SESSIONS;
use snapshot::View;
use state::State;

/// A value and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The index of the log entry that wrote it.
    pub version: u64,
    /// The value.
    pub value: Vec<u8>,
}

/// The key-value state machine, which applies [`command`](crate::command)s.
#[derive(Debug)]
pub struct KvStore {
    place: Place,
    shared: Arc<Shared>,
    /// The database that a restored database replaces at the next sync. It is kept open until then,
    /// because the lock on its file protects the directory.
    former: Option<Arc<Database>>,
    max_sessions: u64,
}

/// A reader of a [`KvStore`]'s state. It can be used from any thread while entries are applied.
#[derive(Clone, Debug)]
pub struct KvReader {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    /// The current database. Restoring a snapshot replaces it. A reader that still uses the former
    /// database keeps that one open.
    database: RwLock<Arc<Database>>,
    applied: AtomicU64,
}

impl Shared {
    fn database(&self) -> Arc<Database> {
        Arc::clone(&self.database.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn applied(&self) -> Index {
        Index(self.applied.load(Ordering::Acquire))
    }

    fn set_applied(&self, index: Index) {
        self.applied.store(index.0, Ordering::Release);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("path", &self.path).finish_non_exhaustive()
    }
}

impl KvStore {
    /// Opens the store in the directory `dir`, and creates the directory if it does not exist. A
    /// new store is empty and reflects no entry.
    ///
    /// At most `cache_bytes` of memory are used for data that was read or must still be written.
    /// While a snapshot is restored, the limit is twice as high.
    ///
    /// # Errors
    ///
    /// The file cannot be read or created, is in use by another process, or has another layout.
    pub fn open(dir: &Path, cache_bytes: usize) -> Result<KvStore, StoreError> {
        let directory = OsDirectory::at(dir).map_err(|source| StoreError::File {
            action: "make",
            path: dir.to_owned(),
            source,
        })?;
        KvStore::open_in(directory, cache_bytes)
    }

    /// Opens the store in any [`Directory`], for example a simulated one.
    ///
    /// # Errors
    ///
    /// As for [`open`](KvStore::open).
    pub fn open_in(
        directory: Arc<dyn Directory>,
        cache_bytes: usize,
    ) -> Result<KvStore, StoreError> {
        let place = Place::new(directory, cache_bytes);
        let (path, database) = (place.path(), place.open()?);
        let meta = database.begin_read().map_err(redb::Error::from);
        let meta = meta.and_then(|transaction| state::read_meta(&transaction));
        let (layout, applied) =
            meta.map_err(|source| StoreError::Open { path: path.clone(), source })?;
        match layout {
            state::THIS_LAYOUT => {}
            state::FORMER_LAYOUT => state::update(&database).map_err(storage(&path))?,
            found => {
                let expected = state::THIS_LAYOUT;
                return Err(StoreError::OtherLayout { path, found, expected });
            }
        }
        let database = RwLock::new(Arc::new(database));
        let shared = Arc::new(Shared { path, database, applied: AtomicU64::new(applied.0) });
        Ok(KvStore { place, shared, former: None, max_sessions: MAX_SESSIONS })
    }

    /// Sets the maximum number of sessions, from 1 to [`MAX_SESSIONS`]. It must be the same on
    /// every server, and must not change as long as the servers' data exists.
    pub fn set_max_sessions(&mut self, max_sessions: u64) {
        self.max_sessions = max_sessions.clamp(1, MAX_SESSIONS);
    }

    /// Returns a reader of the state. The reader works even after a snapshot was restored or the
    /// store was dropped.
    pub fn reader(&self) -> KvReader {
        KvReader { shared: Arc::clone(&self.shared) }
    }

    fn apply_entries(&self, first: Index, entries: &[Entry]) -> Result<Vec<Bytes>, redb::Error> {
        let database = self.shared.database();
        let transaction = state::begin(&database)?;
        let answers = State::open(&transaction, self.max_sessions)?.apply(first, entries)?;
        transaction.commit()?;
        Ok(answers)
    }

    fn prepare(&self, index: Index, data: &mut dyn Read) -> Result<Database, StoreError> {
        let mut reader = SnapshotReader::new(index, data)?;
        let mut records = reader.batch()?;
        let (path, database) = (self.place.new_path(), self.place.create_new()?);
        while !records.is_empty() {
            restore::insert(&database, &records).map_err(storage(&path))?;
            records = reader.batch()?;
        }
        state::begin(&database)
            .and_then(|transaction| state::initialize(transaction, index))
            .map_err(storage(&path))?;
        Ok(database)
    }
}

impl StateMachine for KvStore {
    fn applied(&self) -> Index {
        self.shared.applied()
    }

    fn apply(&mut self, first: Index, entries: &[Entry]) -> Result<Vec<Bytes>, StateMachineError> {
        let expected = self.applied().next();
        if first != expected {
            return Err(StoreError::Gap { found: first, expected }.into());
        }
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let answers = self.apply_entries(first, entries).map_err(storage(&self.shared.path))?;
        self.shared.set_applied(first.plus(entries.len()).prev());
        Ok(answers)
    }

    fn snapshot(&self) -> Result<Box<dyn SnapshotView>, StateMachineError> {
        let path = &self.shared.path;
        let view = View::new(self.shared.database(), path.clone()).map_err(storage(path))?;
        Ok(Box::new(view))
    }

    fn restore(&mut self, index: Index, data: &mut dyn Read) -> Result<(), StateMachineError> {
        let prepared = self.prepare(index, data).inspect_err(|_| {
            // A file that cannot be removed does no harm, and the next start tries to remove it
            // again.
            let _ = self.place.remove_new();
        })?;
        let mut database = self.shared.database.write().unwrap_or_else(PoisonError::into_inner);
        let former = std::mem::replace(&mut *database, Arc::new(prepared));
        drop(database);
        self.shared.set_applied(index);
        self.former.get_or_insert(former);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StateMachineError> {
        let database = self.shared.database();
        let synced = state::begin_durable(&database).and_then(|all| Ok(all.commit()?));
        synced.map_err(storage(&self.shared.path))?;
        if self.former.is_some() {
            self.place.install_new()?;
            self.former = None;
        }
        Ok(())
    }
}

impl KvReader {
    /// Returns the last index that the state reflects. A later [`get`](KvReader::get) reads a state
    /// of at least this index.
    pub fn applied(&self) -> Index {
        self.shared.applied()
    }

    /// Returns the value of a key, if the key exists. Reads the disk if the value is not in the
    /// cache.
    ///
    /// # Errors
    ///
    /// [`StoreError::Storage`]: the file cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        self.read(key).map_err(storage(&self.shared.path))
    }

    fn read(&self, key: &[u8]) -> Result<Option<Versioned>, redb::Error> {
        let database = self.shared.database();
        let table = database.begin_read()?.open_table(state::DATA)?;
        let Some(stored) = table.get(key)? else { return Ok(None) };
        let (version, value) = state::split_version(stored.value())?;
        Ok(Some(Versioned { version, value: value.to_owned() }))
    }
}
