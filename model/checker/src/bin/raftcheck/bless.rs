//! `raftcheck bless`: accepts what is explored as the baseline.

use std::path::Path;

use raft_checker::baseline::{Baseline, Changes};
use raft_checker::bounded_network::stateright;
use raft_checker::check::{Options, Strategy};
use raft_checker::config::{Catalog, Tier};
use raft_checker::exit_code::Exit;
use raft_cli::file::Destination;
use raft_cli::output::Output;

use crate::args::BlessArgs;
use crate::changes;
use crate::comparison::{Compared, explore};
use crate::failure::Failure;
use crate::table;
use crate::verdict::Total;
use crate::watch::Watch;

/// Explores configurations and writes their results into the baseline. Writes nothing unless all of
/// them hold.
pub(crate) fn run(folder: Option<&Path>, args: &BlessArgs) -> Result<Exit, Failure> {
    let catalog = Catalog::open(folder)?;
    let configs = catalog.choose(&args.names, args.tier.map(Tier::from))?;
    let exists = args.baseline.exists();
    let mut baseline = if exists { Baseline::read(&args.baseline)? } else { Baseline::default() };
    let file = Destination::new(&args.baseline, exists)?;
    let options = Options {
        strategy: Strategy::Stateright(stateright::Strategy::Dfs),
        threads: args.search.threads.number(),
        symmetry: true,
        network: None,
    };
    let mut out = Output::stdout();
    let mut watch = Watch::new(&args.search);
    let mut reports = Vec::new();
    let mut changed: Vec<Changes> = Vec::new();
    for config in &configs {
        if watch.is_interrupted() {
            break;
        }
        let place = format!("{} ({} of {})", config.name, reports.len() + 1, configs.len());
        let network = config.network;
        let before = baseline.get(&config.name, network);
        let list = |step: &_| before.is_some_and(|entry| entry.has_example_like(step));
        let Compared { report, entry, listed } =
            explore(config, &place, options, &mut watch, &list);
        if let Some(entry) = entry {
            changed.extend(Changes::between(before, &entry, &listed));
            baseline.set(entry);
        }
        reports.push(report);
    }
    out.print(&table::results(&reports));
    let exit = Total::new(&reports, &configs, &[]).exit();
    if exit == Exit::Fine {
        if args.names.is_empty() {
            baseline.keep_only(|name| catalog.all().iter().any(|config| config.name == name));
        }
        file.write(baseline.to_toml().as_bytes())?;
        out.print(&changes::accepted(&changed, configs.len(), &args.baseline));
    } else {
        writeln!(out, "\nNothing is accepted: not every configuration holds.");
    }
    out.finish()?;
    Ok(exit)
}
