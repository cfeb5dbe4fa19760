//! The HTTP service of a simulated server: the routes that `raftd` serves, and the path from there
//! to the replica and back, without sockets and threads.
//!
//! The routes wait for answers and for time-outs as they do in production. Their futures are polled
//! after they were woken. Tokio's clock stands still until the simulation moves it.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use axum::Router;
use axum::body::{self, Body};
use axum::http::header::{ETAG, HOST, LOCATION};
use axum::http::{HeaderMap, HeaderName, Request};
use metrics_exporter_prometheus::PrometheusBuilder;
use raft_core::{Bytes, NodeId};
use raft_kv::command::MAX_VALUE;
use raft_kv::config::Config;
use raft_kv::server::Service as Routes;
use raft_kv::store::KvReader;
use raft_node::pending_requests::Waiting;
use raft_node::replica::Replica;
use raft_node::shell::ProposalId;
use raft_node::{self as node, NodeHandle};
use serde_json::json;
use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc;
use tower_service::Service;

use crate::failure::Failure;

/// The number of requests that may wait for the replica, as in production.
const REQUESTS: usize = 8192;

/// Returns the address at which clients reach a server.
pub fn client_address(id: NodeId) -> String {
    format!("{id}:7101")
}

/// Returns the server that clients reach at a URL.
pub fn server_at(url: &str) -> Option<NodeId> {
    let (name, _) = url.strip_prefix("http://")?.split_once(':')?;
    Some(NodeId(name.strip_prefix('n')?.parse().ok()?))
}

/// Commands that wait for an answer, each with the time of its arrival on the server's clock.
pub(super) type Proposed = BTreeMap<ProposalId, (Duration, Bytes)>;

/// An HTTP request of a client.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HttpRequest {
    /// Its method.
    pub method: &'static str,
    /// Its path.
    pub path: String,
    /// Its headers, but for `Host`.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// An HTTP response of a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpResponse {
    /// Its status.
    pub status: u16,
    /// The header `ETag`.
    pub etag: Option<String>,
    /// The header `Location`.
    pub location: Option<String>,
    /// Its body.
    pub body: Vec<u8>,
}

/// The id of a request at a server, from its arrival until it is answered or its client hangs up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub u64);

/// Tokio's clock, which shows the simulation's time as of the last move.
pub(super) struct HttpClock {
    runtime: Runtime,
    shown: Duration,
}

impl HttpClock {
    pub(super) fn new() -> io::Result<HttpClock> {
        let mut runtime = runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build()?;
        Ok(HttpClock { runtime, shown: Duration::ZERO })
    }

    /// Moves the clock. Time-outs that are due wake the futures that wait for them.
    pub(super) fn advance_to(&mut self, now: Duration) {
        let time = now.saturating_sub(self.shown);
        if !time.is_zero() {
            self.shown = now;
            self.runtime.block_on(tokio::time::advance(time));
        }
    }
}

/// Whether a future was woken since it was last polled.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Woken>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Exchange {
    response: Pin<Box<dyn Future<Output = HttpResponse>>>,
    woken: Arc<Woken>,
}

/// The HTTP server of one process.
pub(super) struct HttpServer {
    router: Router,
    address: String,
    requests: mpsc::Receiver<node::Request>,
    /// The clients that wait for the replica.
    pub(super) waiting: Waiting,
    exchanges: BTreeMap<ExchangeId, Exchange>,
}

impl HttpServer {
    pub(super) fn new(
        id: NodeId,
        servers: u64,
        request_timeout: Duration,
        reader: KvReader,
    ) -> Result<HttpServer, Failure> {
        let config = config(id, servers, request_timeout)?;
        let (sender, requests) = mpsc::channel(REQUESTS);
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        Ok(HttpServer {
            router: Routes::new(config, NodeHandle::new(sender), reader, metrics).router(),
            address: client_address(id),
            requests,
            waiting: Waiting::default(),
            exchanges: BTreeMap::new(),
        })
    }

    /// Passes a request that arrives to the routes.
    pub(super) fn receive(&mut self, id: ExchangeId, request: &HttpRequest) -> Result<(), Failure> {
        let HttpRequest { method, path, headers, body } = request;
        let mut builder = Request::builder().method(*method).uri(path);
        builder = builder.header(HOST, &self.address);
        for (name, value) in headers {
            builder = builder.header(*name, value);
        }
        let answer = self.router.call(builder.body(Body::from(body.clone()))?);
        let response = Box::pin(async move {
            let Ok(answer) = answer.await;
            let (head, body) = answer.into_parts();
            let body = body::to_bytes(body, 2 * MAX_VALUE).await.unwrap_or_default();
            HttpResponse {
                status: head.status.as_u16(),
                etag: text(&head.headers, &ETAG),
                location: text(&head.headers, &LOCATION),
                body: body.to_vec(),
            }
        });
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        self.exchanges.insert(id, Exchange { response, woken });
        Ok(())
    }

    /// Drops a request whose client is gone.
    pub(super) fn hang_up(&mut self, id: ExchangeId) {
        self.exchanges.remove(&id);
    }

    /// Returns whether a request is not answered yet.
    pub(super) fn has(&self, id: ExchangeId) -> bool {
        self.exchanges.contains_key(&id)
    }

    /// Returns the next request of the routes to the replica.
    pub(super) fn next_request(&mut self) -> Option<node::Request> {
        self.requests.try_recv().ok()
    }

    /// Passes a request of the routes to the replica, as the owner task does in production. A
    /// command that the replica has accepted is kept among `proposed`.
    pub(super) fn ask(
        &mut self,
        replica: &mut Replica,
        now: Duration,
        request: node::Request,
        proposed: &mut Proposed,
    ) {
        match request {
            node::Request::Propose(command, answer) => {
                let taken = self.waiting.propose(replica, now, command.clone(), answer);
                proposed.extend(taken.map(|id| (id, (now, command))));
            }
            node::Request::Read(answer) => self.waiting.read(replica, now, answer),
            node::Request::Status(answer) => {
                let _ = answer.send(replica.status(now));
            }
            node::Request::TakeSnapshot(answer) => {
                replica.take_snapshot();
                let _ = answer.send(replica.shell().node().last_applied);
            }
            // No route sends this request.
            node::Request::Shutdown => {}
        }
    }

    /// Polls the futures that were woken. Returns the answers that are ready.
    pub(super) fn poll(&mut self, clock: &HttpClock) -> Vec<(ExchangeId, HttpResponse)> {
        let _context = clock.runtime.enter();
        let mut ready = Vec::new();
        self.exchanges.retain(|id, Exchange { response, woken }| {
            if !woken.0.swap(false, Ordering::Relaxed) {
                return true;
            }
            let waker = Waker::from(Arc::clone(woken));
            match response.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Pending => true,
                Poll::Ready(response) => {
                    ready.push((*id, response));
                    false
                }
            }
        });
        ready
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// Returns a configuration of this cluster, with the settings that the routes read.
fn config(id: NodeId, servers: u64, request_timeout: Duration) -> Result<Config, Failure> {
    let member = |id| json!({ "id": id, "peer": format!("n{id}:7201"), "client": client_address(NodeId(id)) });
    Ok(serde_json::from_value(json!({
        "cluster": "simulated",
        "id": id.0,
        "data": "",
        "request_timeout": humantime::format_duration(request_timeout).to_string(),
        "members": (1..=servers).map(member).collect::<Vec<_>>(),
    }))?)
}
