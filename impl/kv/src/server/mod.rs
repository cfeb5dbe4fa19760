//! A running server: the node, the store, and the door for clients.

mod http;
mod reply;
mod routes;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use raft_node::log_store::LogStoreError;
use raft_node::{NodeError, NodeHandle, RunningNode};
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::config::Config;
use crate::store::{KvReader, KvStore, StoreError};
use routes::Service;

/// Why a server does not start, or has stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The configuration cannot be used.
    #[error("bad configuration: {0}")]
    Config(String),
    /// The address for clients cannot be listened on.
    #[error("cannot listen for clients on {address}: {error}")]
    Listen {
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

/// Installs the recorder of metrics. Once in a process.
///
/// # Errors
///
/// There is one already.
pub fn install_metrics() -> Result<PrometheusHandle, ServerError> {
    let seconds = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0];
    PrometheusBuilder::new()
        .set_buckets(&seconds)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| ServerError::System(io::Error::other(error)))
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
    let address = config.client_address().map_err(ServerError::Config)?;
    let mut options = config.node_options().map_err(ServerError::Config)?;
    options.trace_log = trace_log;
    let mut acceptor = None;
    if let Some(files) = &config.tls {
        let (security, clients) = tls::load(files).map_err(ServerError::Config)?;
        options.security = Some(security);
        acceptor = Some(TlsAcceptor::from(clients));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.threads)
        .thread_name("http")
        .enable_all()
        .build()
        .map_err(ServerError::System)?;
    let listen = |error| ServerError::Listen { address, error };
    // Taken now, so that a mistake shows at once, and opened when there is somebody to answer.
    let socket = bind(address).map_err(listen)?;

    let data = config.data.join("kv");
    let store = KvStore::open(&data, config.cache_mib << 20)?;
    let reader = store.reader();
    let node = RunningNode::start(options, Box::new(store))?;
    let socket = runtime.block_on(async { socket.listen(1024) }).map_err(listen)?;
    tracing::info!(
        id = config.id,
        cluster = config.cluster,
        clients = %address,
        peers = %node.address,
        "serving"
    );
    let handle = node.handle.clone();
    let (stopping, stopped) = watch::channel(false);
    let max_connections = config.max_connections;
    let router = router(config, handle.clone(), reader, metrics.clone());
    let upkeep = async {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            metrics.run_upkeep();
        }
    };
    runtime.block_on(async {
        let http = tokio::spawn(http::serve(socket, router, acceptor, max_connections, stopped));
        tokio::select! {
            () = stop => {}
            () = upkeep => {}
            () = handle.ended() => {}
        }
        // Requests that are under way get their answers before the node goes.
        let _ = stopping.send(true);
        let _ = http.await;
        tokio::time::sleep(GOODBYE).await;
        handle.shutdown().await;
    });
    drop(handle);
    runtime.shutdown_timeout(GOODBYE);
    node.join()?;
    Ok(())
}

/// The answers to clients' requests, for a node and a store that somebody else runs.
pub fn router(
    config: Config,
    node: NodeHandle,
    reader: KvReader,
    metrics: PrometheusHandle,
) -> Router {
    Arc::new(Service::new(config, node, reader, metrics)).router()
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of an earlier process may still be dying.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// How long clients have to get their last answers.
const GOODBYE: Duration = Duration::from_millis(100);
