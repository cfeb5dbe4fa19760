//! `raftcheck list`: lists the configurations, or the properties.

use std::path::Path;

use raft_checker::config::{BoundedConfig, Catalog, Tier};

use crate::args::ListArgs;
use crate::failure::{Failure, refuse_without_effect};
use crate::table;
use raft_checker::exit_code::Exit;
use raft_cli::output::Output;

pub(crate) fn run(folder: Option<&Path>, args: &ListArgs) -> Result<Exit, Failure> {
    let mut out = Output::stdout();
    if args.properties {
        refuse_without_effect(folder.is_some(), "--configs", "on the list of properties")?;
        out.print(&table::properties());
        out.finish()?;
        return Ok(Exit::Fine);
    }
    let catalog = Catalog::open(folder)?;
    let tier = args.tier.map(Tier::from);
    let wanted = |config: &&BoundedConfig| tier.is_none_or(|tier| config.tier == tier);
    let configs: Vec<BoundedConfig> = catalog.all().iter().filter(wanted).cloned().collect();
    out.print(&table::configs(&configs));
    out.finish()?;
    Ok(Exit::Fine)
}
