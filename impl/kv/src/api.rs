//! The HTTP interface between clients and servers: requests, answers and their data types.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /v1/kv/{key}` | 200 with the value and its version as `ETag`; 404 |
//! | `PUT /v1/kv/{key}`, the value as the body | 200 [`Written`] |
//! | `DELETE /v1/kv/{key}` | 200 [`Deleted`] |
//! | `POST /v1/kv/{key}/append`, the suffix as the body | 200 [`Written`] |
//! | `POST /v1/kv/{key}/cas`, the new value as the body | 200 [`Written`], or 412 [`Failure`], with the key's current version as `ETag` if the key exists |
//! | `POST /v1/sessions` | 201 [`Session`] |
//! | `POST /v1/snapshot` | 202 [`SnapshotStarted`] |
//! | `GET /v1/status` | 200 [`Status`] |
//! | `GET /livez` | 200 when the process runs and the node in it answers, else 503 |
//! | `GET /readyz`, or `/healthz` | 200 when the server also knows a leader and has applied at least one entry, else 503 |
//! | `GET /metrics` | 200, Prometheus' text format |
//!
//! A key in a path is a percent-encoded byte string. A compare-and-set needs a header, either
//! `If-Match: "<version>"` with the version that the key must have, or `If-None-Match: *` if the
//! key must not exist. Versions are log indexes: a key's version is the index of the entry that
//! last changed it.
//!
//! A server that is not the leader answers requests for keys and sessions with 307 and the leader's
//! address in `Location`. If it knows no leader, it answers 503 with `Retry-After`. Every request
//! needs a `Host` header with a name of the server; any other name is answered with 421. An
//! `Origin` header must name an allowed origin; any other origin is answered with 403. All other
//! answers are a [`Failure`].

use serde::{Deserialize, Serialize};

/// The request header that names the session ([`Session::client`]).
pub const CLIENT_HEADER: &str = "raft-client";

/// The request header with the serial number of a request in its session: 1, 2, 3, and so on. A
/// retry has the number of the request that it repeats.
pub const SERIAL_HEADER: &str = "raft-serial";

/// The answer to a request that wrote a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The key's new version.
    pub version: u64,
    /// The length of the value now, in bytes.
    pub length: u64,
}

/// The answer to a delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// Whether the key existed.
    pub existed: bool,
}

/// A newly opened session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The id of the session, for the header [`CLIENT_HEADER`].
    pub client: u64,
}

/// The answer to a request for a snapshot: the server has started one, or one was already in
/// progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotStarted {
    /// The last applied index at the time of the request. A snapshot that the request starts covers
    /// at least this index.
    pub index: u64,
}

/// The answer to a request that was not done, or whose outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// An error code for programs, such as `not_found`, `too_large`, `overloaded`, `no_leader`.
    pub error: String,
    /// A message for people.
    pub message: String,
    /// The outcome of the command.
    pub outcome: Outcome,
}

/// The knowledge of a server about a command that it does not confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The command was not done and will never be done.
    NotDone,
    /// The server does not know: the command may have been done, or may still be done later.
    Unknown,
}

/// A server's view of itself and of its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The id of the server.
    pub id: u64,
    /// The name of its cluster.
    pub cluster: String,
    /// `follower`, `candidate` or `leader`.
    pub role: String,
    /// Its current term.
    pub term: u64,
    /// The leader of that term, if the server knows it.
    pub leader: Option<u64>,
    /// The index of the last entry of its log.
    pub last_index: u64,
    /// The last index of its log that is durable on its disk.
    pub durable_index: u64,
    /// The highest index known to be committed.
    pub commit_index: u64,
    /// The last index that the state machine reflects.
    pub applied_index: u64,
    /// The last index that its snapshot covers; 0 without a snapshot.
    pub snapshot_index: u64,
    /// The size of the log entries after the snapshot, in bytes.
    pub log_bytes: u64,
    /// The time since the server was started, in milliseconds.
    pub uptime_ms: u64,
    /// The version of the program.
    pub program_version: String,
    /// All servers of the cluster.
    pub members: Vec<Member>,
}

/// A member of the cluster, as seen by the server that answers. This can be the member itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The id of the server.
    pub id: u64,
    /// The address at which other servers reach the member.
    pub peer_address: String,
    /// The address at which clients reach the member.
    pub client_address: String,
    /// On a leader, the last index that is known to be on the member's disk.
    pub match_index: Option<u64>,
    /// On a leader, the index of the next entry to send to the member.
    pub next_index: Option<u64>,
    /// On a leader, the number of log entries that are not known to be on the member's disk.
    pub lag: Option<u64>,
    /// The time since the answering server last received a message from the member, in
    /// milliseconds. `None` if it has received none since it was started.
    pub last_heard_ms: Option<u64>,
    /// The reason why the answering server refuses the member's connections, if it refused one in
    /// the last 5 seconds.
    pub refused: Option<String>,
    /// The reason why the member refuses the answering server's connections, if it refused one in
    /// the last 5 seconds.
    pub refuses: Option<String>,
    /// On a leader, the state of the replication to the member.
    pub replication: Option<Replication>,
}

/// The state of the replication to a follower, as the leader sees it. If several variants apply,
/// the last of them in this list counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replication {
    /// The follower answers, and lacks at most the 8,192 entries that may be in transit to it.
    Current,
    /// The follower answers, but lacks more entries than that.
    Behind,
    /// The leader has received no message from the follower for a second, or for twice the longest
    /// election timeout if that is more.
    Silent,
    /// The leader is sending a snapshot to the follower. The follower need not answer before it has
    /// received the whole snapshot.
    Snapshot,
    /// The follower refuses the leader's connections, or the leader refuses the follower's
    /// connections.
    Refused,
}
