//! `raftcheck`: explores bounded Raft clusters exhaustively and says whether the paper's properties
//! hold.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod bench;
mod bless;
mod changes;
mod check;
mod comparison;
mod counterexample;
mod coverage;
mod explore;
mod failure;
mod list;
mod measurement;
mod mutants;
mod replay;
mod scale;
mod table;
mod trace;
mod verdict;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};
use failure::Failure;
use raft_checker::exit_code::Exit;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = std::panic::catch_unwind(|| run(args));
    let exit = match outcome {
        Ok(Ok(exit)) => exit,
        Ok(Err(failure)) => {
            failure.print();
            failure.exit()
        }
        // The panic itself is on stderr already.
        Err(_) => Exit::Internal,
    };
    ExitCode::from(exit.code())
}

fn run(args: Args) -> Result<Exit, Failure> {
    let configs = args.configs.as_deref();
    match args.command.unwrap_or_default() {
        Command::Check(args) => check::run(configs, &args),
        Command::Bless(args) => bless::run(configs, &args),
        Command::List(args) => list::run(configs, &args),
        Command::Replay(args) => replay::run(configs, &args),
        Command::Explore(args) => explore::run(configs, &args),
        Command::Mutants(args) => mutants::run(configs, &args),
        Command::Coverage(args) => coverage::run(configs, &args),
        Command::Trace(args) => trace::run(configs, &args),
        Command::Bench(args) => bench::run(configs, &args),
    }
}
