//! The error type of a node.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use raft_core::HaltReason;

use crate::applier::ApplyError;
use crate::log_store::LogStoreError;
use crate::snapshot_store::SnapshotError;

/// The reason why a node does not start, or has stopped.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The options are invalid.
    #[error("bad configuration: {0}")]
    Config(String),
    /// The server cannot listen on the address.
    #[error("cannot listen for other servers on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        error: io::Error,
    },
    /// A file or directory cannot be created or opened.
    #[error("{}: {error}", path.display())]
    File {
        /// The path of the file or directory.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// The log cannot be opened.
    #[error("cannot open the log {}: {error}", path.display())]
    OpenLog {
        /// The file.
        path: PathBuf,
        /// The cause.
        error: LogStoreError,
    },
    /// The log cannot be written. The contents of the disk are as after a crash.
    #[error("cannot write the log: {0}. The server stops; nothing acknowledged is lost")]
    Disk(LogStoreError),
    /// The state machine cannot continue.
    #[error("{0}. The server stops; nothing acknowledged is lost")]
    Apply(#[from] ApplyError),
    /// The snapshot at the base of the log cannot be read at the start.
    #[error(
        "cannot read the snapshot that the log builds on: {0}. Bring that file back, as it was, or \
         make it readable for this user; do not remove anything else, the log cannot be used without it"
    )]
    OpenSnapshot(SnapshotError),
    /// A snapshot cannot be written, read or removed.
    #[error("snapshot: {0}")]
    Snapshot(#[from] SnapshotError),
    /// A thread or task of the node panicked. Contains its name and the panic message.
    #[error("{0}; this is a bug. The server stops; nothing acknowledged is lost")]
    Panicked(String),
    /// The state of the node, or of its disk, is inconsistent.
    #[error(
        "the server's state contradicts itself ({0:?}); going on could lose data. Keep its data \
         directory for an investigation, and replace the server"
    )]
    Halt(HaltReason),
}
