use std::error::Error;
use std::io;
use std::path::PathBuf;

use raft_core::Index;

/// Why a store cannot go on.
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
        /// What the storage engine reports.
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
        /// The layout that it has.
        found: u64,
        /// The layout that this program reads.
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
        /// What the storage engine reports.
        source: redb::Error,
    },
    /// A file cannot be put in its place.
    #[error("cannot {action} {path}: {source}. See that the directory exists and is writable")]
    File {
        /// What was tried, such as `rename`.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system reports.
        source: io::Error,
    },
    /// Entries were skipped or repeated: an error of the caller.
    #[error("entry {found} cannot be applied: the next one is {expected}")]
    Gap {
        /// The first entry that was given.
        found: Index,
        /// The one after the last that was applied.
        expected: Index,
    },
    /// A snapshot cannot be written out.
    #[error(
        "cannot write a snapshot of {path}: {source}. See that both disks work and have room for \
         it, and try again"
    )]
    WriteSnapshot {
        /// The file of the store.
        path: PathBuf,
        /// What the storage engine or the receiver reports.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A snapshot cannot be restored. The store is as it was.
    #[error("cannot restore a snapshot: {0}")]
    BadSnapshot(#[from] SnapshotError),
}

impl StoreError {
    /// What it means that a file cannot be opened.
    pub(super) fn open(path: PathBuf, source: redb::Error) -> StoreError {
        match source {
            redb::Error::DatabaseAlreadyOpen => StoreError::InUse { path },
            redb::Error::Corrupted(_) => StoreError::Damaged { path },
            source => StoreError::Open { path, source },
        }
    }
}

/// Why data is not a snapshot of a store.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The data cannot be read.
    #[error("its data cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// The data is something else.
    #[error("this is not a snapshot of a key-value store")]
    NotASnapshot,
    /// The data was written by a program with another format.
    #[error(
        "it has format {found}; this program reads format {expected}. Restore it with the release \
         that wrote it"
    )]
    OtherFormat {
        /// The format that it has.
        found: u32,
        /// The format that this program reads.
        expected: u32,
    },
    /// The data reflects another prefix of the log than it should.
    #[error("it reflects the log up to {found}, and not up to {expected}")]
    OtherIndex {
        /// The index in the data.
        found: Index,
        /// The index that was asked for.
        expected: Index,
    },
    /// The data ends too early.
    #[error("it is truncated: it ends at byte {offset}. Fetch it again")]
    Truncated {
        /// The position of the end, in bytes.
        offset: u64,
    },
    /// The data is not what a store writes.
    #[error("it is damaged: {reason}, before byte {offset}. Fetch it again")]
    Damaged {
        /// The position after what is wrong, in bytes.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
}

/// What is in the database is not what was put there.
pub(super) fn damaged(what: &str) -> redb::Error {
    redb::Error::Corrupted(what.to_owned())
}
