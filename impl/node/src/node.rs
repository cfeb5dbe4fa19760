//! Starting and stopping a node.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use raft_core::Config;
use tokio::sync::mpsc;

use crate::directory::{Directory, OsDirectory};
use crate::error::NodeError;
use crate::handle::NodeHandle;
use crate::log_store::{Identity, Sizes};
use crate::net::{Listener, Refusals};
use crate::node_log::NodeLog;
use crate::options::Options;
use crate::owner::{Inboxes, Owner, World};
use crate::panic_supervisor::{self, Supervisor};
use crate::start::{self, Started, Startup, start};
use crate::state_machine::StateMachine;
use crate::wire::{MAX_CLUSTER_NAME, MAX_VOTERS};
use crate::workers::{Disk, Machine};

/// The lengths of the owner's queues: for messages of other servers, and for requests of clients.
const INBOX: usize = 128;
const REQUESTS: usize = 8192;

/// A node that runs on its own threads.
#[derive(Debug)]
pub struct RunningNode {
    /// The handle for using the node.
    pub handle: NodeHandle,
    /// The address on which the node listens for other servers.
    pub address: SocketAddr,
    thread: JoinHandle<Result<(), NodeError>>,
}

impl RunningNode {
    /// Checks that the data, if there is any, belongs to the server that the options describe. Must
    /// be called before the files of the state machine are opened, because opening may change them.
    ///
    /// # Errors
    ///
    /// The options are invalid, or the data belongs to another server or to a cluster of other
    /// voters. Nothing was changed.
    pub fn check_identity(options: &Options) -> Result<(), NodeError> {
        check(options)?;
        if !options.data.is_dir() {
            return Ok(());
        }
        let directory: Arc<dyn Directory> = OsDirectory::at(&options.data)
            .map_err(|error| NodeError::File { path: options.data.clone(), error })?;
        start::check_identity(&directory, &identity(options))
    }

    /// Opens the data and starts the node. The state machine must be the one that belongs to the
    /// data directory.
    ///
    /// # Errors
    ///
    /// [`NodeError`] describes the problem with the options, the data or the network.
    pub fn start(
        options: Options,
        machine: Box<dyn StateMachine>,
    ) -> Result<RunningNode, NodeError> {
        // Invalid options must not create a directory.
        check(&options)?;
        let directory: Arc<dyn Directory> = OsDirectory::at(&options.data)
            .map_err(|error| NodeError::File { path: options.data.clone(), error })?;
        RunningNode::start_in(&directory, options, machine)
    }

    /// Starts the node as [`start`](RunningNode::start) does, with the data in any implementation
    /// of [`Directory`].
    ///
    /// # Errors
    ///
    /// As for [`start`](RunningNode::start).
    pub fn start_in(
        directory: &Arc<dyn Directory>,
        options: Options,
        machine: Box<dyn StateMachine>,
    ) -> Result<RunningNode, NodeError> {
        check(&options)?;
        let identity = identity(&options);
        let (id, voters) = (identity.node, identity.voters.clone());
        let startup = Startup {
            identity,
            config: Config { id, voters, limits: options.limits },
            snapshot_rate: options.bounds.snapshot_rate,
            log_sizes: Sizes::default(),
            seed: rand::random(),
        };
        let Started { node, log, snapshots, applier, state } = start(directory, &startup, machine)?;
        let trace = options.trace_log.clone().map(|path| {
            let log = NodeLog::open(&path, &startup.config, &state, applier.applied());
            log.map_err(|error| NodeError::File { path, error })
        });
        let trace = trace.transpose()?.map(|log| Arc::new(Mutex::new(log)));

        let listen_on = options.listen;
        let listen = move |error| NodeError::Listen { address: listen_on, error };
        let socket = std::net::TcpListener::bind(options.listen).map_err(listen)?;
        socket.set_nonblocking(true).map_err(listen)?;
        let address = socket.local_addr().map_err(listen)?;

        let (requests, request_queue) = mpsc::channel(REQUESTS);
        let identity = log.identity().clone();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| NodeError::File { path: PathBuf::from("runtime"), error })?;
            runtime.block_on(async move {
                let (inbox, from_peers) = mpsc::channel(INBOX);
                let (reports, from_workers) = mpsc::channel(16);
                let (supervisor, panics) = Supervisor::new();
                let refusals = Arc::new(Refusals::default());
                let listener = Arc::new(Listener {
                    identity: identity.clone(),
                    security: options.security.clone(),
                    snapshots: snapshots.clone(),
                    inbox,
                    refusals: refusals.clone(),
                    live: std::sync::Mutex::default(),
                    disks: std::sync::Mutex::default(),
                    supervisor: supervisor.clone(),
                });
                let socket = tokio::net::TcpListener::from_std(socket).map_err(listen)?;
                supervisor.task("raft-listener", listener.run(socket));
                let disk = Disk::start(log, &supervisor, reports.clone());
                let machine = Machine::start(applier, &supervisor, reports.clone());
                let world = World { disk, machine, snapshots, supervisor, reports };
                let owner = Owner::new(&options, node, &identity, refusals, world, trace);
                let inboxes = Inboxes { panics, from_workers, from_peers, requests: request_queue };
                owner.run(inboxes).await
            })
        };
        let thread = std::thread::Builder::new()
            .name("raft-owner".to_owned())
            .spawn(run)
            .map_err(|error| NodeError::File { path: PathBuf::from("thread"), error })?;
        Ok(RunningNode { handle: NodeHandle { requests }, address, thread })
    }

    /// Waits until the node has stopped, on request or because of an error.
    ///
    /// # Errors
    ///
    /// The error that stopped the node.
    pub fn join(self) -> Result<(), NodeError> {
        drop(self.handle);
        match self.thread.join() {
            Ok(end) => end,
            Err(panic) => {
                Err(NodeError::Panicked(panic_supervisor::describe("raft-owner", &*panic)))
            }
        }
    }
}

/// Returns the identity that the disk must have, with a random name in case the disk is new.
fn identity(options: &Options) -> Identity {
    Identity {
        cluster: options.cluster.clone(),
        node: options.id,
        voters: options.voters.keys().copied().collect(),
        disk: rand::random(),
    }
}

fn check(options: &Options) -> Result<(), NodeError> {
    let Options { cluster, id, voters, timing, .. } = options;
    let complaint = if cluster.is_empty() || cluster.len() > MAX_CLUSTER_NAME {
        format!("the cluster's name must have 1 to {MAX_CLUSTER_NAME} bytes")
    } else if voters.len() > MAX_VOTERS {
        format!("a cluster has at most {MAX_VOTERS} members, these are {}", voters.len())
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
