//! Servers as processes, on ports that are reserved for them as long as the test runs.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use raft_kv::api::Status;
use raft_kv::client::{Client, Options};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The maximum time for each step of these tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Cluster {
    directory: TempDir,
    pub(crate) peer_ports: Vec<u16>,
    pub(crate) client_ports: Vec<u16>,
    pub(crate) health_ports: Vec<u16>,
    ports: Ports,
    servers: Vec<Option<Child>>,
    pub(crate) runtime: Runtime,
    extra: String,
}

/// Ports that are reserved for one test, even while no server listens on them. A server that is
/// started again must find its ports free. While it is down, no server of another cluster may
/// listen on them.
pub(crate) struct Ports {
    first: u16,
    /// The listener on the first port, which reserves all ports of the block.
    _held: TcpListener,
}

impl Ports {
    /// The range for reserved ports. It is below the ports that the operating system assigns by
    /// itself.
    const ALL: std::ops::Range<u16> = 30_000..32_000;
    const COUNT: u16 = 16;

    pub(crate) fn reserve() -> Ports {
        let blocks = (Ports::ALL.end - Ports::ALL.start) / Ports::COUNT;
        // Processes that run at the same time begin their search at different blocks.
        let begin = std::process::id().wrapping_mul(37) % u32::from(blocks);
        let blocks = (0..blocks).cycle().skip(begin.try_into().unwrap()).take(blocks.into());
        let take = |block: u16| {
            let first = Ports::ALL.start + block * Ports::COUNT;
            let held = TcpListener::bind(("127.0.0.1", first)).ok()?;
            let ports = Ports { first, _held: held };
            let is_free = |number| TcpListener::bind(("127.0.0.1", ports.at(number))).is_ok();
            (0..Ports::COUNT - 1).all(is_free).then_some(ports)
        };
        wait_for("free ports", || blocks.clone().find_map(take))
    }

    /// Returns the port with this number in the block.
    pub(crate) fn at(&self, number: u16) -> u16 {
        assert!(number < Ports::COUNT - 1);
        self.first + 1 + number
    }

    fn three(&self, first: u16) -> Vec<u16> {
        (first..first + 3).map(|number| self.at(number)).collect()
    }
}

impl Cluster {
    /// Configures three servers without starting them. The configurations contain the lines
    /// `extra`.
    pub(crate) fn new(extra: &str) -> Cluster {
        let ports = Ports::reserve();
        let cluster = Cluster {
            directory: tempfile::tempdir().unwrap(),
            peer_ports: ports.three(0),
            client_ports: ports.three(3),
            health_ports: ports.three(6),
            ports,
            servers: vec![None, None, None],
            runtime: Runtime::new().unwrap(),
            extra: extra.to_owned(),
        };
        for id in 1..=3 {
            std::fs::write(cluster.config(id), cluster.config_text(id, "test")).unwrap();
        }
        cluster
    }

    /// Starts three servers and waits until they have a leader.
    pub(crate) fn started(extra: &str) -> Cluster {
        let mut cluster = Cluster::new(extra);
        (1..=3).for_each(|id| cluster.start(id));
        cluster.leader();
        cluster
    }

    pub(crate) fn config_text(&self, id: u64, name: &str) -> String {
        let mut text =
            format!("cluster = \"{name}\"\nid = {id}\ndata = \"node-{id}\"\n{}\n", self.extra);
        if let Some(port) = self.health_ports.get(Cluster::place(id)) {
            writeln!(text, "listen_health = \"127.0.0.1:{port}\"").unwrap();
        }
        for (number, (peer, client)) in self.peer_ports.iter().zip(&self.client_ports).enumerate() {
            let id = number + 1;
            write!(
                text,
                "[[members]]\nid = {id}\npeer = \"127.0.0.1:{peer}\"\nclient = \"127.0.0.1:{client}\"\n"
            )
            .unwrap();
        }
        text
    }

    /// Returns ports that the three servers do not use.
    pub(crate) fn spare_ports(&self) -> [u16; 4] {
        [9, 10, 11, 12].map(|number| self.ports.at(number))
    }

    /// Changes a configuration so that a second server can listen while a server of the cluster
    /// runs.
    pub(crate) fn on_any_ports(&self, config: &str) -> String {
        let config = self.health_ports.iter().fold(config.to_owned(), |text, port| {
            text.replace(&format!("listen_health = \"127.0.0.1:{port}\""), "")
        });
        format!("listen_clients = \"127.0.0.1:0\"\nlisten_peers = \"127.0.0.1:0\"\n{config}")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn config(&self, id: u64) -> PathBuf {
        self.path(&format!("node-{id}.toml"))
    }

    fn place(id: u64) -> usize {
        usize::try_from(id - 1).unwrap()
    }

    pub(crate) fn start(&mut self, id: u64) {
        let log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.path(&format!("node-{id}.log")))
            .unwrap();
        let child = raftd(&self.config(id)).stderr(log).spawn().unwrap();
        self.servers[Cluster::place(id)] = Some(child);
    }

    /// Returns the log of a server.
    pub(crate) fn log(&self, id: u64) -> String {
        std::fs::read_to_string(self.path(&format!("node-{id}.log"))).unwrap_or_default()
    }

    /// Kills a server with SIGKILL.
    pub(crate) fn kill(&mut self, id: u64) {
        let mut child = self.servers[Cluster::place(id)].take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops a server with SIGTERM. Returns its exit code.
    pub(crate) fn terminate(&mut self, id: u64) -> Option<i32> {
        let mut child = self.servers[Cluster::place(id)].take().expect("it runs");
        signal(&child, "TERM");
        child.wait().unwrap().code()
    }

    pub(crate) fn signal(&self, id: u64, name: &str) {
        signal(self.servers[Cluster::place(id)].as_ref().expect("it runs"), name);
    }

    pub(crate) fn is_running(&mut self, id: u64) -> bool {
        let child = self.servers[Cluster::place(id)].as_mut();
        child.is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    pub(crate) fn addresses(&self) -> Vec<raft_kv::client::Address> {
        self.client_ports
            .iter()
            .map(|port| format!("http://127.0.0.1:{port}").parse().unwrap())
            .collect()
    }

    pub(crate) fn client(&self) -> Client {
        let options = Options {
            request_timeout: Duration::from_secs(2),
            deadline: PATIENCE,
            ..Options::default()
        };
        Client::new(self.addresses(), options).unwrap()
    }

    pub(crate) fn status(&self, id: u64) -> Option<Status> {
        let address = self.addresses().swap_remove(Cluster::place(id));
        let second = Duration::from_secs(1);
        let options =
            Options { request_timeout: second, deadline: Duration::ZERO, ..Options::default() };
        let mut client = Client::new(vec![address], options).unwrap();
        self.runtime.block_on(client.status()).ok()
    }

    /// Waits for a leader that at least one other server follows. Returns its id.
    pub(crate) fn leader(&self) -> u64 {
        let found = || {
            let status: Vec<Status> = (1..=3).filter_map(|id| self.status(id)).collect();
            let leads = |leader: &&Status| {
                leader.role == "leader"
                    && status.iter().any(|other| {
                        other.id != leader.id
                            && other.leader == Some(leader.id)
                            && other.term == leader.term
                    })
            };
            status.iter().find(leads).map(|leader| leader.id)
        };
        wait_for("a leader", found)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.servers.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Returns the command that runs a server.
pub(crate) fn raftd(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raftd"));
    command.arg("run").arg("--config").arg(config).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Runs a server that is expected not to start.
pub(crate) fn failing(config: &Path) -> Output {
    let mut child = raftd(config).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("its end", || child.try_wait().unwrap());
    child.wait_with_output().unwrap()
}

/// Removes the frame and the white space of a report for terminals, because line breaks can be
/// inside words.
pub(crate) fn flat(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && !"|\u{2502}".contains(*c)).collect()
}

/// Sends a signal to a process.
pub(crate) fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
}

/// Calls `found` repeatedly until it returns a value.
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        // Servers are separate processes and do not report their progress, so the test must ask
        // them repeatedly. The result does not depend on the length of the pause.
        std::thread::sleep(Duration::from_millis(20));
    }
}
