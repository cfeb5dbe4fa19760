//! The metrics that a server exposes at `/metrics`: their descriptions, and the counting of
//! requests and connections of clients.

use std::fmt::Write as _;
use std::io;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use hyper::Method;
use metrics::{Gauge, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use raft_node::metrics::{Kind, Metric, counter, describe, gauge, histogram};

use super::ServerError;
use crate::api::Outcome;

/// The metrics of a server in addition to those of its node.
const METRICS: &[Metric] = &[
    histogram(
        "http_request_duration_seconds",
        Unit::Seconds,
        &["method", "route", "outcome"],
        "How long requests took to be answered, by what became of them: done, not_done, unknown, or \
         abandoned by the client.",
    ),
    counter("http_responses_total", &["code"], "Responses by status code."),
    gauge(
        "http_connections",
        Unit::Count,
        &["state"],
        "Connections of clients: active ones have a request under way, idle ones have none.",
    ),
    counter(
        "http_refused_connections_total",
        &["reason"],
        "Connections of clients that were refused because there were too many, in all or from one \
         address.",
    ),
    counter(
        "http_closed_idle_connections_total",
        &[],
        "Connections of clients that were closed while idle, to make room for others.",
    ),
    counter(
        "http_refused_requests_total",
        &[],
        "Requests with a foreign Host or an Origin that is not allowed.",
    ),
    counter(
        "http_broken_connections_total",
        &[],
        "Connections of clients that ended in an error: no HTTP, no TLS, broken off, or too slow.",
    ),
    gauge("raftd_build_info", Unit::Count, &["version"], "1, with the version of the program."),
    Metric {
        name: "process_cpu_seconds_total",
        kind: Kind::Counter,
        unit: Unit::Seconds,
        labels: &[],
        help: "CPU time of the process, user and system, in whole seconds.",
    },
    gauge("process_open_fds", Unit::Count, &[], "Open file descriptors."),
    gauge("process_max_fds", Unit::Count, &[], "The limit on open file descriptors."),
    gauge("process_threads", Unit::Count, &[], "Threads of the process."),
    gauge("process_resident_memory_bytes", Unit::Bytes, &[], "Resident memory."),
    gauge("process_virtual_memory_bytes", Unit::Bytes, &[], "Virtual memory."),
    gauge("process_virtual_memory_max_bytes", Unit::Bytes, &[], "The limit on virtual memory."),
    gauge(
        "process_start_time_seconds",
        Unit::Seconds,
        &[],
        "When the process started, since the Unix epoch.",
    ),
];

/// Returns every metric that a server exposes.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    raft_node::metrics::METRICS.iter().chain(METRICS)
}

/// Returns the text of the page `METRICS.md`.
pub fn page() -> String {
    let mut text = "# Metrics\n\n\
         What `GET /metrics` exposes, in Prometheus' text format.\n\n\
         | metric | kind | unit | labels | what it says |\n| --- | --- | --- | --- | --- |\n"
        .to_owned();
    for Metric { name, kind, unit, labels, help } in all() {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let (kind, unit, labels) = (kind.name(), unit.as_str(), labels.join(", "));
        let _ = writeln!(text, "| `{name}` | {kind} | {unit} | {labels} | {help} |");
    }
    text
}

/// The upper bounds of the histogram buckets for latencies, in seconds.
const LATENCIES: [f64; 12] =
    [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0];

/// The upper bounds of the histogram buckets for durations of snapshots, in seconds.
const LONG_TIMES: [f64; 8] = [0.01, 0.1, 0.5, 1.0, 5.0, 20.0, 60.0, 300.0];

/// The upper bounds of the histogram buckets for sizes, from 1 KiB to 16 GiB.
const SIZES: [f64; 7] =
    [1024.0, 16_384.0, 1_048_576.0, 16_777_216.0, 268_435_456.0, 1_073_741_824.0, 17_179_869_184.0];

/// Installs the recorder of metrics. A process can do this only once.
///
/// # Errors
///
/// The process already has a recorder.
pub fn install() -> Result<PrometheusHandle, ServerError> {
    let snapshots = Matcher::Full("raft_snapshot_duration_seconds".to_owned());
    let handle = PrometheusBuilder::new()
        .set_buckets(&LATENCIES)
        .and_then(|builder| builder.set_buckets_for_metric(snapshots, &LONG_TIMES))
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &SIZES)
        })
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| ServerError::System(io::Error::other(error)))?;
    describe(all());
    metrics::gauge!("raftd_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    drop(connections());
    // These metrics are exposed even before their first event.
    for reason in ["address", "server"] {
        drop(metrics::counter!("http_refused_connections_total", "reason" => reason));
    }
    drop(metrics::counter!("http_closed_idle_connections_total"));
    drop(metrics::counter!("http_refused_requests_total"));
    Ok(handle)
}

/// Returns the text for `/metrics`.
pub(super) fn render(handle: &PrometheusHandle) -> String {
    Collector::default().collect();
    handle.render()
}

/// Returns the gauges for active and for idle connections.
fn connections() -> (Gauge, Gauge) {
    let gauge = |state: &'static str| metrics::gauge!("http_connections", "state" => state);
    (gauge("active"), gauge("idle"))
}

/// A client's connection, which counts as open until this value is dropped.
#[derive(Debug)]
pub(super) struct OpenConnection {
    idle: Gauge,
}

impl OpenConnection {
    pub(super) fn new() -> OpenConnection {
        let (_, idle) = connections();
        idle.increment(1);
        OpenConnection { idle }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.idle.decrement(1);
    }
}

/// A request in progress. It is counted when this value is dropped, even if the client did not wait
/// for the answer.
struct RequestUnderWay {
    method: &'static str,
    route: String,
    outcome: &'static str,
    began: Instant,
    active: Gauge,
    idle: Gauge,
}

impl RequestUnderWay {
    fn new(request: &Request) -> RequestUnderWay {
        let (active, idle) = connections();
        active.increment(1);
        idle.decrement(1);
        let route = request.extensions().get::<MatchedPath>();
        RequestUnderWay {
            method: method(request.method()),
            route: route.map_or("none", MatchedPath::as_str).to_owned(),
            outcome: "abandoned",
            began: Instant::now(),
            active,
            idle,
        }
    }

    fn answered(&mut self, response: &Response) {
        self.outcome = match response.extensions().get() {
            Some(Outcome::Unknown) => "unknown",
            None if response.status().is_success() => "done",
            Some(Outcome::NotDone) | None => "not_done",
        };
        let code = response.status().as_str().to_owned();
        metrics::counter!("http_responses_total", "code" => code).increment(1);
    }
}

impl Drop for RequestUnderWay {
    fn drop(&mut self) {
        self.active.decrement(1);
        self.idle.increment(1);
        let route = std::mem::take(&mut self.route);
        metrics::histogram!(
            "http_request_duration_seconds",
            "method" => self.method, "route" => route, "outcome" => self.outcome
        )
        .record(self.began.elapsed());
    }
}

/// Returns the label for a method: its name if a route accepts it, and `other` for all other
/// methods, so that a client cannot create new labels.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Measures a request.
pub(super) async fn measure(request: Request, next: Next) -> Response {
    let mut under_way = RequestUnderWay::new(&request);
    let response = next.run(request).await;
    under_way.answered(&response);
    response
}
