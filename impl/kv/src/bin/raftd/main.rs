//! `raftd`: a server of the replicated key-value service, or three of them at once to try.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod dev;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use raft_cli::output::complain;
use raft_kv::config::Config;
use raft_kv::server::{self, ServerError};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A replicated key-value service whose consensus is the very code that `raftcheck` explores.
///
/// Exit codes: 0 stopped on request; 2 the command line or the configuration is wrong; 3 the data
/// or the disk; 4 an address is taken; 70 the server found itself in contradiction and stopped.
#[derive(Parser)]
#[command(name = "raftd", version, max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Command,
    /// How log lines look.
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Starts three servers on this machine, prints how to reach them, and starts again whichever
    /// dies. Ctrl-C or SIGTERM stops all of them.
    Dev(dev::Args),
    /// Runs one server.
    Run(RunArgs),
}

/// Runs one server.
///
/// The configuration is a TOML file:
///
///   cluster = "demo"
///   id = 1                       # which of the members this is
///   data = "data/node-1"         # relative to the file
///
///   [[members]]                  # the same on every server
///   id = 1
///   peer = "10.0.0.1:7201"       # where the other servers reach it
///   client = "10.0.0.1:7101"     # where clients reach it
///
/// Optional, with their defaults: `listen_peers`, `listen_clients` (the member's own addresses),
/// `threads` = 2, `max_connections` = 1000, `cache_mib` = 128, `request_timeout` = "5s", and the tables
/// [timing] with `election_min` = "150ms", `election_max` = "300ms", `heartbeat` = "50ms"; [snapshots] with
/// `log_mib` = 32, `mib_per_second` = 16; [tls] with `authority`, `certificate`, `key`,
/// `clients_need_certificates` = false.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
struct RunArgs {
    /// The configuration.
    #[arg(long)]
    config: PathBuf,
    /// Append a log of every step of the node to this file, for `raftgate validate`.
    #[arg(long)]
    trace_log: Option<PathBuf>,
    /// Stop when standard input ends, as `raftd dev` wants it.
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let filter = EnvFilter::try_from_env("RAFTD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // A log that cannot be written must not stop a server.
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    match args.log_format {
        LogFormat::Text => log.with_ansi(false).with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
    match args.command {
        Command::Dev(dev) => dev::run(&dev),
        Command::Run(run) => run_one(run),
    }
}

fn run_one(args: RunArgs) -> ExitCode {
    let config = match Config::read(&args.config) {
        Ok(config) => config,
        Err(error) => {
            complain(format_args!("{:?}", miette::Report::new(error)));
            return ExitCode::from(2);
        }
    };
    // Files, and connections by the thousand.
    if let Err(error) = rlimit::increase_nofile_limit(1 << 16) {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
    let until_stdin_ends = args.until_stdin_ends;
    let served = server::install_metrics().and_then(|metrics| {
        server::run(config, args.trace_log, &metrics, asked_to_stop(until_stdin_ends))
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &ServerError) -> ExitCode {
    tracing::error!("{error}");
    complain(format_args!("raftd: {error}"));
    ExitCode::from(error.exit_code())
}

/// Waits for SIGTERM or SIGINT, or for the end of standard input.
async fn asked_to_stop(until_stdin_ends: bool) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::warn!("signals cannot be caught; SIGTERM ends the server at once");
        return std::future::pending().await;
    };
    let stdin_ends = async {
        if !until_stdin_ends {
            return std::future::pending().await;
        }
        let mut byte = [0];
        while !matches!(tokio::io::stdin().read(&mut byte).await, Ok(0) | Err(_)) {}
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stdin_ends => {}
    }
    tracing::info!("stopping");
}
