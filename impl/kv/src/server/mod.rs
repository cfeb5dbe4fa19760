//! A running server: the node, the store, and the listeners for clients and for health.

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

/// How many connections are served at the address for health. Nobody but those who look after the
/// server should reach it.
const HEALTH_CONNECTIONS: usize = 64;

/// Why a server does not start, or has stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The configuration cannot be used.
    #[error("bad configuration: {0}")]
    Config(#[from] KeyError),
    /// The address for clients, or for health, cannot be listened on.
    #[error("cannot listen for {whom} on {address}: {error}")]
    Listen {
        /// For whom.
        whom: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The key-value store cannot be opened.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The node.
    #[error("{0}")]
    Node(#[from] NodeError),
    /// The system refuses threads or signals.
    #[error("the system: {0}")]
    System(io::Error),
}

impl ServerError {
    /// The exit code of a program that ends with it: 2 configuration (also members that are not those
    /// of the data), 3 data or disk, 4 an address
    /// is taken, 70 the server contradicts itself.
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

/// Checks what [`run`] needs to begin with, except the data: the addresses and the certificates.
///
/// # Errors
///
/// The key that names something that cannot be used.
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

/// Runs a server until `stop` is done, or it has to end.
///
/// # Errors
///
/// Why it cannot start, or had to end.
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
    // Taken now, so that a mistake shows at once, and opened when there is somebody to answer.
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
        // Requests that are under way get their answers before the node goes.
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

/// An address that is taken, but not yet listened on.
struct Bound {
    whom: &'static str,
    address: SocketAddr,
    socket: TcpSocket,
}

impl Bound {
    fn to(whom: &'static str, address: SocketAddr) -> Result<Bound, ServerError> {
        let bind = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // Connections of an earlier process may still be dying.
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

/// How long clients have to get their last answers.
const GOODBYE: Duration = Duration::from_millis(100);
