//! The handlers for the requests of [`crate::api`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::BodyExt;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use hyper::{HeaderMap, StatusCode, Uri};
use metrics_exporter_prometheus::PrometheusHandle;
use raft_core::{Bytes, Index, NodeId};
use raft_node::{NodeHandle, NodeStatus, ProposeError, ReadError, Replication};
use tokio::sync::Semaphore;

use super::metrics;
use super::reply::{self, Refusal};
use super::requester::{self, Rules, SessionOwner};
use crate::api::{self, CLIENT_HEADER, SERIAL_HEADER, SnapshotStarted};
use crate::command::{Answer, ClientId, Command, MAX_KEY, MAX_VALUE, Operation, RequestId};
use crate::config::Config;
use crate::store::KvReader;

/// The maximum number of bytes of request bodies in memory at the same time. Further requests are
/// refused.
const BODIES: usize = 64 << 20;

/// The time that a client has to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The time that the node has to report its status. After this time it counts as not alive.
const LIFE_SIGN: Duration = Duration::from_secs(2);

/// The state that all request handlers share: the node, a reader of its state machine, the
/// configuration, the metrics and the limit on bodies.
#[derive(Debug)]
pub struct Service {
    config: Config,
    node: NodeHandle,
    reader: KvReader,
    began: Instant,
    metrics: PrometheusHandle,
    bodies: Semaphore,
}

type Shared = State<Arc<Service>>;
type Reply = Result<Response, Refusal>;

impl Service {
    /// Creates a service for `node`. `reader` reads the state machine of this node.
    pub fn new(
        config: Config,
        node: NodeHandle,
        reader: KvReader,
        metrics: PrometheusHandle,
    ) -> Arc<Service> {
        let (began, bodies) = (Instant::now(), Semaphore::new(BODIES));
        Arc::new(Service { config, node, reader, began, metrics, bodies })
    }

    /// Returns all routes. Each request carries a [`Requester`](super::Requester) as an extension;
    /// without one, the client's address counts as unknown.
    pub fn router(self: &Arc<Service>) -> Router {
        let routes = Router::new()
            .route("/v1/kv/{key}", get(read).put(put).delete(delete))
            .route("/v1/kv/{key}/append", post(append))
            .route("/v1/kv/{key}/cas", post(compare_and_set))
            .route("/v1/sessions", post(open_session))
            .route("/v1/snapshot", post(take_snapshot))
            .route("/v1/status", get(status))
            .merge(health_routes());
        self.finish(routes)
    }

    /// Returns the routes for health checks and metrics.
    pub(super) fn health_router(self: &Arc<Service>) -> Router {
        self.finish(health_routes())
    }

    fn finish(self: &Arc<Service>, routes: Router<Arc<Service>>) -> Router {
        routes
            .fallback(nothing_here)
            .method_not_allowed_fallback(not_like_this)
            .layer(from_fn_with_state(Rules::new(&self.config), requester::admit))
            .layer(axum::middleware::from_fn(metrics::measure))
            .with_state(self.clone())
    }

    /// Replicates a command and waits for its answer.
    async fn submit(&self, uri: &Uri, headers: &HeaderMap, operation: Operation) -> Reply {
        let command = Command { request: request_id(headers)?, operation };
        let command = command.encode().map_err(|e| Refusal::bad_request(e.to_string()))?;
        let proposal = self.node.propose(Bytes::from(command));
        let Ok(answer) = tokio::time::timeout(self.config.request_timeout, proposal).await else {
            return Err(Refusal::unknown("the command was not committed in time; it still may be"));
        };
        match answer {
            Ok(answer) => match Answer::decode(answer.as_slice()) {
                Ok(answer) => reply::applied(answer),
                Err(_) => Err(Refusal::unknown("the state machine's answer makes no sense")),
            },
            Err(ProposeError::NotLeader { leader }) => Err(self.elsewhere(leader, uri)),
            Err(error) => Err(reply::not_applied(error)),
        }
    }

    /// Returns a redirection to the leader.
    fn elsewhere(&self, leader: Option<NodeId>, uri: &Uri) -> Refusal {
        let Some(leader) = leader.and_then(|id| self.config.member(id)) else {
            return Refusal::no_leader();
        };
        let scheme = if self.config.tls.is_some() { "https" } else { "http" };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Refusal::elsewhere(&format!("{scheme}://{}{path}", leader.client))
    }

    /// Reads a body, within the limits on one body and on all bodies together.
    async fn body(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        if announced
            .and_then(|length| length.parse().ok())
            .is_some_and(|n: u64| n > MAX_VALUE as u64)
        {
            return Err(Refusal::too_large("a value", MAX_VALUE));
        }
        match tokio::time::timeout(BODY_TIMEOUT, self.collect(body)).await {
            Ok(collected) => collected.map(Bytes::from),
            Err(_) => Err(Refusal::new(
                StatusCode::REQUEST_TIMEOUT,
                "slow_body",
                format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs()),
            )),
        }
    }

    /// Collects a body from pieces of any size. Counts only the bytes that have arrived.
    async fn collect(&self, mut body: Body) -> Result<Vec<u8>, Refusal> {
        let mut collected = Vec::new();
        let mut room =
            self.bodies.try_acquire_many(0).map_err(|_| Refusal::overloaded("stopping"))?;
        while let Some(frame) = body.frame().await {
            let broken = |error| Refusal::bad_request(format!("the body is broken: {error}"));
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            if collected.len() + data.len() > MAX_VALUE {
                return Err(Refusal::too_large("a value", MAX_VALUE));
            }
            let more = self.bodies.try_acquire_many(u32::try_from(data.len()).unwrap_or(u32::MAX));
            let full = |_| Refusal::overloaded("too many bytes are being received");
            room.merge(more.map_err(full)?);
            collected.extend_from_slice(&data);
        }
        Ok(collected)
    }
}

fn health_routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/livez", get(is_alive))
        .route("/readyz", get(is_ready))
        .route("/healthz", get(is_ready))
        .route("/metrics", get(exposed_metrics))
}

async fn read(State(service): Shared, uri: Uri) -> Reply {
    let key = key(&uri)?;
    let barrier = service.node.read_barrier();
    match tokio::time::timeout(service.config.request_timeout, barrier).await {
        Ok(Ok(_)) => {}
        Ok(Err(ReadError::NotLeader { leader })) => return Err(service.elsewhere(leader, &uri)),
        Ok(Err(error)) => return Err(reply::not_read(error)),
        Err(_) => {
            let message = "no majority confirmed in time that this server still leads";
            return Err(Refusal::overloaded(message));
        }
    }
    match service.reader.get(key.as_slice()) {
        Ok(Some(found)) => Ok(reply::value(found.version, found.value)),
        Ok(None) => Err(Refusal::new(StatusCode::NOT_FOUND, "not_found", "there is no such key")),
        Err(error) => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Err(Refusal::new(status, "storage", error.to_string()))
        }
    }
}

async fn put(State(service): Shared, request: Request) -> Reply {
    let (head, body) = request.into_parts();
    unconditional(&head.headers)?;
    let key = key(&head.uri)?;
    let value = service.body(&head.headers, body).await?;
    service.submit(&head.uri, &head.headers, Operation::Put { key, value }).await
}

async fn delete(State(service): Shared, uri: Uri, headers: HeaderMap) -> Reply {
    unconditional(&headers)?;
    service.submit(&uri, &headers, Operation::Delete { key: key(&uri)? }).await
}

async fn append(State(service): Shared, request: Request) -> Reply {
    let (head, body) = request.into_parts();
    unconditional(&head.headers)?;
    let key = key(&head.uri)?;
    let suffix = service.body(&head.headers, body).await?;
    service.submit(&head.uri, &head.headers, Operation::Append { key, suffix }).await
}

async fn compare_and_set(State(service): Shared, request: Request) -> Reply {
    let (head, body) = request.into_parts();
    let (key, expected) = (key(&head.uri)?, expected_version(&head.headers)?);
    let value = service.body(&head.headers, body).await?;
    let operation = Operation::CompareAndSet { key, expected, value };
    service.submit(&head.uri, &head.headers, operation).await
}

async fn open_session(
    State(service): Shared,
    Extension(SessionOwner(owner)): Extension<SessionOwner>,
    uri: Uri,
) -> Reply {
    service.submit(&uri, &HeaderMap::new(), Operation::OpenSessionFor { owner }).await
}

async fn take_snapshot(State(service): Shared) -> Reply {
    let index = service.node.take_snapshot().await;
    let index = index.ok_or_else(|| Refusal::overloaded("the server is stopping"))?;
    Ok(reply::json(StatusCode::ACCEPTED, &SnapshotStarted { index: index.0 }))
}

async fn status(State(service): Shared) -> Reply {
    let node = service.node.status().await;
    let node = node.ok_or_else(|| Refusal::overloaded("the server is stopping"))?;
    let config = &service.config;
    let member = |member: &crate::config::Member| {
        let peer = node.peers.get(&NodeId(member.id)).cloned().unwrap_or_default();
        let progress = peer.progress;
        api::Member {
            id: member.id,
            peer_address: member.peer.clone(),
            client_address: member.client.clone(),
            match_index: progress.map(|progress| progress.match_index.0),
            next_index: progress.map(|progress| progress.next_index.0),
            lag: progress.map(|progress| node.last_index.since(progress.match_index)),
            last_heard_ms: peer.last_heard.map(milliseconds),
            refused: peer.refused,
            refuses: peer.refuses,
            replication: peer.replication.map(replication),
        }
    };
    let status = api::Status {
        id: config.id,
        cluster: config.cluster.clone(),
        role: node.role.to_owned(),
        term: node.term.0,
        leader: node.leader.map(|leader| leader.0),
        last_index: node.last_index.0,
        durable_index: node.durable_index.0,
        commit_index: node.commit_index.0,
        applied_index: node.applied_index.0,
        snapshot_index: node.snapshot_index.0,
        log_bytes: node.log_bytes,
        uptime_ms: milliseconds(service.began.elapsed()),
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        members: config.members.iter().map(member).collect(),
    };
    Ok(reply::json(StatusCode::OK, &status))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn replication(replication: Replication) -> api::Replication {
    match replication {
        Replication::Current => api::Replication::Current,
        Replication::Behind => api::Replication::Behind,
        Replication::Snapshot => api::Replication::Snapshot,
        Replication::Silent => api::Replication::Silent,
        Replication::Refused => api::Replication::Refused,
    }
}

/// Returns the status of the node, or a refusal if the node does not answer within [`LIFE_SIGN`].
async fn life_sign(service: &Service) -> Result<NodeStatus, Refusal> {
    match tokio::time::timeout(LIFE_SIGN, service.node.status()).await {
        Ok(Some(status)) => Ok(status),
        Ok(None) => Err(Refusal::overloaded("the server is stopping")),
        Err(_) => {
            let message = format!("the node has not answered for {} s", LIFE_SIGN.as_secs());
            Err(Refusal::overloaded(&message))
        }
    }
}

/// Reports whether the process and the task that owns the node are running.
async fn is_alive(State(service): Shared) -> Reply {
    life_sign(&service).await.map(|_| "ok\n".into_response())
}

/// Reports whether this server can serve clients or send them to the leader.
async fn is_ready(State(service): Shared) -> Reply {
    let status = life_sign(&service).await?;
    if status.leader.is_none() {
        Err(Refusal::no_leader())
    } else if status.applied_index == Index::ZERO {
        Err(Refusal::overloaded("the server has applied nothing yet"))
    } else {
        Ok("ok\n".into_response())
    }
}

async fn exposed_metrics(State(service): Shared) -> Response {
    let text = metrics::render(&service.metrics);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn nothing_here(uri: Uri) -> Refusal {
    let message = format!("there is nothing at {}", uri.path());
    Refusal::new(StatusCode::NOT_FOUND, "no_such_path", message)
}

async fn not_like_this(uri: Uri) -> Refusal {
    let message = format!("{} does not take this method", uri.path());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "no_such_method", message)
}

/// Returns the percent-decoded key in a path `/v1/kv/{key}` or `/v1/kv/{key}/..`.
fn key(uri: &Uri) -> Result<Bytes, Refusal> {
    let rest = uri.path().strip_prefix("/v1/kv/").unwrap_or_default();
    let encoded = rest.split('/').next().unwrap_or_default();
    let escapes = encoded.split('%').skip(1);
    let sound = |escape: &str| {
        escape.get(..2).is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    if !escapes.into_iter().all(sound) {
        return Err(Refusal::bad_request("in a path, % is written %25"));
    }
    let key: Vec<u8> = percent_encoding::percent_decode_str(encoded).collect();
    match key.len() {
        0 => Err(Refusal::bad_request("a key has at least one byte")),
        1..=MAX_KEY => Ok(Bytes::from(key)),
        _ => Err(Refusal::bad_request(format!("a key has at most {MAX_KEY} bytes"))),
    }
}

/// Refuses a request with a condition, because only compare-and-set supports conditions. A server
/// that ignored the condition could overwrite the value that the condition protects.
fn unconditional(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.contains_key(IF_MATCH) || headers.contains_key(IF_NONE_MATCH) {
        let message = "only POST /v1/kv/{key}/cas takes If-Match and If-None-Match";
        return Err(Refusal::bad_request(message));
    }
    Ok(())
}

/// Returns the id of the request, if it has one. The id is needed to apply a retried request
/// exactly once.
fn request_id(headers: &HeaderMap) -> Result<Option<RequestId>, Refusal> {
    let number = |name: &str| -> Result<Option<u64>, Refusal> {
        let Some(value) = headers.get(name) else { return Ok(None) };
        let number = value.to_str().ok().and_then(|value| value.parse().ok());
        let wrong = || Refusal::bad_request(format!("the header {name} must be a number"));
        number.ok_or_else(wrong).map(Some)
    };
    match (number(CLIENT_HEADER)?, number(SERIAL_HEADER)?) {
        (None, None) => Ok(None),
        (Some(client), Some(serial)) => Ok(Some(RequestId { client: ClientId(client), serial })),
        _ => {
            let message = format!("{CLIENT_HEADER} and {SERIAL_HEADER} belong together");
            Err(Refusal::bad_request(message))
        }
    }
}

/// Returns the version that a compare-and-set expects.
fn expected_version(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(IF_MATCH), text(IF_NONE_MATCH)) {
        (None, Some("*")) => Ok(None),
        (Some(tag), None) => {
            let version =
                tag.trim().trim_matches('"').parse().map_err(|_| {
                    Refusal::bad_request("If-Match must be a version, as ETag gave it")
                })?;
            Ok(Some(version))
        }
        _ => Err(Refusal::bad_request(
            "compare-and-set needs either `If-Match: \"<version>\"` or `If-None-Match: *`",
        )),
    }
}
