use std::error::Error;
use std::io;
use std::path::PathBuf;

use raft_core::Index;

/// The reason why a store cannot be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file open.
    #[error("another process is using the key-value store {path}; a server's data belongs to one")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be opened.
    #[error(
        "cannot open the key-value store {path}: {source}. If the file is damaged, remove it: the \
         server makes it again from its snapshot and its log"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// The error of the storage engine.
        source: redb::Error,
    },
    /// The file is damaged.
    #[error(
        "the key-value store {path} is damaged. Remove it: the server makes it again from its \
         snapshot and its log"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a program with another layout of the tables.
    #[error(
        "the key-value store {path} has layout {found}; this program reads layout {expected}. \
         Start the release that wrote it, or remove the file: the server makes it again from its \
         snapshot and its log"
    )]
    OtherLayout {
        /// The file.
        path: PathBuf,
        /// The layout of the file.
        found: u64,
        /// The layout that this program writes.
        expected: u64,
    },
    /// Reading or writing failed.
    #[error(
        "the key-value store {path} failed: {source}. See that its disk works and has room, then \
         start the server again"
    )]
    Storage {
        /// The file.
        path: PathBuf,
        /// The error of the storage engine.
        source: redb::Error,
    },
    /// An operation on a file or a directory failed.
    #[error("cannot {action} {path}: {source}. See that the directory exists and is writable")]
    File {
        /// The operation, such as `rename`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The caller has skipped or repeated entries.
    #[error("entry {found} cannot be applied: the next one is {expected}")]
    Gap {
        /// The index of the first entry in the call.
        found: Index,
        /// The index after the last applied entry.
        expected: Index,
    },
    /// A snapshot cannot be written.
    #[error(
        "cannot write a snapshot of {path}: {source}. See that both disks work and have room for \
         it, and try again"
    )]
    WriteSnapshot {
        /// The file of the store.
        path: PathBuf,
        /// The error of the storage engine or of the receiver.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A snapshot cannot be restored. The store has not changed.
    #[error("cannot restore a snapshot: {0}")]
    BadSnapshot(#[from] SnapshotError),
}

impl StoreError {
    /// Converts an error of the storage engine for a file that cannot be opened.
    pub(super) fn open(path: PathBuf, source: redb::Error) -> StoreError {
        match source {
            redb::Error::DatabaseAlreadyOpen => StoreError::InUse { path },
            redb::Error::Corrupted(_) => StoreError::Damaged { path },
            source => StoreError::Open { path, source },
        }
    }
}

/// The reason why data is not a valid snapshot of a store.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The data cannot be read.
    #[error("its data cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// The data is not a snapshot of a key-value store.
    #[error("this is not a snapshot of a key-value store")]
    NotASnapshot,
    /// The data was written by a program with another format.
    #[error(
        "it has format {found}; this program reads format {expected}. Restore it with the release \
         that wrote it"
    )]
    OtherFormat {
        /// The format of the data.
        found: u32,
        /// The format that this program writes.
        expected: u32,
    },
    /// The data reflects the log up to an unexpected index.
    #[error("it reflects the log up to {found}, and not up to {expected}")]
    OtherIndex {
        /// The index in the data.
        found: Index,
        /// The expected index.
        expected: Index,
    },
    /// The data ends too early.
    #[error("it is truncated: it ends at byte {offset}. Fetch it again")]
    Truncated {
        /// The position of the end, in bytes.
        offset: u64,
    },
    /// The data is damaged.
    #[error("it is damaged: {reason}, before byte {offset}. Fetch it again")]
    Damaged {
        /// The position after the damaged part, in bytes.
        offset: u64,
        /// A description of the damage.
        reason: &'static str,
    },
}

/// Returns the error for a database with unexpected content.
pub(super) fn damaged(what: &str) -> redb::Error {
    redb::Error::Corrupted(what.to_owned())
}
