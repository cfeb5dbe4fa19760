//! Why a node does not start, or has stopped.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use raft_core::HaltReason;

use crate::applier::ApplyError;
use crate::log_store::LogStoreError;
use crate::snapshot_store::SnapshotError;

/// Why a node does not start, or has stopped.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The options contradict themselves.
    #[error("bad configuration: {0}")]
    Config(String),
    /// The address cannot be listened on.
    #[error("cannot listen for other servers on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// A file or directory cannot be made or opened.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The log cannot be opened.
    #[error("cannot open the log {}: {error}", path.display())]
    OpenLog {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: LogStoreError,
    },
    /// The log cannot be written. What is on the disk is as after a crash.
    #[error("cannot write the log: {0}. The server stops; nothing acknowledged is lost")]
    Disk(LogStoreError),
    /// The state machine cannot go on.
    #[error("{0}. The server stops; nothing acknowledged is lost")]
    Apply(#[from] ApplyError),
    /// The snapshot that the log builds on cannot be read at the start.
    #[error(
        "cannot read the snapshot that the log builds on: {0}. Bring that file back, as it was, or \
         make it readable for this user; do not remove anything else, the log cannot be used without it"
    )]
    OpenSnapshot(SnapshotError),
    /// A snapshot cannot be written, read or removed.
    #[error("snapshot: {0}")]
    Snapshot(#[from] SnapshotError),
    /// A thread or task of the node ended in a panic: which one, and why.
    #[error("{0}; this is a bug. The server stops; nothing acknowledged is lost")]
    Panicked(String),
    /// The node contradicts itself, or its disk does.
    #[error(
        "the server's state contradicts itself ({0:?}); going on could lose data. Keep its data \
         directory for an investigation, and replace the server"
    )]
    Halt(HaltReason),
}
