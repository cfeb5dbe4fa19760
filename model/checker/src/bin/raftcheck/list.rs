//! `raftcheck list`: what can be checked.

use std::path::PathBuf;

use raft_checker::config::{BoundedConfig, Catalog, Tier};

use crate::args::ListArgs;
use crate::failure::Failure;
use crate::table;
use raft_checker::exit::Exit;

pub(crate) fn run(folder: Option<PathBuf>, args: &ListArgs) -> Result<Exit, Failure> {
    if args.properties {
        print!("{}", table::properties());
        return Ok(Exit::Fine);
    }
    let catalog = Catalog::read(&folder.map_or_else(Catalog::folder, Ok)?)?;
    let tier = args.tier.map(Tier::from);
    let wanted = |config: &&BoundedConfig| tier.is_none_or(|tier| config.tier == tier);
    let configs: Vec<BoundedConfig> = catalog.all().iter().filter(wanted).cloned().collect();
    print!("{}", table::configs(&configs));
    Ok(Exit::Fine)
}
