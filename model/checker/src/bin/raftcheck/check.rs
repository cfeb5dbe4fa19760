//! `raftcheck check`: explores configurations and reports the verdict.

use std::path::Path;
use std::time::Duration;

use raft_checker::any_network::Scale;
use raft_checker::bounded_network::stateright;
use raft_checker::check::{Options, Report, Strategy, Verdict, check, check_at_scale};
use raft_checker::config::{BoundedConfig, Catalog, Network, Tier};
use raft_checker::exit_code::Exit;
use raft_cli::options::shell_word;
use raft_cli::output::Output;

use crate::args::{CheckArgs, StrategyArg};
use crate::comparison::Comparison;
use crate::counterexample::{self, Traces};
use crate::failure::{Failure, refuse_without_effect};
use crate::scale::scale;
use crate::table;
use crate::verdict::Total;
use crate::watch::Watch;

/// The time limit of random runs, if the user gives none.
const SIMULATION_TIME: Duration = Duration::from_secs(10);

pub(crate) fn run(folder: Option<&Path>, args: &CheckArgs) -> Result<Exit, Failure> {
    let is_simulation = args.strategy == Some(StrategyArg::Simulation);
    let useless_seed = args.seed.is_some() && !is_simulation;
    refuse_without_effect(useless_seed, "--seed", "without --strategy simulation")?;
    let configs = Catalog::open(folder)?.choose(&args.names, args.tier.map(Tier::from))?;
    let network = args.network.map(Network::from);
    let is_any = |config: &BoundedConfig| network.unwrap_or(config.network) == Network::Any;
    let useless_strategy = args.strategy.is_some() && configs.iter().all(is_any);
    refuse_without_effect(useless_strategy, "--strategy", "without --network bounded")?;
    let scale = scale(&args.scale, &configs, network)?;
    let mut comparison = Comparison::open(args)?;
    refuse_without_effect(is_simulation && comparison.is_some(), "--baseline", "with random runs")?;
    let (mut out, json) = args.json.open()?;
    let traces = Traces::open(args.traces.as_deref())?;

    let mut search = args.search.clone();
    if is_simulation {
        search.time_limit.get_or_insert(SIMULATION_TIME);
    }
    let options = Options {
        strategy: strategy(args),
        threads: search.threads.number(),
        symmetry: !args.no_symmetry,
        network,
    };
    let mut watch = Watch::new(&search);
    let mut reports = Vec::new();
    let mut not_kept = None;
    for config in &configs {
        if watch.is_interrupted() {
            break;
        }
        let place = format!("{} ({} of {})", config.name, reports.len() + 1, configs.len());
        skipped_lines(config, &mut out);
        let mut report = match (&scale, &mut comparison) {
            (Some(scale), _) => explore_at_scale(config, &place, options, scale, &mut watch)?,
            (None, None) => explore(config, &place, options, &mut watch),
            (None, Some(comparison)) => comparison.explore(config, &place, options, &mut watch),
        };
        let kept = traces.store(&mut report);
        not_kept = not_kept.or(kept.err());
        reports.push(report);
    }
    let changes = comparison.as_ref().map_or(&[][..], Comparison::changes);
    let total = Total::new(&reports, &configs, changes);
    let written = json.write(&total.json());
    let listed = comparison.as_ref().map_or(Ok(()), Comparison::write);
    out.print(&table::results(&reports));
    let is_first = args.scale.process.unwrap_or_default() == 0;
    if is_first {
        counterexample::print(&mut out, &reports, &traces, &|name| by_name(folder, args, name));
    } else if total.exit() == Exit::Violated {
        writeln!(out, "\nProcess 0 shows the run.");
    }
    out.print(&total.show(options.symmetry));
    if let Some(comparison) = comparison.as_ref().filter(|_| total.verdict() == Verdict::Holds) {
        out.print(&comparison.show());
    }
    written?;
    listed?;
    out.finish()?;
    not_kept.map_or_else(|| Ok(total.exit()), Err)
}

fn skipped_lines(config: &BoundedConfig, out: &mut Output) {
    if let Err(error) = config.check_script() {
        writeln!(out, "SKIPPED a line: {error}");
    }
}

fn explore(config: &BoundedConfig, place: &str, options: Options, watch: &mut Watch<'_>) -> Report {
    let (report, peak_bytes) = watch.run(place, None, |control| check(config, options, control));
    Report { peak_bytes, ..report }
}

fn explore_at_scale(
    config: &BoundedConfig,
    place: &str,
    options: Options,
    scale: &Scale,
    watch: &mut Watch<'_>,
) -> Result<Report, Failure> {
    let (report, peak_bytes) =
        watch.run(place, None, |control| check_at_scale(config, options, scale, control));
    Ok(Report { peak_bytes, ..report? })
}

/// Returns the arguments that make another command find the configuration of that name.
fn by_name(folder: Option<&Path>, args: &CheckArgs, name: &str) -> String {
    let is_file = |path: &&String| {
        let path = Path::new(path.as_str());
        path.extension().is_some() && path.file_stem().is_some_and(|stem| stem == name)
    };
    let config = shell_word(args.names.iter().find(is_file).map_or(name, String::as_str));
    match folder {
        Some(folder) => format!("{config} --configs {}", shell_word(&folder.to_string_lossy())),
        None => config,
    }
}

fn strategy(args: &CheckArgs) -> Strategy {
    match args.strategy.unwrap_or_default() {
        StrategyArg::Level => Strategy::Level,
        StrategyArg::Bfs => Strategy::Stateright(stateright::Strategy::Bfs),
        StrategyArg::Dfs => Strategy::Stateright(stateright::Strategy::Dfs),
        StrategyArg::Simulation => {
            let seed = args.seed.unwrap_or_default();
            Strategy::Stateright(stateright::Strategy::Simulation { seed })
        }
    }
}
