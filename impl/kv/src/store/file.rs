//! The file of the store, and its replacement by a new file.

use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use raft_core::Index;
use raft_node::directory::{self, Directory};
use redb::{Builder, Database, StorageBackend};

use super::error::StoreError;
use super::state;

/// The directory in which a store keeps its state, and the size of its cache.
#[derive(Clone, Debug)]
pub(super) struct Place {
    directory: Arc<dyn Directory>,
    cache_bytes: usize,
}

/// The name of the file in use.
const FILE: &str = "state.redb";

/// The name of a file in preparation. If it exists after a crash, its content is of no use.
const NEW_FILE: &str = "state.redb.new";

impl Place {
    pub(super) fn new(directory: Arc<dyn Directory>, cache_bytes: usize) -> Place {
        Place { directory, cache_bytes }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.path(FILE)
    }

    pub(super) fn new_path(&self) -> PathBuf {
        self.directory.path(NEW_FILE)
    }

    /// Opens the file. Creates an empty one if it does not exist.
    pub(super) fn open(&self) -> Result<Database, StoreError> {
        let there = self.directory.contains(FILE).map_err(file("look for", &self.path()))?;
        if there {
            let database = self.open_file(FILE)?;
            self.remove_new()?;
            return Ok(database);
        }
        let database = self.create_new()?;
        state::begin_durable(&database)
            .and_then(|transaction| state::initialize(transaction, Index::ZERO))
            .map_err(storage(&self.new_path()))?;
        self.install_new()?;
        Ok(database)
    }

    fn open_file(&self, name: &str) -> Result<Database, StoreError> {
        let path = self.directory.path(name);
        let backend = self.directory.open_alone(name).map_err(|error| match error.kind() {
            ErrorKind::ResourceBusy => StoreError::InUse { path: path.clone() },
            _ => StoreError::open(path.clone(), error.into()),
        })?;
        let length = backend.len().map_err(|error| StoreError::open(path.clone(), error.into()))?;
        // The storage engine would treat an empty file as a new one.
        if length == 0 && name == FILE {
            return Err(StoreError::Damaged { path });
        }
        // The storage engine's documentation says that it may panic on some damage instead of
        // reporting it.
        let mut builder = Builder::new();
        builder.set_cache_size(self.cache_bytes);
        builder.set_check_integrity_on_open(true);
        let open = || builder.create_with_backend(Backend(backend));
        match catch_unwind(AssertUnwindSafe(open)) {
            Ok(opened) => opened.map_err(|error| StoreError::open(path, error.into())),
            Err(_) => Err(StoreError::Damaged { path }),
        }
    }

    /// Creates an empty file next to the file in use.
    pub(super) fn create_new(&self) -> Result<Database, StoreError> {
        self.remove_new()?;
        self.open_file(NEW_FILE)
    }

    /// Replaces the file in use with the new file, durably. The new file must have been synced.
    /// Readers that have the former file open can still use it.
    pub(super) fn install_new(&self) -> Result<(), StoreError> {
        self.directory.rename(NEW_FILE, FILE).map_err(file("rename", &self.new_path()))?;
        self.directory.sync().map_err(file("sync the directory of", &self.path()))
    }

    pub(super) fn remove_new(&self) -> Result<(), StoreError> {
        match self.directory.remove(NEW_FILE) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(file("remove", &self.new_path())(error))
            }
            _ => Ok(()),
        }
    }
}

/// A file of a [`Directory`], for the storage engine. The directory has locked it already.
#[derive(Debug)]
struct Backend(directory::File);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

/// Adds the path of the file to an error of the storage engine.
pub(super) fn storage<E: Into<redb::Error>>(path: &Path) -> impl Fn(E) -> StoreError {
    move |error| StoreError::Storage { path: path.to_owned(), source: error.into() }
}

fn file(action: &'static str, path: &Path) -> impl Fn(io::Error) -> StoreError {
    move |source| StoreError::File { action, path: path.to_owned(), source }
}
