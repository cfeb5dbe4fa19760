//! The file of the store, and how another one takes its place.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use raft_core::Index;
use redb::{Builder, Database, DatabaseError};

use super::error::StoreError;
use super::state;

/// Where a store keeps its state.
#[derive(Clone, Debug)]
pub(super) struct Place {
    dir: PathBuf,
    cache_bytes: usize,
}

impl Place {
    pub(super) fn new(dir: &Path, cache_bytes: usize) -> Place {
        Place { dir: dir.to_owned(), cache_bytes }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.join("state.redb")
    }

    /// Where a file is prepared. What stands there after a crash is rubbish.
    pub(super) fn new_path(&self) -> PathBuf {
        self.dir.join("state.redb.new")
    }

    /// Opens the file; the first time, makes an empty one.
    pub(super) fn open(&self) -> Result<Database, StoreError> {
        let path = self.path();
        // The storage engine says of some damage that it may panic instead of reporting it.
        let opened = catch_unwind(AssertUnwindSafe(|| self.builder().open(&path)));
        let Ok(opened) = opened else { return Err(StoreError::Damaged { path }) };
        match opened {
            Ok(database) => {
                self.remove_new()?;
                Ok(database)
            }
            Err(DatabaseError::Storage(redb::StorageError::Io(error)))
                if error.kind() == ErrorKind::NotFound =>
            {
                let database = self.create_new()?;
                state::begin_durable(&database)
                    .and_then(|transaction| state::initialize(transaction, Index::ZERO))
                    .map_err(storage(&self.new_path()))?;
                self.install_new()?;
                Ok(database)
            }
            Err(error) => Err(StoreError::open(path, error.into())),
        }
    }

    /// Makes an empty file beside the one in use.
    pub(super) fn create_new(&self) -> Result<Database, StoreError> {
        self.remove_new()?;
        let path = self.new_path();
        let created = self.builder().create(&path);
        created.map_err(|error| StoreError::open(path, error.into()))
    }

    /// Puts the new file in the place of the one in use, durably. Whoever has that one open still
    /// has it.
    pub(super) fn install_new(&self) -> Result<(), StoreError> {
        let (new_path, path) = (self.new_path(), self.path());
        let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
        sync(&new_path).map_err(file("sync", &new_path))?;
        fs::rename(&new_path, &path).map_err(file("rename", &new_path))?;
        sync(&self.dir).map_err(file("sync", &self.dir))
    }

    pub(super) fn remove_new(&self) -> Result<(), StoreError> {
        let path = self.new_path();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(file("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    fn builder(&self) -> Builder {
        let mut builder = Builder::new();
        builder.set_cache_size(self.cache_bytes);
        builder.set_check_integrity_on_open(true);
        builder
    }
}

/// Says which file failed.
pub(super) fn storage<E: Into<redb::Error>>(path: &Path) -> impl Fn(E) -> StoreError {
    move |error| StoreError::Storage { path: path.to_owned(), source: error.into() }
}

fn file(action: &'static str, path: &Path) -> impl Fn(io::Error) -> StoreError {
    move |source| StoreError::File { action, path: path.to_owned(), source }
}
