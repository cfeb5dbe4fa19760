//! `raftd dev`: several servers on one machine, three by default. Each is a process that can be
//! killed separately.

use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use raft_cli::output::{Output, complain};
use raft_kv::config::{Config, Member};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::LogFormat;

/// The time before a server that died is started again, so that the failure can be observed.
const PAUSE: Duration = Duration::from_millis(500);

/// The time that servers have to stop before they are killed.
const GOODBYE: Duration = Duration::from_secs(10);

/// Starts three servers on this machine.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the servers keep their data and configurations; what is there is used again.
    #[arg(long, default_value = "raft-data")]
    data: PathBuf,
    /// How many servers.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,
    /// The first server's port for clients; the others follow.
    #[arg(long, default_value_t = 7101)]
    client_port: u16,
    /// The first server's port for the other servers; theirs follow.
    #[arg(long, default_value_t = 7201)]
    peer_port: u16,
    /// The first server's port for health and metrics; theirs follow.
    #[arg(long, default_value_t = 7301)]
    health_port: u16,
    /// Leave a server that dies dead.
    #[arg(long, conflicts_with = "configure_only")]
    no_restart: bool,
    /// Every server appends its trace log to `trace.jsonl` in its data directory.
    #[arg(long, conflicts_with = "configure_only")]
    trace_log: bool,
    /// Make the configurations and do not start anything.
    #[arg(long)]
    configure_only: bool,
    /// How log lines of the servers look.
    #[arg(skip)]
    pub(crate) log_format: LogFormat,
}

/// The reason why the servers cannot be started or supervised.
#[derive(Debug, thiserror::Error)]
enum DevError {
    #[error("{0}")]
    Ports(String),
    #[error(
        "cannot listen on 127.0.0.1:{port}: {error}. Stop what is there, or choose other ports with \
             --client-port, --peer-port and --health-port"
    )]
    Taken { port: u16, error: io::Error },
    #[error("{0}")]
    System(#[from] io::Error),
}

impl DevError {
    /// Returns the exit code, as for a single server: 2 for the command line, 3 for the data, 4 for
    /// an address that is taken.
    fn exit_code(&self) -> u8 {
        match self {
            DevError::Ports(_) => 2,
            DevError::System(_) => 3,
            DevError::Taken { .. } => 4,
        }
    }
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let supervised = runtime.map_err(DevError::System);
    match supervised.and_then(|runtime| runtime.block_on(supervise(args))) {
        Ok(code) => code,
        Err(error) => {
            complain(format_args!("raftd dev: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

/// The ports of one server.
#[derive(Clone, Copy, Debug)]
struct Ports {
    client: u16,
    peer: u16,
    health: u16,
}

impl Ports {
    /// Returns the ports of all servers. Fails if a port is invalid or two ranges of ports overlap.
    fn of_all(args: &Args) -> Result<Vec<Ports>, DevError> {
        let bases = [
            ("--client-port", args.client_port),
            ("--peer-port", args.peer_port),
            ("--health-port", args.health_port),
        ];
        let last = args.nodes - 1;
        for (name, base) in bases {
            if base == 0 || base.checked_add(last).is_none() {
                return Err(DevError::Ports(format!(
                    "{name} {base}: the ports of {} servers from there on are not all between 1 and \
                     65535",
                    args.nodes
                )));
            }
        }
        for (place, (name, base)) in bases.into_iter().enumerate() {
            for (other_name, other) in &bases[..place] {
                if base.abs_diff(*other) <= last {
                    return Err(DevError::Ports(format!(
                        "{other_name} {other} and {name} {base}: the ports of {} servers overlap",
                        args.nodes
                    )));
                }
            }
        }
        let of_one = |n| Ports {
            client: args.client_port + n,
            peer: args.peer_port + n,
            health: args.health_port + n,
        };
        Ok((0..args.nodes).map(of_one).collect())
    }

    /// Fails if a port is taken, so that this error is reported once and not by each server.
    fn refuse_taken(all: &[Ports]) -> Result<(), DevError> {
        for port in all.iter().flat_map(|ports| [ports.client, ports.peer, ports.health]) {
            // The standard library's listeners can bind an address whose earlier connections are
            // not fully closed yet. The listeners of a server can do so too.
            TcpListener::bind(("127.0.0.1", port))
                .map_err(|error| DevError::Taken { port, error })?;
        }
        Ok(())
    }
}

async fn supervise(args: &Args) -> Result<ExitCode, DevError> {
    let ports = Ports::of_all(args)?;
    if !args.configure_only {
        Ports::refuse_taken(&ports)?;
    }
    let configs = configure(args, &ports)?;
    let mut out = Output::stdout();
    if args.configure_only {
        for path in &configs {
            writeln!(out, "{}", path.display());
        }
        out.finish().map_err(io::Error::other)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut servers = Vec::new();
    for config in configs {
        servers.push(Server::start(config, args)?);
    }
    announce(&mut out, &ports, &servers);
    let mut code = 3;
    // The program ends when its output can no longer be written.
    while !out.has_failed() {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            died = any_ends(&mut servers) => {
                let (place, status) = died?;
                let server = &mut servers[place];
                writeln!(out, "node {} ended ({status})", place + 1);
                if let Some(failed) = status.code().filter(|code| *code != 0) {
                    code = u8::try_from(failed).unwrap_or(code);
                    writeln!(out, "its reason is above; the other servers go on");
                    server.child = None;
                } else if args.no_restart {
                    writeln!(out, "start it again with: {}", server.command_line());
                    server.child = None;
                } else {
                    tokio::time::sleep(PAUSE).await;
                    server.child = Some(server.spawn(args)?);
                    writeln!(out, "node {} runs again, {}", place + 1, server.process());
                }
                if servers.iter().all(|server| server.child.is_none()) {
                    return Ok(ExitCode::from(code));
                }
            }
        }
    }
    writeln!(out, "stopping");
    for server in &mut servers {
        server.stop(&mut out).await?;
    }
    out.finish().map_err(io::Error::other)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the configurations that do not exist yet. Returns the paths of all configurations.
fn configure(args: &Args, ports: &[Ports]) -> io::Result<Vec<PathBuf>> {
    let member = |(id, ports): (u64, &Ports)| Member {
        id,
        peer: format!("127.0.0.1:{}", ports.peer),
        client: format!("127.0.0.1:{}", ports.client),
    };
    let members: Vec<Member> = (1..).zip(ports).map(member).collect();
    make_directory(&args.data)
        .map_err(|error| io::Error::other(format!("{}: {error}", args.data.display())))?;
    let others = members.iter().map(|m| {
        format!("\n[[members]]\nid = {}\npeer = \"{}\"\nclient = \"{}\"\n", m.id, m.peer, m.client)
    });
    let members_text: String = others.collect();
    let mut paths = Vec::new();
    for (id, ports) in (1..).zip(ports) {
        let path = args.data.join(format!("node-{id}.toml"));
        let health = format!("127.0.0.1:{}", ports.health);
        let text = format!(
            "cluster = \"dev\"\nid = {id}\ndata = \"node-{id}\"\n\
             listen_health = \"{health}\"\n{members_text}"
        );
        if path.exists() {
            same_cluster(&path, &members, &health)?;
        } else {
            write_new(&path, &text)
                .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        }
        paths.push(path);
    }
    Ok(paths)
}

/// Creates a directory that only its owner can access.
fn make_directory(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates a file that only its owner can access.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

/// Checks that an existing configuration belongs to the same cluster.
fn same_cluster(path: &Path, members: &[Member], health: &str) -> io::Result<()> {
    let config = Config::read(path).map_err(|error| io::Error::other(error.to_string()))?;
    let same_health = config.listen_health.is_none_or(|address| address == health);
    if config.members == members && same_health {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{} is there, with other servers or ports than these options; choose another --data, or the \
         options with which it was made",
        path.display()
    )))
}

fn announce(out: &mut Output, ports: &[Ports], servers: &[Server]) {
    for (number, (ports, server)) in (1..).zip(ports.iter().zip(servers)) {
        let Ports { client, health, .. } = ports;
        let process = server.process();
        writeln!(out, "node {number}  http://127.0.0.1:{client}  health on {health}  {process}");
    }
    let port = ports[0].client;
    writeln!(out);
    writeln!(out, "Try it:");
    writeln!(out, "  curl -L -X PUT http://127.0.0.1:{port}/v1/kv/greeting -d hello");
    writeln!(out, "  curl -L http://127.0.0.1:{port}/v1/kv/greeting");
    writeln!(out, "  raftctl status      and kill -9 any of the processes meanwhile");
    writeln!(out);
}

struct Server {
    config: PathBuf,
    child: Option<Child>,
}

impl Server {
    fn start(config: PathBuf, args: &Args) -> io::Result<Server> {
        let mut server = Server { config, child: None };
        server.child = Some(server.spawn(args)?);
        Ok(server)
    }

    fn spawn(&self, args: &Args) -> io::Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("run").arg("--config").arg(&self.config).arg("--until-stdin-ends");
        command.arg("--log-format").arg(args.log_format.name());
        if args.trace_log {
            let directory = self.config.with_extension("");
            make_directory(&directory)?;
            command.arg("--trace-log").arg(directory.join("trace.jsonl"));
        }
        // When this process ends for any reason, the server's standard input ends, and then the
        // server stops.
        command.stdin(Stdio::piped()).kill_on_drop(true).spawn()
    }

    fn process(&self) -> String {
        match self.child.as_ref().and_then(Child::id) {
            Some(id) => format!("process {id}"),
            None => "not running".to_owned(),
        }
    }

    fn command_line(&self) -> String {
        format!("raftd run --config {}", self.config.display())
    }

    async fn stop(&mut self, out: &mut Output) -> io::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        drop(child.stdin.take());
        if tokio::time::timeout(GOODBYE, child.wait()).await.is_err() {
            writeln!(out, "a server does not stop; killing it");
            child.kill().await?;
        }
        Ok(())
    }
}

/// Waits until a server ends. Returns its place and its exit status.
async fn any_ends(servers: &mut [Server]) -> io::Result<(usize, std::process::ExitStatus)> {
    loop {
        for (place, server) in servers.iter_mut().enumerate() {
            if let Some(child) = &mut server.child
                && let Some(status) = child.try_wait()?
            {
                return Ok((place, status));
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
