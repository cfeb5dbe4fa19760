//! Starts a node from the data on its disk.

use std::io;
use std::sync::Arc;

use raft_core::{Config, Node, Paper, PersistentState};

use crate::applier::{Applier, ApplyError};
use crate::directory::Directory;
use crate::error::NodeError;
use crate::log_store::{self, Files, Identity, LogStore, LogStoreError, Sizes};
use crate::snapshot_store::{SnapshotName, SnapshotStore};
use crate::state_machine::StateMachine;

/// The names of the two files in the data directory that hold term, vote and log. The store
/// switches between them.
pub const LOG_FILES: [&str; 2] = ["log-a", "log-b"];

/// The name of the file beside them that holds the number of the last acknowledged transaction: see
/// `log_store`.
pub const WITNESS_FILE: &str = "acknowledged";

/// The name of the directory of snapshots inside the data directory.
pub const SNAPSHOT_DIRECTORY: &str = "snapshots";

/// The parameters for starting a server.
#[derive(Clone, Debug)]
pub struct Startup {
    /// The identity that the disk must have. The disk name in it is used only for a new disk.
    pub identity: Identity,
    /// The configuration of the node.
    pub config: Config,
    /// The rate at which snapshots are written, in bytes per second.
    pub snapshot_rate: u64,
    /// The sizes of the log's files.
    pub log_sizes: Sizes,
    /// A fresh random number.
    pub seed: u64,
}

/// The parts of a server that has read its disk.
pub struct Started {
    /// The node.
    pub node: Node,
    /// Its log on the disk.
    pub log: LogStore,
    /// Its snapshots.
    pub snapshots: SnapshotStore,
    /// Its state machine.
    pub applier: Applier,
    /// The persistent state that was on the disk.
    pub state: PersistentState,
}

/// Checks that the data in a directory, if any, belongs to the wanted server, and changes nothing.
/// [`start`] detects all other faults of the data.
///
/// # Errors
///
/// The data belongs to another server, or cannot be read.
pub fn check_identity(directory: &Arc<dyn Directory>, wanted: &Identity) -> Result<(), NodeError> {
    for name in LOG_FILES {
        let Ok(file) = directory.open(name) else { continue };
        log_store::check_identity(file.as_ref(), wanted)
            .map_err(|error| NodeError::OpenLog { path: directory.path(name), error })?;
    }
    Ok(())
}

/// Opens a data directory. Restores the state machine from the snapshot at the base of the log, if
/// it has not reached that index. The state machine must be the one that belongs to the data
/// directory.
///
/// # Errors
///
/// [`NodeError`] describes the problem with the data.
pub fn start(
    directory: &Arc<dyn Directory>,
    startup: &Startup,
    machine: Box<dyn StateMachine>,
) -> Result<Started, NodeError> {
    let (log, state) = open_log(directory, startup)?;
    let inside = directory.directory(SNAPSHOT_DIRECTORY);
    let inside = inside
        .map_err(|error| NodeError::File { path: directory.path(SNAPSHOT_DIRECTORY), error })?;
    let snapshots = SnapshotStore::new(inside, startup.snapshot_rate);
    let mut applier = Applier::new(machine, snapshots.clone());
    restore(&mut applier, &snapshots, &state)?;
    let config = startup.config.clone();
    let node = Node::restart(&Paper, config, state.clone(), applier.applied());
    Ok(Started { node: node.map_err(NodeError::Halt)?, log, snapshots, applier, state })
}

fn open_log(
    directory: &Arc<dyn Directory>,
    startup: &Startup,
) -> Result<(LogStore, PersistentState), NodeError> {
    let path = directory.path(LOG_FILES[0]);
    let open_all = || -> Result<_, LogStoreError> {
        // The directory of snapshots is created after the log.
        if !directory.contains(LOG_FILES[0])? && directory.contains(SNAPSHOT_DIRECTORY)? {
            let what = "the log is gone, and there was one: the directory of snapshots is there";
            return Err(LogStoreError::Damaged(what.to_owned()));
        }
        Ok(open_files(&**directory)?)
    };
    let opened = open_all().and_then(|files| {
        LogStore::open(files, &startup.identity, startup.seed, startup.log_sizes)
    });
    opened.map_err(|error| NodeError::OpenLog { path, error })
}

/// Opens the files of the log, and durably creates the files that do not exist.
///
/// # Errors
///
/// [`ResourceBusy`](io::ErrorKind::ResourceBusy) if another process has locked the files, and any
/// error of the file system.
pub fn open_files(directory: &dyn Directory) -> io::Result<Files> {
    let [first, second, witness] =
        [LOG_FILES[0], LOG_FILES[1], WITNESS_FILE].map(|name| directory.open_alone(name));
    // A new file must not vanish in a power loss after the server has relied on it.
    directory.sync()?;
    Ok(Files { logs: [first?, second?], witness: witness? })
}

/// Restores the state machine from the snapshot at the base of the log, if it has not reached that
/// index.
fn restore(
    applier: &mut Applier,
    snapshots: &SnapshotStore,
    state: &PersistentState,
) -> Result<(), NodeError> {
    let snapshot = state.log.snapshot();
    if snapshot.last_included_index.0 == 0 {
        snapshots.clean(None)?;
        return Ok(());
    }
    let name = SnapshotName::of(snapshot).map_err(NodeError::OpenSnapshot)?;
    snapshots.open(name).map_err(NodeError::OpenSnapshot)?;
    snapshots.clean(Some(name))?;
    if applier.applied() < snapshot.last_included_index {
        tracing::info!(index = %snapshot.last_included_index, "loading the snapshot");
        applier.restore(name).map_err(|error| match error {
            ApplyError::Snapshot(error) => NodeError::OpenSnapshot(error),
            error => NodeError::Apply(error),
        })?;
    }
    Ok(())
}
