//! Three servers, and the links between them.

use std::net::TcpListener;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use itertools::Itertools;
use raft_kv::api::Status;
use raft_kv::client::{Client, Options};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::proxy::{Link, Mode};
use crate::server::Server;

/// The longest time that anything may take here before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// The ids of the servers.
pub(crate) const IDS: [u64; 3] = [1, 2, 3];

/// Three servers as processes. Every connection between two servers, or from a client to a server,
/// goes through a [`Link`].
#[derive(Debug)]
pub(crate) struct Cluster {
    servers: Vec<Server>,
    /// The links from each server to each other one, in the order that [`Cluster::link`] expects.
    links: Vec<Link>,
    /// The links from clients to each server.
    doors: Vec<Link>,
    /// The ports at which the servers serve clients. The doors lead to them.
    client_ports: Vec<u16>,
    pub(crate) runtime: Runtime,
    directory: TempDir,
}

impl Cluster {
    /// Starts three servers, with `extra` lines in each configuration, and waits for a leader.
    pub(crate) fn started(extra: &str) -> Cluster {
        let runtime = Runtime::new().expect("the system has threads");
        let ports = free_ports(6);
        let (peer_ports, client_ports) = ports.split_at(3);
        let link = |target: &u16| Link::new(runtime.handle(), *target);
        let doors: Vec<Link> = client_ports.iter().map(link).collect();
        let links: Vec<Link> = pairs().map(|(_, to)| link(&peer_ports[place(to)])).collect();
        let directory = tempfile::Builder::new().prefix("processes-").tempdir_in(ROOT);
        let mut cluster = Cluster {
            servers: Vec::new(),
            links,
            doors,
            client_ports: client_ports.to_vec(),
            runtime,
            directory: directory.expect("there is room for a directory"),
        };
        for id in IDS {
            let config = cluster.config(id, peer_ports[place(id)], extra);
            cluster.servers.push(Server::new(id, cluster.directory.path(), &config));
            cluster.start(id);
        }
        cluster.leader();
        cluster
    }

    fn config(&self, id: u64, peer_port: u16, extra: &str) -> String {
        let client_port = self.client_ports[place(id)];
        let member = |other: u64| {
            // A server does not connect to itself.
            let peer = if other == id { peer_port } else { self.link(id, other).port };
            let client = self.doors[place(other)].port;
            format!(
                "[[members]]\nid = {other}\npeer = \"127.0.0.1:{peer}\"\n\
                 client = \"127.0.0.1:{client}\"\n"
            )
        };
        let members: String = IDS.into_iter().map(member).collect();
        format!(
            "cluster = \"processes\"\nid = {id}\ndata = \"n{id}\"\n\
             listen_clients = \"127.0.0.1:{client_port}\"\n{extra}\n{members}"
        )
    }

    /// Returns the directory of the servers' files.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn server(&self, id: u64) -> &Server {
        &self.servers[place(id)]
    }

    pub(crate) fn server_mut(&mut self, id: u64) -> &mut Server {
        &mut self.servers[place(id)]
    }

    pub(crate) fn start(&mut self, id: u64) {
        self.server_mut(id).start();
    }

    pub(crate) fn kill(&mut self, id: u64) {
        self.server_mut(id).kill();
    }

    /// Returns the number of processes that were killed.
    pub(crate) fn kills(&self) -> u64 {
        self.servers.iter().map(|server| server.kills).sum()
    }

    /// Returns the link from one server to another.
    pub(crate) fn link(&self, from: u64, to: u64) -> &Link {
        let number = pairs().position(|pair| pair == (from, to));
        &self.links[number.expect("they are two servers")]
    }

    /// Returns the link from clients to a server.
    pub(crate) fn door(&self, id: u64) -> &Link {
        &self.doors[place(id)]
    }

    /// Sets the mode of all links between a server and the others.
    pub(crate) fn isolate(&self, id: u64, mode: Mode) {
        for other in others(id) {
            self.link(id, other).set(mode);
            self.link(other, id).set(mode);
        }
    }

    /// Opens every link, and lets every server run.
    pub(crate) fn heal(&mut self) {
        self.links.iter().chain(&self.doors).for_each(|link| link.set(Mode::Open));
        for server in &mut self.servers {
            server.go_on();
            server.start();
        }
    }

    /// Returns the number of connections that links have reset.
    pub(crate) fn resets(&self) -> u64 {
        self.links.iter().chain(&self.doors).map(Link::resets).sum()
    }

    /// Creates a client that knows all servers. Its number determines the server that it asks
    /// first.
    pub(crate) fn client(&self, number: u64) -> Client {
        let first = place(number % 3 + 1);
        let (before, after) = self.doors.split_at(first);
        let ports = after.iter().chain(before).map(|door| door.port);
        // Short timeouts, so that many calls fail and clients soon try another server.
        client(ports, Duration::from_millis(700), Duration::from_secs(3))
    }

    /// Returns the status that a server reports, if it answers. The request does not go through a
    /// link.
    pub(crate) fn status(&self, id: u64) -> Option<Status> {
        if !self.server(id).runs() {
            return None;
        }
        let port = self.client_ports[place(id)];
        let mut client = client([port].into_iter(), Duration::from_millis(500), Duration::ZERO);
        self.runtime.block_on(client.status()).ok()
    }

    /// Waits for a leader that some other server follows.
    pub(crate) fn leader(&mut self) -> u64 {
        self.leader_among(&IDS)
    }

    /// Waits for a leader among some servers that another one of them follows.
    pub(crate) fn leader_among(&mut self, ids: &[u64]) -> u64 {
        self.wait_for("a leader", |cluster| {
            let status = ids.iter().filter_map(|id| cluster.status(*id)).collect_vec();
            let follows = |other: &Status, leader: &Status| {
                other.id != leader.id
                    && (other.leader, other.term) == (Some(leader.id), leader.term)
            };
            let leads = |leader: &&Status| {
                leader.role == "leader" && status.iter().any(|other| follows(other, leader))
            };
            status.iter().find(leads).map(|leader| leader.id)
        })
    }

    /// Waits until all servers have applied everything that any of them has.
    pub(crate) fn wait_until_even(&mut self) {
        self.wait_for("all servers to catch up", |cluster| {
            let status = IDS.iter().filter_map(|id| cluster.status(*id)).collect_vec();
            let last = status.iter().map(|status| status.last_index).max()?;
            let even = status.iter().filter(|status| status.applied_index == last).count();
            (even == IDS.len()).then_some(())
        });
    }

    /// Calls `found` repeatedly until it returns a result.
    pub(crate) fn wait_for<T>(
        &mut self,
        what: &str,
        mut found: impl FnMut(&Cluster) -> Option<T>,
    ) -> T {
        let began = Instant::now();
        loop {
            self.servers.iter_mut().for_each(Server::still_there);
            if let Some(found) = found(self) {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}\n{self:#?}");
            // The servers are separate processes and do not notify the test of changes, so the test
            // has to poll them. Nothing depends on the length of the pause.
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Cluster {
    /// Keeps the files after a failure.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.directory.disable_cleanup(true);
            let directory = self.directory.path().display();
            eprintln!("\nThe servers' files and the history of the clients are in {directory}.");
            eprintln!("Held to the model:   raftgate validate {directory}/n?.jsonl");
            eprintln!("In columns:          raftgate log {directory}/n?.jsonl");
            eprintln!("What servers said:   {directory}/n?.stderr");
        }
    }
}

/// The parent of the servers' directory, on the disk of the build. A file system in memory would
/// have no syncs to wait for.
const ROOT: &str = env!("CARGO_TARGET_TMPDIR");

fn place(id: u64) -> usize {
    usize::try_from(id - 1).expect("one of three")
}

/// Returns the other servers.
pub(crate) fn others(id: u64) -> impl Iterator<Item = u64> {
    IDS.into_iter().filter(move |other| *other != id)
}

/// Returns all pairs of different servers.
pub(crate) fn pairs() -> impl Iterator<Item = (u64, u64)> {
    IDS.into_iter().cartesian_product(IDS).filter(|(from, to)| from != to)
}

fn client(
    ports: impl Iterator<Item = u16>,
    request_timeout: Duration,
    deadline: Duration,
) -> Client {
    let address = |port| format!("http://127.0.0.1:{port}").parse().expect("an address");
    let options = Options { request_timeout, deadline, ..Options::default() };
    Client::new(ports.map(address).collect(), options).expect("it knows somebody")
}

/// Returns ports that are not in use. They stay free while a server is down, because the system
/// does not use this range for outgoing connections.
fn free_ports(count: usize) -> Vec<u16> {
    static NEXT: LazyLock<AtomicU16> =
        LazyLock::new(|| AtomicU16::new(first_port(std::process::id())));
    let ports = std::iter::repeat_with(|| PORTS.0 + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS.1);
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.take(PORTS.1.into()).filter(free).take(count).collect()
}

/// The first port of the range, and the number of ports.
const PORTS: (u16, u16) = (12_000, 18_000);

/// Returns the offset of a test process's first port in the range. Processes that run at the same
/// time begin at different ports.
fn first_port(process: u32) -> u16 {
    u16::try_from(process.wrapping_mul(101) % u32::from(PORTS.1)).unwrap_or_default()
}
