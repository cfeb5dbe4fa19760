//! The configuration of one server, a TOML file:
//!
//! ```toml
//! cluster = "demo"
//! id = 1
//! data = "data/node-1"            # relative to the file
//!
//! [[members]]                     # the same on every server; ids never change, addresses may
//! id = 1
//! peer = "10.0.0.1:7201"          # where the other servers reach it
//! client = "10.0.0.1:7101"        # where clients reach it
//! # .. and the others
//! ```
//!
//! Everything else has a default: see [`Config`].

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use miette::{Diagnostic, NamedSource, SourceSpan};
use raft_core::NodeId;
use raft_node::timers::Timing;
use raft_node::{Bounds, Options};
use serde::{Deserialize, Serialize};

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of the cluster.
    pub cluster: String,
    /// Which member this server is.
    pub id: u64,
    /// Where it keeps its data.
    pub data: PathBuf,
    /// Where it listens for other servers, if not at its own `peer` address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen_peers: Option<String>,
    /// Where it listens for clients, if not at its own `client` address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen_clients: Option<String>,
    /// How many threads serve clients; 2 by default.
    #[serde(default = "two")]
    pub threads: usize,
    /// How many connections of clients are open at once; further ones are closed.
    #[serde(default = "thousand")]
    pub max_connections: usize,
    /// How much memory the key-value store may use as a cache, in MiB.
    #[serde(default = "cache")]
    pub cache_mib: usize,
    /// How long a request may take before its outcome is reported as unknown.
    #[serde(default = "request_timeout", with = "humantime_serde")]
    pub request_timeout: Duration,
    /// Elections and heartbeats.
    #[serde(default)]
    pub timing: TimingConfig,
    /// When to take snapshots.
    #[serde(default)]
    pub snapshots: SnapshotConfig,
    /// All servers.
    pub members: Vec<Member>,
    /// Certificates; none is for machines and networks that are trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
}

/// One server of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its number, at least 1.
    pub id: u64,
    /// Where other servers reach it, `host:port`.
    pub peer: String,
    /// Where clients reach it, `host:port`.
    pub client: String,
}

/// Elections and heartbeats (paper, sections 5.2 and 5.6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimingConfig {
    /// The shortest election timeout.
    #[serde(with = "humantime_serde")]
    pub election_min: Duration,
    /// The longest.
    #[serde(with = "humantime_serde")]
    pub election_max: Duration,
    /// How often a leader shows that it is alive.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
}

impl Default for TimingConfig {
    fn default() -> TimingConfig {
        let Timing { election_min, election_max, heartbeat } = Timing::default();
        TimingConfig { election_min, election_max, heartbeat }
    }
}

/// When to take snapshots, and how fast to write them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnapshotConfig {
    /// How long the log may grow, in MiB (or a quarter of the last snapshot, if that is more).
    pub log_mib: u64,
    /// How many MiB per second are written.
    pub mib_per_second: u64,
}

impl Default for SnapshotConfig {
    fn default() -> SnapshotConfig {
        let bounds = Bounds::default();
        SnapshotConfig {
            log_mib: bounds.snapshot_log_bytes >> 20,
            mib_per_second: bounds.snapshot_rate >> 20,
        }
    }
}

/// Certificates, as PEM files; relative to the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Who signs the certificates of servers, and of clients.
    pub authority: PathBuf,
    /// This server's certificate; it must name `node-<id>` and the host that clients use.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Whether clients need a certificate too.
    #[serde(default)]
    pub clients_need_certificates: bool,
}

fn two() -> usize {
    2
}

fn thousand() -> usize {
    1000
}

fn cache() -> usize {
    128
}

fn request_timeout() -> Duration {
    Duration::from_secs(5)
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{message}")]
    #[diagnostic(help("the fields are described in `raftd run --help`"))]
    Parse {
        /// What is wrong.
        message: String,
        /// The file's text.
        #[source_code]
        text: NamedSource<String>,
        /// Where in it.
        #[label("here")]
        place: Option<SourceSpan>,
    },
    /// What it says cannot be.
    #[error("{}: {message}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

impl Config {
    /// Reads a configuration file. Paths in it become relative to where it stands.
    ///
    /// # Errors
    ///
    /// It cannot be read, or makes no sense.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
        let mut config: Config = toml::from_str(&text).map_err(|error| ConfigError::Parse {
            message: error.message().to_owned(),
            place: error.span().map(SourceSpan::from),
            text: NamedSource::new(path.display().to_string(), text.clone()),
        })?;
        let base = path.parent().unwrap_or(Path::new(""));
        config.data = base.join(&config.data);
        if let Some(tls) = &mut config.tls {
            for file in [&mut tls.authority, &mut tls.certificate, &mut tls.key] {
                *file = base.join(&*file);
            }
        }
        match config.complaint() {
            None => Ok(config),
            Some(message) => Err(ConfigError::Wrong { path: path.to_owned(), message }),
        }
    }

    fn complaint(&self) -> Option<String> {
        let mut ids: Vec<u64> = self.members.iter().map(|member| member.id).collect();
        ids.sort_unstable();
        let twice = ids.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
        let addresses = self.members.iter().flat_map(|member| [&member.peer, &member.client]);
        let bad = addresses.into_iter().find(|address| {
            let port = address.rsplit_once(':').map(|(_, port)| port);
            port.is_none_or(|port| port.parse::<u16>().is_err())
        });
        if let Some(id) = twice {
            Some(format!("two members have id {id}"))
        } else if ids.first() == Some(&0) {
            Some("ids begin at 1".to_owned())
        } else if !ids.contains(&self.id) {
            Some(format!("id {} is not among the members {ids:?}", self.id))
        } else if let Some(address) = bad {
            Some(format!("\"{address}\" is not an address like host:port"))
        } else if self.threads == 0 || self.max_connections == 0 {
            Some("threads and max_connections must be above 0".to_owned())
        } else if self.snapshots.log_mib == 0 || self.snapshots.mib_per_second == 0 {
            Some("snapshots need a log_mib and a mib_per_second above 0".to_owned())
        } else if self.snapshots.log_mib > 256 {
            Some("snapshots.log_mib is at most 256: the log is kept in memory".to_owned())
        } else {
            None
        }
    }

    /// This server among the members.
    fn own(&self) -> Result<&Member, String> {
        self.member(NodeId(self.id)).ok_or_else(|| format!("{} is not a member", self.id))
    }

    /// A member by its id.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id.0)
    }

    /// Where to listen for clients.
    ///
    /// # Errors
    ///
    /// The address cannot be resolved.
    pub fn client_address(&self) -> Result<SocketAddr, String> {
        resolve(self.listen_clients.as_ref().unwrap_or(&self.own()?.client))
    }

    /// The part that is for the node.
    ///
    /// # Errors
    ///
    /// The address to listen on cannot be resolved.
    pub fn node_options(&self) -> Result<Options, String> {
        let listen = resolve(self.listen_peers.as_ref().unwrap_or(&self.own()?.peer))?;
        let voters: BTreeMap<NodeId, String> =
            self.members.iter().map(|member| (NodeId(member.id), member.peer.clone())).collect();
        let data = self.data.clone();
        let mut options = Options::new(&self.cluster, NodeId(self.id), voters, listen, data);
        let TimingConfig { election_min, election_max, heartbeat } = self.timing;
        options.timing = Timing { election_min, election_max, heartbeat };
        options.bounds.request_timeout = self.request_timeout;
        options.bounds.snapshot_log_bytes = self.snapshots.log_mib << 20;
        options.bounds.compaction_patience = self.snapshots.log_mib << 21;
        options.bounds.snapshot_rate = self.snapshots.mib_per_second << 20;
        Ok(options)
    }
}

fn resolve(address: &str) -> Result<SocketAddr, String> {
    let mut found =
        address.to_socket_addrs().map_err(|error| format!("cannot resolve {address}: {error}"))?;
    found.next().ok_or_else(|| format!("{address} has no address"))
}
