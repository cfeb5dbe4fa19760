//! The configuration of a server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use raft_core::{Limits, NodeId};

use crate::net::Security;
use crate::timers::Timing;

/// How a server is set up. [`Options::new`] has defaults for everything that need not be said.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name of the cluster; servers of other clusters are refused. At most
    /// [`MAX_CLUSTER_NAME`](crate::wire::MAX_CLUSTER_NAME) bytes.
    pub cluster: String,
    /// This server.
    pub id: NodeId,
    /// All servers that vote, this one included, with the addresses where their peers reach them; at
    /// most [`MAX_VOTERS`](crate::wire::MAX_VOTERS). The ids belong to the data and never change, the
    /// addresses may.
    pub voters: BTreeMap<NodeId, String>,
    /// Where this server listens for its peers.
    pub listen: SocketAddr,
    /// Where it keeps its data; made if it is not there.
    pub data: PathBuf,
    /// Election timeouts and heartbeats.
    pub timing: Timing,
    /// What may be under way to one follower.
    pub limits: Limits,
    /// Bounds on memory and disk.
    pub bounds: Bounds,
    /// TLS between servers; none is for machines and networks that are trusted.
    pub security: Option<Security>,
    /// Where to append a log of everything that the node was told and asked for.
    pub trace_log: Option<PathBuf>,
}

/// Bounds on what a server keeps, and how long clients wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// A snapshot is taken when the log after the last one takes this many bytes, or a quarter of
    /// that snapshot if that is more.
    pub snapshot_log_bytes: u64,
    /// A leader that has stored a snapshot compacts its log when no follower needs the entries any
    /// more, and in any case when the log takes this many bytes.
    pub compaction_patience: u64,
    /// How many bytes per second of a snapshot are written, so that the log's writes get through.
    pub snapshot_rate: u64,
    /// Commands are refused when the log takes this many bytes.
    pub log_bytes: u64,
    /// Commands are refused when this many are under way.
    pub unanswered: usize,
    /// How long a client waits for its answer at most; then it is told that the outcome of its command
    /// is unknown, or that its read was not served.
    pub request_timeout: Duration,
    /// Commands are refused, and entries from a leader dropped, when the state machine is this many
    /// entries behind.
    pub apply_backlog: u64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            snapshot_log_bytes: 32 << 20,
            compaction_patience: 64 << 20,
            snapshot_rate: 16 << 20,
            log_bytes: 1 << 30,
            unanswered: 8192,
            request_timeout: Duration::from_secs(5),
            apply_backlog: 65_536,
        }
    }
}

impl Options {
    /// Returns options with the default times and bounds, without TLS.
    pub fn new(
        cluster: &str,
        id: NodeId,
        voters: BTreeMap<NodeId, String>,
        listen: SocketAddr,
        data: PathBuf,
    ) -> Options {
        Options {
            cluster: cluster.to_owned(),
            id,
            voters,
            listen,
            data,
            timing: Timing::default(),
            limits: Limits { batch: 512, window: 8192, reads: 64 },
            bounds: Bounds::default(),
            security: None,
            trace_log: None,
        }
    }
}
