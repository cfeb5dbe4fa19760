//! `raftcheck explore`: stateright's Explorer over the plain model.

use std::path::PathBuf;

use raft_checker::config::Catalog;
use raft_checker::plain::PlainModel;
use stateright::Model as _;

use crate::args::ExploreArgs;
use crate::failure::Failure;
use raft_checker::exit::Exit;

pub(crate) fn run(folder: Option<PathBuf>, args: &ExploreArgs) -> Result<Exit, Failure> {
    let config = Catalog::read(&folder.map_or_else(Catalog::folder, Ok)?)?.find(&args.config)?;
    // Stateright panics if it cannot listen; asking first gives a better message.
    let free = std::net::TcpListener::bind(args.address);
    drop(free.map_err(|source| Failure::Serve { address: args.address, source })?);
    println!(
        "{} at http://{}/ (without authentication; stop with Ctrl-C)",
        config.name, args.address
    );
    PlainModel::new(config).checker().serve(args.address);
    Ok(Exit::Fine)
}
