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
//! [`KEYS`] describes every key. `raftd run --help` and the page `CONFIGURATION.md` are generated
//! from it. A new key needs a field in [`Config`] and a line in [`KEYS`].

mod host;
mod keys;
mod mistake;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use raft_core::NodeId;
use raft_node::timers::Timing;
use raft_node::wire::MAX_CLUSTER_NAME;
use raft_node::{Bounds, Options};
use serde::{Deserialize, Serialize};

pub use host::Host;
use host::is_origin;
pub use keys::{IfAbsent, KEYS, Key, TABLES, Table, help, of_table, page};
use mistake::Source;
pub use mistake::{ConfigError, KeyError};

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
    /// Where it serves `/livez`, `/readyz` and `/metrics`, besides the address for clients, which may
    /// have no room left. In the clear also if there are certificates. None by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen_health: Option<String>,
    /// Under which further names or IP addresses clients reach it, without ports. Requests whose
    /// `Host` is another one are refused. The hosts of its own addresses need not be listed, nor
    /// `localhost` for clients on the same machine.
    #[serde(default)]
    pub names: Vec<String>,
    /// From which origins pages in browsers may send requests, such as `https://app.example`. None by
    /// default.
    #[serde(default)]
    pub allowed_origins: Vec<String>,
    /// How many threads serve clients; 2 by default.
    #[serde(default = "two")]
    pub threads: usize,
    /// How many connections of clients are open at once; for one more, the one that has been idle for
    /// longest is closed. 2,000 by default.
    #[serde(default = "two_thousand")]
    pub max_connections: usize,
    /// How many of them one IPv4 address, or one IPv6 network of 64 bits, may have; half of
    /// `max_connections` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections_per_address: Option<usize>,
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

/// The maximum value of `snapshots.log_mib`.
const MAX_LOG_MIB: u64 = 256;

/// The maximum value of all other sizes and rates in MiB: 1 TiB.
const MAX_MIB: u64 = 1 << 20;

impl TimingConfig {
    fn check(&self) -> Result<(), KeyError> {
        let TimingConfig { election_min, election_max, heartbeat } = self;
        let text = |time: &Duration| humantime::format_duration(*time).to_string();
        if heartbeat.is_zero() {
            return KeyError::refuse("timing.heartbeat", "must be above 0");
        }
        if heartbeat.saturating_mul(2) > *election_min {
            let (heartbeat, election_min) = (text(heartbeat), text(election_min));
            let message = format!(
                "{heartbeat} must be at most half of the shortest election timeout, \
                 timing.election_min, which is {election_min}"
            );
            return KeyError::refuse("timing.heartbeat", message);
        }
        if election_min >= election_max {
            let (shortest, longest) = (text(election_min), text(election_max));
            let message =
                format!("{longest} must be above timing.election_min, which is {shortest}");
            return KeyError::refuse("timing.election_max", message);
        }
        Ok(())
    }
}

fn check_address(key: &str, address: &str) -> Result<(), KeyError> {
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    if port.is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        return Ok(());
    }
    KeyError::refuse(key, format!("\"{address}\" is not an address like host:port"))
}

fn two() -> usize {
    2
}

fn two_thousand() -> usize {
    2000
}

fn cache() -> usize {
    128
}

fn request_timeout() -> Duration {
    Duration::from_secs(5)
}

impl Config {
    /// Reads a configuration file. Relative paths in it are resolved against the directory of the
    /// file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or its content cannot be used.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
        let source = Source { path, text: &text };
        let mut config: Config = toml::from_str(&text).map_err(|error| source.syntax(&error))?;
        config.check().map_err(|error| source.mistake(&error))?;
        let base = path.parent().unwrap_or(Path::new(""));
        config.data = base.join(&config.data);
        if let Some(tls) = &mut config.tls {
            for file in [&mut tls.authority, &mut tls.certificate, &mut tls.key] {
                *file = base.join(&*file);
            }
        }
        Ok(config)
    }

    /// Checks the ranges of values, and the rules that relate several keys.
    fn check(&self) -> Result<(), KeyError> {
        if !(1..=MAX_CLUSTER_NAME).contains(&self.cluster.len()) {
            return KeyError::refuse("cluster", format!("1 to {MAX_CLUSTER_NAME} bytes long"));
        }
        self.check_members()?;
        for (key, address) in [
            ("listen_peers", &self.listen_peers),
            ("listen_clients", &self.listen_clients),
            ("listen_health", &self.listen_health),
        ] {
            if let Some(address) = address {
                check_address(key, address)?;
            }
        }
        let above_0 = [
            ("threads", self.threads as u64),
            ("max_connections", self.max_connections as u64),
            ("max_connections_per_address", self.connections_per_address() as u64),
            ("snapshots.log_mib", self.snapshots.log_mib),
            ("snapshots.mib_per_second", self.snapshots.mib_per_second),
        ];
        for (key, value) in above_0 {
            if value == 0 {
                return KeyError::refuse(key, "must be above 0");
            }
        }
        if let Some(name) = self.names.iter().find(|name| Host::parse(name).is_none()) {
            let message = format!("\"{name}\" is not a name or an IP address without a port");
            return KeyError::refuse("names", message);
        }
        if let Some(origin) = self.allowed_origins.iter().find(|text| !is_origin(text)) {
            let message = format!("\"{origin}\" is not an origin like https://app.example");
            return KeyError::refuse("allowed_origins", message);
        }
        if self.request_timeout.is_zero() {
            return KeyError::refuse("request_timeout", "must be above 0");
        }
        if self.snapshots.log_mib > MAX_LOG_MIB {
            let message = format!("must be at most {MAX_LOG_MIB}: the log is kept in memory");
            return KeyError::refuse("snapshots.log_mib", message);
        }
        if self.snapshots.mib_per_second > MAX_MIB {
            return KeyError::refuse(
                "snapshots.mib_per_second",
                format!("must be at most {MAX_MIB}"),
            );
        }
        if self.cache_mib as u64 > MAX_MIB {
            return KeyError::refuse("cache_mib", format!("must be at most {MAX_MIB}"));
        }
        self.timing.check()
    }

    fn check_members(&self) -> Result<(), KeyError> {
        let mut ids = BTreeSet::new();
        for (number, member) in (1..).zip(&self.members) {
            let key = |name| format!("members[{number}].{name}");
            if member.id == 0 {
                return KeyError::refuse(key("id"), "must be at least 1");
            }
            if !ids.insert(member.id) {
                return KeyError::refuse(key("id"), format!("two members have id {}", member.id));
            }
            check_address(&key("peer"), &member.peer)?;
            check_address(&key("client"), &member.client)?;
        }
        if ids.contains(&self.id) {
            return Ok(());
        }
        let ids: Vec<u64> = ids.into_iter().collect();
        KeyError::refuse("id", format!("{} is not among the members {ids:?}", self.id))
    }

    /// Returns the member that is this server.
    fn own(&self) -> Result<&Member, KeyError> {
        let own = self.member(NodeId(self.id));
        own.ok_or_else(|| KeyError::new("id", format!("{} is not a member", self.id)))
    }

    /// Returns the full name of a key in this server's table of `members`.
    fn own_key(&self, name: &str) -> String {
        let place = self.members.iter().position(|member| member.id == self.id);
        format!("members[{}].{name}", place.map_or(0, |place| place + 1))
    }

    /// Returns the member with this id.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id.0)
    }

    /// Returns the address on which to listen for clients.
    ///
    /// # Errors
    ///
    /// The address cannot be resolved.
    pub fn client_address(&self) -> Result<SocketAddr, KeyError> {
        match &self.listen_clients {
            Some(address) => resolve("listen_clients", address),
            None => resolve(&self.own_key("client"), &self.own()?.client),
        }
    }

    /// Returns the additional address for `/livez`, `/readyz` and `/metrics`, if there is one.
    ///
    /// # Errors
    ///
    /// The address cannot be resolved.
    pub fn health_address(&self) -> Result<Option<SocketAddr>, KeyError> {
        let address = self.listen_health.as_deref();
        address.map(|address| resolve("listen_health", address)).transpose()
    }

    /// Returns the maximum number of connections of one client address.
    pub fn connections_per_address(&self) -> usize {
        self.max_connections_per_address.unwrap_or(self.max_connections.div_ceil(2))
    }

    /// Returns the hosts under which clients on any machine can reach this server.
    pub fn hosts(&self) -> BTreeSet<Host> {
        let own = self.own().map(|member| member.client.as_str()).ok();
        let addresses = [own, self.listen_clients.as_deref(), self.listen_health.as_deref()];
        let hosts = addresses.into_iter().flatten().filter_map(Host::of_authority);
        // An unspecified address such as 0.0.0.0 means all addresses of this machine, and is not a
        // host.
        let hosts = hosts.filter(|host| !matches!(host, Host::Ip(ip) if ip.is_unspecified()));
        hosts.chain(self.names.iter().filter_map(|name| Host::parse(name))).collect()
    }

    /// Returns the address on which to listen for other servers.
    ///
    /// # Errors
    ///
    /// The address cannot be resolved.
    pub fn peer_address(&self) -> Result<SocketAddr, KeyError> {
        match &self.listen_peers {
            Some(address) => resolve("listen_peers", address),
            None => resolve(&self.own_key("peer"), &self.own()?.peer),
        }
    }

    /// Resolves the addresses of all members.
    ///
    /// # Errors
    ///
    /// One of them cannot be resolved.
    pub fn resolve_members(&self) -> Result<(), KeyError> {
        for (number, member) in (1..).zip(&self.members) {
            resolve(&format!("members[{number}].peer"), &member.peer)?;
            resolve(&format!("members[{number}].client"), &member.client)?;
        }
        Ok(())
    }

    /// Returns the options for the node.
    ///
    /// # Errors
    ///
    /// The address to listen on cannot be resolved.
    pub fn node_options(&self) -> Result<Options, KeyError> {
        let listen = self.peer_address()?;
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

fn resolve(key: &str, address: &str) -> Result<SocketAddr, KeyError> {
    let unknown = |why: &dyn std::fmt::Display| {
        KeyError::new(key, format!("cannot resolve \"{address}\": {why}"))
    };
    let mut found = address.to_socket_addrs().map_err(|error| unknown(&error))?;
    found.next().ok_or_else(|| unknown(&"it has no address"))
}
