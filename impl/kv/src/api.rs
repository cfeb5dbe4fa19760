//! What clients and servers say to each other over HTTP, as data.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /v1/kv/{key}` | 200 with the value and its version as `ETag`; 404 |
//! | `PUT /v1/kv/{key}`, the value as the body | 200 [`Written`] |
//! | `DELETE /v1/kv/{key}` | 200 [`Deleted`] |
//! | `POST /v1/kv/{key}/append`, the suffix as the body | 200 [`Written`] |
//! | `POST /v1/kv/{key}/cas`, the new value as the body | 200 [`Written`], or 412 [`Failure`] with the present version as `ETag`, if there is one |
//! | `POST /v1/sessions` | 201 [`Session`] |
//! | `POST /v1/snapshot` | 202 [`SnapshotStarted`] |
//! | `GET /v1/status` | 200 [`Status`] |
//! | `GET /healthz` | 200 when the server knows a leader, else 503 |
//! | `GET /metrics` | 200, Prometheus' text format |
//!
//! A key in a path is percent-encoded bytes. A compare-and-set carries `If-Match: "<version>"`, the
//! version that must be there, or `If-None-Match: *`, for a key that must not exist. Versions are
//! log indexes: a key's version is the index of the entry that last changed it.
//!
//! A server that does not lead answers requests for keys and sessions with 307 and the leader's
//! address in `Location`, or 503 with `Retry-After` if it knows none. Every other answer than the
//! above is a [`Failure`].

use serde::{Deserialize, Serialize};

/// The request header that names the session ([`Session::client`]).
pub const CLIENT_HEADER: &str = "raft-client";

/// The request header that numbers a session's requests: 1, 2, 3, ..; a retry has the same number.
pub const SERIAL_HEADER: &str = "raft-serial";

/// A value was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The key's new version.
    pub version: u64,
    /// The length of the value now, in bytes.
    pub length: u64,
}

/// A key was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// Whether it existed.
    pub existed: bool,
}

/// A session was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its name, for the header [`CLIENT_HEADER`].
    pub client: u64,
}

/// A snapshot was begun, or one was under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotStarted {
    /// The last index that was applied when it was asked for; the snapshot covers at least that.
    pub index: u64,
}

/// Why a request was not, or perhaps not, done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A word for programs, such as `not_found`, `too_large`, `overloaded`, `no_leader`.
    pub error: String,
    /// A sentence for people.
    pub message: String,
    /// What became of the command.
    pub outcome: Outcome,
}

/// What a server knows of a command that it does not confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was not done and will never be done.
    NotDone,
    /// Nobody here knows: it may have been done, or may still be.
    Unknown,
}

/// How a server sees itself and its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The server.
    pub id: u64,
    /// The name of its cluster.
    pub cluster: String,
    /// `follower`, `candidate` or `leader`.
    pub role: String,
    /// Its current term.
    pub term: u64,
    /// The leader of that term, if it knows one.
    pub leader: Option<u64>,
    /// The index of the last entry of its log.
    pub last_index: u64,
    /// The last index that is on its disk.
    pub durable_index: u64,
    /// The highest index known to be committed.
    pub commit_index: u64,
    /// The last index that the state machine reflects.
    pub applied_index: u64,
    /// The last index that its snapshot covers; 0 without one.
    pub snapshot_index: u64,
    /// How many bytes the entries after the snapshot take.
    pub log_bytes: u64,
    /// How long it has been running, in milliseconds.
    pub uptime_ms: u64,
    /// The version of the program.
    pub program_version: String,
    /// All servers of the cluster.
    pub members: Vec<Member>,
}

/// A server, as another one, or it itself, sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The server.
    pub id: u64,
    /// Where its peers reach it.
    pub peer_address: String,
    /// Where clients reach it.
    pub client_address: String,
    /// On a leader, the last index known to be on that server's disk.
    pub match_index: Option<u64>,
    /// On a leader, the next index that it will send to that server.
    pub next_index: Option<u64>,
    /// On a leader, how many entries of its log are not known to be on that server's disk.
    pub lag: Option<u64>,
    /// How many milliseconds ago the seeing server last heard that one, if ever since it was started.
    pub last_heard_ms: Option<u64>,
    /// Why the seeing server refuses that one's connections, if it did so in the last 5 seconds.
    pub refused: Option<String>,
    /// Why that one refuses the seeing server's connections, if it did so in the last 5 seconds.
    pub refuses: Option<String>,
    /// On a leader, whether that server does its part.
    pub replication: Option<Replication>,
}

/// Whether a follower does its part, as the leader sees it: the first that is so, from below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replication {
    /// It answers, and has the log but for the 8,192 entries that may be under way to it.
    Current,
    /// It answers, and lacks more than that.
    Behind,
    /// It was not heard for a second, or twice the longest election timeout if that is more.
    Silent,
    /// It is being sent a snapshot, and need not answer before it has all of it.
    Snapshot,
    /// It refuses the leader, or the leader refuses it.
    Refused,
}
