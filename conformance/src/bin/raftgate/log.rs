//! `raftgate log`.

use raft_checker::exit::Exit;

use crate::failure::Failure;

/// To be described.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<Exit, Failure> {
    Ok(Exit::Fine)
}
