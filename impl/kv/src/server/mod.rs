//! A running server: the node, the store, and the HTTP listeners for clients and for health checks.

mod connections;
mod http;
pub mod metrics;
mod reply;
mod requester;
mod routes;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use raft_node::log_store::LogStoreError;
use raft_node::{NodeError, RunningNode};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::config::{Config, KeyError};
use crate::store::{KvStore, StoreError};
use connections::{Connections, Limits};
use http::HttpListener;
pub use requester::Requester;
pub use routes::Service;

/// The maximum number of connections at the address for health checks. Only the operators of the
/// server should be able to reach this address.
const HEALTH_CONNECTIONS: usize = 64;

/// The reason why a server does not start, or has stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The configuration cannot be used.
    #[error("bad configuration: {0}")]
    Config(#[from] KeyError),
    /// The server cannot listen on the address for clients or for health checks.
    #[error("cannot listen for {whom} on {address}: {error}")]
    Listen {
        /// The purpose of the address: `clients` or `health`.
        whom: &'static str,
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The key-value store cannot be opened.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The node cannot start, or has failed.
    #[error("{0}")]
    Node(#[from] NodeError),
    /// The threads of the runtime or the recorder of metrics cannot be set up.
    #[error("the system: {0}")]
    System(io::Error),
}

impl ServerError {
    /// Returns the exit code of a program that ends with this error: 2 for the configuration (also
    /// if its members are not those of the data), 3 for the data or the disk, 4 for an address that
    /// is taken, 70 for an internal error of the server.
    pub fn exit_code(&self) -> u8 {
        match self {
            ServerError::Config(_)
            | ServerError::Node(
                NodeError::Config(_)
                | NodeError::OpenLog { error: LogStoreError::OtherVoters { .. }, .. },
            ) => 2,
            ServerError::Listen { .. } | ServerError::Node(NodeError::Listen { .. }) => 4,
            ServerError::Node(NodeError::Halt(_) | NodeError::Panicked(_))
            | ServerError::System(_) => 70,
            ServerError::Store(_) | ServerError::Node(_) => 3,
        }
    }
}

/// Checks the addresses and the certificates, which [`run`] needs at its start. Does not check the
/// data.
///
/// # Errors
///
/// [`KeyError`] with the key whose value cannot be used.
pub fn check(config: &Config) -> Result<(), KeyError> {
    config.client_address()?;
    config.health_address()?;
    config.peer_address()?;
    config.resolve_members()?;
    if let Some(files) = &config.tls {
        tls::load(files)?;
    }
    Ok(())
}

/// Runs a server until `stop` completes or the node ends.
///
/// # Errors
///
/// The server cannot start, or the node has failed.
pub fn run(
    config: Config,
    trace_log: Option<PathBuf>,
    metrics: &PrometheusHandle,
    stop: impl Future<Output = ()>,
) -> Result<(), ServerError> {
    let address = config.client_address()?;
    let mut options = config.node_options()?;
    options.trace_log = trace_log;
    let mut acceptor = None;
    if let Some(files) = &config.tls {
        let (security, clients) = tls::load(files)?;
        options.security = Some(security);
        acceptor = Some(TlsAcceptor::from(clients));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.threads)
        .thread_name("http")
        .enable_all()
        .build()
        .map_err(ServerError::System)?;
    // The addresses are bound here, so that a mistake is reported at once. The server listens on
    // them only after the node has started, when it can answer.
    let clients = Bound::to("clients", address)?;
    let health = config.health_address()?;
    let health = health.map(|address| Bound::to("health", address)).transpose()?;

    RunningNode::check_identity(&options)?;
    let data = config.data.join("kv");
    let store = KvStore::open(&data, config.cache_mib << 20)?;
    let reader = store.reader();
    let node = RunningNode::start(options, Box::new(store))?;
    let entered = runtime.enter();
    let clients = clients.listen()?;
    let health = health.map(Bound::listen).transpose()?;
    drop(entered);
    tracing::info!(
        id = config.id,
        cluster = config.cluster,
        clients = %address,
        peers = %node.address,
        "serving"
    );
    let handle = node.handle.clone();
    let (stopping, stopped) = watch::channel(false);
    let (connections, per_address) = (config.max_connections, config.connections_per_address());
    let limits = Limits { connections, per_address };
    let service = Service::new(config, handle.clone(), reader, metrics.clone());
    let listener = |router, tls, limits| {
        let (connections, stop) = (Connections::new(limits), stopped.clone());
        HttpListener { router, tls, connections, stop }
    };
    let of_health = Limits { connections: HEALTH_CONNECTIONS, per_address: HEALTH_CONNECTIONS };
    let of_health = listener(service.health_router(), None, of_health);
    let of_clients = listener(service.router(), acceptor, limits);
    let upkeep = async {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            metrics.run_upkeep();
        }
    };
    runtime.block_on(async {
        let clients = tokio::spawn(http::serve(clients, of_clients));
        let health = health.map(|socket| tokio::spawn(http::serve(socket, of_health)));
        tokio::select! {
            () = stop => {}
            () = upkeep => {}
            () = handle.ended() => {}
        }
        // Requests in progress get their answers before the node shuts down.
        let _ = stopping.send(true);
        let _ = clients.await;
        if let Some(health) = health {
            let _ = health.await;
        }
        tokio::time::sleep(GOODBYE).await;
        handle.shutdown().await;
    });
    drop(handle);
    runtime.shutdown_timeout(GOODBYE);
    node.join()?;
    Ok(())
}

/// An address to which a socket is bound, but on which the socket does not listen yet.
struct Bound {
    whom: &'static str,
    address: SocketAddr,
    socket: TcpSocket,
}

impl Bound {
    fn to(whom: &'static str, address: SocketAddr) -> Result<Bound, ServerError> {
        let bind = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // Connections of an earlier process may not be fully closed yet.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            Ok(socket)
        };
        match bind() {
            Ok(socket) => Ok(Bound { whom, address, socket }),
            Err(error) => Err(ServerError::Listen { whom, address, error }),
        }
    }

    fn listen(self) -> Result<TcpListener, ServerError> {
        let Bound { whom, address, socket } = self;
        socket.listen(1024).map_err(|error| ServerError::Listen { whom, address, error })
    }
}

/// The time that clients have to receive their last answers.
const GOODBYE: Duration = Duration::from_millis(100);
