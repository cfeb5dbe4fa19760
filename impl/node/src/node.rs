//! Starting and stopping a node.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use raft_core::{Config, HaltReason, Node, Paper, PersistentState};
use redb::StorageBackend;
use redb::backends::FileBackend;
use tokio::sync::mpsc;

use crate::applier::{Applier, ApplyError};
use crate::handle::NodeHandle;
use crate::log_store::{Files, Identity, LogStore, LogStoreError};
use crate::net::Listener;
use crate::node_log::NodeLog;
use crate::options::Options;
use crate::owner::{Inboxes, Owner, World};
use crate::shell::Shell;
use crate::snapshot_store::{SnapshotError, SnapshotName, SnapshotStore};
use crate::state_machine::StateMachine;
use crate::wire::MAX_CLUSTER_NAME;
use crate::workers::{Disk, Machine};

/// The files of term, vote and log inside the data directory; they take turns.
pub const LOG_FILES: [&str; 2] = ["log-a", "log-b"];

/// The file beside it that says how far the log was acknowledged: see
/// [`log_store`](crate::log_store).
pub const WITNESS_FILE: &str = "acknowledged";

/// The directory of snapshots inside the data directory.
pub const SNAPSHOT_DIRECTORY: &str = "snapshots";

/// How many messages of other servers, and how many requests of clients, may wait for the owner.
const INBOX: usize = 128;
const REQUESTS: usize = 8192;

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
    /// A snapshot cannot be written, read or removed.
    #[error("snapshot: {0}")]
    Snapshot(#[from] SnapshotError),
    /// A thread of the node ended in a panic.
    #[error(
        "the thread {0} panicked; this is a bug. The server stops; nothing acknowledged is lost"
    )]
    Panicked(String),
    /// The node contradicts itself, or its disk does.
    #[error(
        "the server's state contradicts itself ({0:?}); going on could lose data. Keep its data \
         directory for an investigation, and replace the server"
    )]
    Halt(HaltReason),
}

/// A node that runs on threads of its own.
#[derive(Debug)]
pub struct RunningNode {
    /// For using the node.
    pub handle: NodeHandle,
    /// Where it listens for other servers.
    pub address: SocketAddr,
    thread: JoinHandle<Result<(), NodeError>>,
}

impl RunningNode {
    /// Opens the data and starts the node. The state machine must be the one that belongs to the
    /// data directory.
    ///
    /// # Errors
    ///
    /// [`NodeError`] says what is wrong with the options, the data or the network.
    pub fn start(
        options: Options,
        machine: Box<dyn StateMachine>,
    ) -> Result<RunningNode, NodeError> {
        check(&options)?;
        let snapshots_path = options.data.join(SNAPSHOT_DIRECTORY);
        fs::create_dir_all(&options.data)
            .map_err(|error| NodeError::File { path: options.data.clone(), error })?;
        let (log, state) = open_log(&options)?;
        let snapshots = SnapshotStore::open(&snapshots_path, options.bounds.snapshot_rate)?;
        let mut applier = Applier::new(machine, snapshots.clone());
        restore(&mut applier, &snapshots, &state)?;

        let voters = options.voters.keys().copied().collect();
        let config = Config { id: options.id, voters, limits: options.limits };
        let trace = options.trace_log.clone().map(|path| {
            NodeLog::open(&path, &config, &state, applier.applied())
                .map_err(|error| NodeError::File { path, error })
        });
        let trace = trace.transpose()?;
        let node =
            Node::restart(&Paper, config, state, applier.applied()).map_err(NodeError::Halt)?;

        let listen_on = options.listen;
        let listen = move |error| NodeError::Listen { address: listen_on, error };
        let socket = std::net::TcpListener::bind(options.listen).map_err(listen)?;
        socket.set_nonblocking(true).map_err(listen)?;
        let address = socket.local_addr().map_err(listen)?;

        let (requests, request_queue) = mpsc::channel(REQUESTS);
        let disk_name = log.identity().disk;
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| NodeError::File { path: PathBuf::from("runtime"), error })?;
            runtime.block_on(async move {
                let (inbox, from_peers) = mpsc::channel(INBOX);
                let (reports, from_workers) = mpsc::channel(16);
                let listener = Arc::new(Listener {
                    id: options.id,
                    cluster: options.cluster.clone(),
                    voters: options.voters.keys().copied().collect(),
                    security: options.security.clone(),
                    snapshots: snapshots.clone(),
                    inbox,
                    live: std::sync::Mutex::default(),
                    disks: std::sync::Mutex::default(),
                });
                let socket = tokio::net::TcpListener::from_std(socket).map_err(listen)?;
                tokio::spawn(listener.run(socket));
                let disk = Disk::start(log, reports.clone());
                let machine = Machine::start(applier, reports.clone());
                let shell = Shell::new(node);
                let world = World { disk, machine, snapshots, reports };
                let owner = Owner::new(&options, shell, disk_name, world, trace);
                let inboxes = Inboxes { from_workers, from_peers, requests: request_queue };
                owner.run(inboxes).await
            })
        };
        let thread = std::thread::Builder::new()
            .name("raft-owner".to_owned())
            .spawn(run)
            .map_err(|error| NodeError::File { path: PathBuf::from("thread"), error })?;
        Ok(RunningNode { handle: NodeHandle { requests }, address, thread })
    }

    /// Waits until the node has stopped, because it was asked to or because it had to.
    ///
    /// # Errors
    ///
    /// Why it had to.
    pub fn join(self) -> Result<(), NodeError> {
        drop(self.handle);
        match self.thread.join() {
            Ok(end) => end,
            Err(_) => Err(NodeError::Panicked("raft-owner".to_owned())),
        }
    }
}

fn check(options: &Options) -> Result<(), NodeError> {
    let Options { cluster, id, voters, timing, .. } = options;
    let complaint = if cluster.is_empty() || cluster.len() > MAX_CLUSTER_NAME {
        format!("the cluster's name must have 1 to {MAX_CLUSTER_NAME} bytes")
    } else if !voters.contains_key(id) {
        format!("{id} is not among the voters")
    } else if timing.heartbeat.is_zero() || timing.heartbeat * 2 > timing.election_min {
        "the heartbeat must be above 0 and at most half of the shortest election timeout".to_owned()
    } else if timing.election_min >= timing.election_max {
        "the longest election timeout must be above the shortest".to_owned()
    } else {
        return Ok(());
    };
    Err(NodeError::Config(complaint))
}

fn open_log(options: &Options) -> Result<(LogStore, PersistentState), NodeError> {
    let path = options.data.join(LOG_FILES[0]);
    // The directory of snapshots is made after the log.
    if !path.exists() && options.data.join(SNAPSHOT_DIRECTORY).exists() {
        let what = "the log is gone, and there was one: the directory of snapshots is there";
        let error = LogStoreError::Damaged(what.to_owned());
        return Err(NodeError::OpenLog { path, error });
    }
    let open_all = || -> Result<_, LogStoreError> {
        let [first, second, witness] = [LOG_FILES[0], LOG_FILES[1], WITNESS_FILE]
            .map(|name| open_file(&options.data.join(name)));
        // A file that was just made must not vanish in a power loss after it has been relied on.
        fs::File::open(&options.data)?.sync_all()?;
        Ok(Files { logs: [first?, second?], witness: witness? })
    };
    let disk = rand::random();
    let wanted = Identity { cluster: options.cluster.clone(), node: options.id, disk };
    let opened = open_all().and_then(|files| LogStore::open(files, &wanted, rand::random()));
    opened.map_err(|error| NodeError::OpenLog { path, error })
}

fn open_file(path: &Path) -> Result<Box<dyn StorageBackend>, LogStoreError> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    Ok(Box::new(FileBackend::new(file)?))
}

/// Brings the state machine to where the log begins, if it is not there yet.
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
    let name = SnapshotName::of(snapshot)?;
    snapshots.require(name)?;
    snapshots.clean(Some(name))?;
    if applier.applied() < snapshot.last_included_index {
        tracing::info!(index = %snapshot.last_included_index, "loading the snapshot");
        applier.restore(name)?;
    }
    Ok(())
}
