//! Three servers on one machine, as three processes that may be killed one by one.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use raft_cli::output::{Output, complain};
use raft_kv::config::{Config, Member};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

/// How long a server that died stays down, so that one can see it.
const PAUSE: Duration = Duration::from_millis(500);

/// How long servers may take to stop before they are killed.
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
    /// Leave a server that dies dead.
    #[arg(long, conflicts_with = "configure_only")]
    no_restart: bool,
    /// Every server appends its trace log to `trace.jsonl` in its data directory.
    #[arg(long, conflicts_with = "configure_only")]
    trace_log: bool,
    /// Make the configurations and do not start anything.
    #[arg(long)]
    configure_only: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(supervise(args))) {
        Ok(code) => code,
        Err(error) => {
            complain(format_args!("raftd dev: {error}"));
            ExitCode::from(3)
        }
    }
}

async fn supervise(args: &Args) -> io::Result<ExitCode> {
    let configs = configure(args)?;
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
    announce(&mut out, args, &servers);
    // Without anybody who reads what happens, it ends.
    while !out.has_failed() {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            died = any_ends(&mut servers) => {
                let (place, status) = died?;
                let server = &mut servers[place];
                writeln!(out, "node {} ended ({status})", place + 1);
                if status.code().is_some_and(|code| code != 0) {
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
                    return Ok(ExitCode::from(3));
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

/// Writes the configurations that are not there yet.
fn configure(args: &Args) -> io::Result<Vec<PathBuf>> {
    let member = |id: u16| Member {
        id: u64::from(id),
        peer: format!("127.0.0.1:{}", args.peer_port + id - 1),
        client: format!("127.0.0.1:{}", args.client_port + id - 1),
    };
    let members: Vec<Member> = (1..=args.nodes).map(member).collect();
    std::fs::create_dir_all(&args.data)
        .map_err(|error| io::Error::other(format!("{}: {error}", args.data.display())))?;
    let mut paths = Vec::new();
    for id in 1..=args.nodes {
        let path = args.data.join(format!("node-{id}.toml"));
        let others = members.iter().map(|m| {
            format!(
                "\n[[members]]\nid = {}\npeer = \"{}\"\nclient = \"{}\"\n",
                m.id, m.peer, m.client
            )
        });
        let members_text: String = others.collect();
        let text = format!("cluster = \"dev\"\nid = {id}\ndata = \"node-{id}\"\n{members_text}");
        if path.exists() {
            same_members(&path, &members)?;
        } else {
            std::fs::write(&path, text)
                .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        }
        paths.push(path);
    }
    Ok(paths)
}

/// A configuration that is there already has to be that of the same cluster.
fn same_members(path: &Path, members: &[Member]) -> io::Result<()> {
    let config = Config::read(path).map_err(|error| io::Error::other(error.to_string()))?;
    if config.members == members {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{} is there, with other servers or ports than these options; choose another --data, or the \
         options with which it was made",
        path.display()
    )))
}

fn announce(out: &mut Output, args: &Args, servers: &[Server]) {
    for (place, server) in (0..).zip(servers) {
        let port = args.client_port + place;
        writeln!(out, "node {}  http://127.0.0.1:{port}  {}", place + 1, server.process());
    }
    let port = args.client_port;
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
        if args.trace_log {
            let directory = self.config.with_extension("");
            std::fs::create_dir_all(&directory)?;
            command.arg("--trace-log").arg(directory.join("trace.jsonl"));
        }
        // A server's standard input ends with this process, however that ends, and the server too.
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

/// The next server that ends, and how.
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
