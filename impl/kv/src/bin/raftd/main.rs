//! `raftd`: runs a server of the replicated key-value service, or several servers on one machine to
//! try the service.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod dev;
mod fatal;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use raft_cli::output::{Output, complain};
use raft_kv::config::{self, Config, ConfigError};
use raft_kv::server::{self, ServerError};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The server often allocates and frees memory for entries and for pages of the store. The system's
/// allocator returns this memory to the operating system each time. With it, a start after a kill
/// takes a third longer.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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

#[derive(Clone, Copy, Default, ValueEnum)]
enum LogFormat {
    #[default]
    Text,
    Json,
}

impl LogFormat {
    fn name(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Starts three servers on this machine, prints how to reach them, and starts again whichever
    /// dies. Ctrl-C or SIGTERM stops all of them.
    Dev(dev::Args),
    /// Runs one server.
    #[command(after_long_help = config::help())]
    Run(RunArgs),
    /// Looks at configurations.
    Config(ConfigArgs),
}

#[derive(clap::Args)]
struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Reads a configuration, resolves its addresses and loads its certificates and keys; the data
    /// is not looked at. Exit code 0 with one line, or 2.
    #[command(after_long_help = config::help())]
    Check {
        /// The configuration.
        file: PathBuf,
    },
}

#[derive(clap::Args)]
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
        Command::Dev(mut dev) => {
            dev.log_format = args.log_format;
            dev::run(&dev)
        }
        Command::Run(run) => run_one(run, args.log_format),
        Command::Config(ConfigArgs { command: ConfigCommand::Check { file } }) => {
            check(&file, args.log_format)
        }
    }
}

fn run_one(args: RunArgs, format: LogFormat) -> ExitCode {
    let config = match Config::read(&args.config) {
        Ok(config) => config,
        Err(error) => return bad_config(error, format),
    };
    // The server needs file descriptors for its files and for thousands of connections.
    if let Err(error) = rlimit::increase_nofile_limit(1 << 16) {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
    let until_stdin_ends = args.until_stdin_ends;
    let served = server::metrics::install().and_then(|metrics| {
        server::run(config, args.trace_log, &metrics, asked_to_stop(until_stdin_ends))
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(ServerError::Config(error)) => bad_config(error.in_file(&args.config), format),
        Err(error) => {
            fatal::print(&error.to_string(), format);
            ExitCode::from(error.exit_code())
        }
    }
}

fn check(file: &Path, format: LogFormat) -> ExitCode {
    let checked = Config::read(file).and_then(|config| {
        server::check(&config).map_err(|error| error.in_file(file))?;
        Ok(config)
    });
    let config = match checked {
        Ok(config) => config,
        Err(error) => return bad_config(error, format),
    };
    let Config { cluster, id, members, tls, .. } = &config;
    let tls = if tls.is_some() { "with TLS" } else { "without TLS" };
    let mut out = Output::stdout();
    out.print(&format!("OK: server {id} of {} in cluster \"{cluster}\", {tls}\n", members.len()));
    match out.finish() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            fatal::print(&error.to_string(), format);
            ExitCode::from(3)
        }
    }
}

fn bad_config(error: ConfigError, format: LogFormat) -> ExitCode {
    match format {
        LogFormat::Json => fatal::print(&error.one_line(), format),
        LogFormat::Text => complain(format_args!("{:?}", miette::Report::new(error))),
    }
    ExitCode::from(2)
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
