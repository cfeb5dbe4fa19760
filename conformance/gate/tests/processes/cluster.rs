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

/// How long anything may take here before it counts as broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// The ids of the servers.
pub(crate) const IDS: [u64; 3] = [1, 2, 3];

/// Three servers as processes. Everything that goes from one to another, or from a client to one,
/// goes through a [`Link`].
#[derive(Debug)]
pub(crate) struct Cluster {
    servers: Vec<Server>,
    /// From each server to each other one, in the order of [`Cluster::link`].
    links: Vec<Link>,
    /// From clients to each server.
    doors: Vec<Link>,
    /// Where clients are served behind the doors.
    client_ports: Vec<u16>,
    pub(crate) runtime: Runtime,
    directory: TempDir,
}

impl Cluster {
    /// Three servers that run and have a leader, with `extra` lines in each configuration.
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
            // Nobody dials itself.
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

    /// Where the servers' files are.
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

    /// How many processes were killed.
    pub(crate) fn kills(&self) -> u64 {
        self.servers.iter().map(|server| server.kills).sum()
    }

    /// The link from one server to another.
    pub(crate) fn link(&self, from: u64, to: u64) -> &Link {
        let number = pairs().position(|pair| pair == (from, to));
        &self.links[number.expect("they are two servers")]
    }

    /// The link from clients to a server.
    pub(crate) fn door(&self, id: u64) -> &Link {
        &self.doors[place(id)]
    }

    /// What all links from and to other servers do from now on.
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

    /// How many connections links have reset.
    pub(crate) fn resets(&self) -> u64 {
        self.links.iter().chain(&self.doors).map(Link::resets).sum()
    }

    /// A client that knows all servers; which one it asks first depends on its number.
    pub(crate) fn client(&self, number: u64) -> Client {
        let first = place(number % 3 + 1);
        let (before, after) = self.doors.split_at(first);
        let ports = after.iter().chain(before).map(|door| door.port);
        // Short, so that many calls go wrong, and clients are soon elsewhere.
        client(ports, Duration::from_millis(700), Duration::from_secs(3))
    }

    /// How a server sees itself, if it answers. Nobody cuts this way.
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

    /// Asks again and again until there is an answer.
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
            // Servers are processes of their own: what they have come to is known when they are asked,
            // and nobody tells when to ask. Nothing depends on how long the pause is.
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Cluster {
    /// What a failure leaves behind is kept.
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

/// On the disk that is built on: memory would have no syncs to wait for.
const ROOT: &str = env!("CARGO_TARGET_TMPDIR");

fn place(id: u64) -> usize {
    usize::try_from(id - 1).expect("one of three")
}

/// The other servers.
pub(crate) fn others(id: u64) -> impl Iterator<Item = u64> {
    IDS.into_iter().filter(move |other| *other != id)
}

/// All servers with all others.
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

/// Ports that nobody listens on. They stay free while a server is down: the system gives ports of
/// this range to nobody who does not ask for them, as it would do to those that dial.
fn free_ports(count: usize) -> Vec<u16> {
    static NEXT: LazyLock<AtomicU16> =
        LazyLock::new(|| AtomicU16::new(first_port(std::process::id())));
    let ports = std::iter::repeat_with(|| PORTS.0 + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS.1);
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.take(PORTS.1.into()).filter(free).take(count).collect()
}

/// The first port, and how many there are.
const PORTS: (u16, u16) = (12_000, 18_000);

/// Processes that run at the same time begin at different ports.
fn first_port(process: u32) -> u16 {
    u16::try_from(process.wrapping_mul(101) % u32::from(PORTS.1)).unwrap_or_default()
}
