//! `raftcheck explore`: serves stateright's Explorer over the plain model.

use std::path::Path;

use raft_checker::config::Catalog;
use raft_checker::plain::PlainModel;
use stateright::Model as _;

use crate::args::ExploreArgs;
use crate::failure::Failure;
use raft_checker::exit_code::Exit;
use raft_cli::output::Output;

pub(crate) fn run(folder: Option<&Path>, args: &ExploreArgs) -> Result<Exit, Failure> {
    let config = Catalog::open(folder)?.find(&args.config)?;
    // Stateright panics if it cannot listen. Binding the address first gives a better message.
    let free = std::net::TcpListener::bind(args.address);
    drop(free.map_err(|source| Failure::Serve { address: args.address, source })?);
    let mut out = Output::stdout();
    writeln!(
        out,
        "{} at http://{}/ (without authentication; stop with Ctrl-C)",
        config.name, args.address
    );
    PlainModel::new(config).checker().serve(args.address);
    Ok(Exit::Fine)
}
