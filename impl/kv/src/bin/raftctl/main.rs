//! `raftctl`: reads and writes keys, shows what a cluster does, and measures it.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod bench;
mod cert;
mod cluster;
mod failure;
mod output;
mod snapshot;
mod status;
mod values;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};
use cluster::Cluster;
use failure::{Exit, Failure};

fn main() -> ExitCode {
    let args = Args::parse();
    let exit = match std::panic::catch_unwind(|| run(args)) {
        Ok(Ok(exit)) => exit,
        Ok(Err(failure)) => {
            failure.print();
            failure.exit()
        }
        // The message of the panic is already on stderr.
        Err(_) => Exit::Internal,
    };
    ExitCode::from(exit.code())
}

fn run(args: Args) -> Result<Exit, Failure> {
    if let Command::Cert(cert) = &args.command {
        args.cluster.refuse_without_effect("when certificates are made")?;
        return cert::run(cert);
    }
    let cluster = Cluster::new(args.cluster)?;
    // The clients of the benchmark run on separate threads.
    if let Command::Bench(args) = &args.command {
        return bench::run(&cluster, args);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::Runtime)?;
    let exit = runtime.block_on(async {
        match args.command {
            Command::Status(args) => status::run(&cluster, &args).await,
            Command::Watch(args) => watch::run(&cluster, &args).await,
            Command::Get(args) => values::get(&cluster, args).await,
            Command::Put(args) => values::put(&cluster, args).await,
            Command::Append(args) => values::append(&cluster, args).await,
            Command::Delete(args) => values::delete(&cluster, args).await,
            Command::Cas(args) => values::cas(&cluster, args).await,
            Command::Snapshot(args) => snapshot::run(&cluster, &args).await,
            Command::Cert(args) => cert::run(&args),
            Command::Bench(args) => bench::run(&cluster, &args),
        }
    });
    // Otherwise the program would wait for a name lookup that is still in progress.
    runtime.shutdown_background();
    exit
}
