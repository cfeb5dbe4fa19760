//! `raftgate`: checks the production node against the model, and logs of real clusters against the
//! rules.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod conform;
mod failure;
mod lab;
mod log;
mod parallel_runs;
mod run;
mod simulate;
mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use raft_checker::exit_code::Exit;

use failure::Failure;

/// Servers start here a thousand times a second, and each allocates its own buffers. With the
/// system's allocator, `conform` takes a quarter longer.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Holds the production node to the model, and logs of real clusters to the rules.
#[derive(Parser)]
#[command(name = "raftgate", version, max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    Merge(run::MergeArgs),
    Conform(conform::Args),
    Simulate(simulate::Args),
    Validate(validate::Args),
    Log(log::Args),
    Lab(lab::Args),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let exit = match std::panic::catch_unwind(|| run(&args)) {
        Ok(Ok(exit)) => exit,
        Ok(Err(failure)) => {
            failure.print();
            Exit::Usage
        }
        // The message of the panic is on stderr already.
        Err(_) => Exit::Internal,
    };
    ExitCode::from(exit.code())
}

fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::Run(args) => run::run(args),
        Command::Merge(args) => run::merge(args),
        Command::Conform(args) => conform::run(args),
        Command::Simulate(args) => simulate::run(args),
        Command::Validate(args) => validate::run(args),
        Command::Log(args) => log::run(args),
        Command::Lab(args) => lab::run(args),
    }
}
