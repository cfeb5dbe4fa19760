//! `raftcheck check`: explore configurations and say what holds.

use std::path::PathBuf;
use std::time::Duration;

use raft_checker::check::{Options, Report, Strategy, Verdict, check};
use raft_checker::config::{BoundedConfig, Catalog, Tier};
use raft_checker::exit::Exit;
use raft_checker::properties::Witness;
use raft_checker::search::stateright;
use raft_checker::view::count;
use serde::Serialize;

use crate::args::{CheckArgs, StrategyArg};
use crate::failure::{Failure, write_new};
use crate::{counterexample, table, watch};

/// How long random runs go on if nobody says.
const SIMULATION_TIME: Duration = Duration::from_secs(10);

/// The JSON report.
#[derive(Serialize)]
struct Json<'a> {
    verdict: Verdict,
    exit_code: u8,
    configs: &'a [Report],
    witnesses_missing: &'a [Witness],
}

pub(crate) fn run(folder: Option<PathBuf>, args: &CheckArgs) -> Result<Exit, Failure> {
    let configs = choose(folder, args)?;
    refuse_existing(args)?;
    let mut search = args.search.clone();
    if args.strategy == StrategyArg::Simulation {
        search.time_limit.get_or_insert(SIMULATION_TIME);
    }
    let options = Options {
        strategy: strategy(args),
        threads: search.threads(),
        symmetry: !search.no_symmetry,
    };
    let mut reports = Vec::new();
    for config in &configs {
        if let Err(error) = config.check_script() {
            println!("SKIPPED a line: {error}");
        }
        let explore = |control: &_| check(config, options, control);
        let (mut report, peak_bytes) = watch::watch(&config.name, &search, explore);
        report.peak_bytes = peak_bytes;
        counterexample::store(&mut report, args)?;
        reports.push(report);
    }
    print!("{}", table::results(&reports));
    counterexample::print(&reports);
    let missing = missing_witnesses(&reports, args);
    let exit = exit(&reports, &missing);
    summarize(&reports, &missing, args);
    if let Some(path) = &args.json {
        let json = Json {
            verdict: overall(&reports),
            exit_code: exit.code(),
            configs: &reports,
            witnesses_missing: &missing,
        };
        let text = serde_json::to_string_pretty(&json).expect("a report is plain data") + "\n";
        if args.force {
            let written = std::fs::write(path, &text);
            written.map_err(|source| Failure::Write { path: path.clone(), source })?;
        } else {
            write_new(path, text.as_bytes(), OVERWRITE)?;
        }
    }
    Ok(exit)
}

const OVERWRITE: &str = "name another file, or say --force to overwrite it";

/// Better now than after an hour.
fn refuse_existing(args: &CheckArgs) -> Result<(), Failure> {
    match &args.json {
        Some(path) if path.exists() && !args.force => {
            Err(Failure::Exists { path: path.clone(), advice: OVERWRITE })
        }
        _ => Ok(()),
    }
}

fn choose(folder: Option<PathBuf>, args: &CheckArgs) -> Result<Vec<BoundedConfig>, Failure> {
    let catalog = Catalog::read(&folder.map_or_else(Catalog::folder, Ok)?)?;
    Ok(catalog.choose(&args.names, args.tier.map(Tier::from))?)
}

fn strategy(args: &CheckArgs) -> Strategy {
    match args.strategy {
        StrategyArg::Level => Strategy::Level,
        StrategyArg::Bfs => Strategy::Stateright(stateright::Strategy::Bfs),
        StrategyArg::Dfs => Strategy::Stateright(stateright::Strategy::Dfs),
        StrategyArg::Simulation => {
            Strategy::Stateright(stateright::Strategy::Simulation { seed: args.seed })
        }
    }
}

/// The witnesses that a whole tier should have reached and did not. Single configurations are not
/// expected to reach all.
fn missing_witnesses(reports: &[Report], args: &CheckArgs) -> Vec<Witness> {
    let whole_tier = args.names.is_empty();
    let complete = reports.iter().all(|report| report.verdict == Verdict::Holds);
    let reached = |witness: &Witness| reports.iter().any(|r| r.witnesses.contains(witness));
    let all = Witness::ALL.into_iter().filter(|_| whole_tier && complete);
    all.filter(|witness| !reached(witness)).collect()
}

fn overall(reports: &[Report]) -> Verdict {
    let any = |verdict| reports.iter().any(|report| report.verdict == verdict);
    if any(Verdict::Violated) {
        Verdict::Violated
    } else if any(Verdict::Incomplete) {
        Verdict::Incomplete
    } else {
        Verdict::Holds
    }
}

fn exit(reports: &[Report], missing: &[Witness]) -> Exit {
    match overall(reports) {
        Verdict::Violated => Exit::Violated,
        Verdict::Incomplete => Exit::Incomplete,
        Verdict::Holds if !missing.is_empty() => Exit::Vacuous,
        Verdict::Holds => Exit::Fine,
    }
}

fn summarize(reports: &[Report], missing: &[Witness], args: &CheckArgs) {
    let sum = |field: fn(&Report) -> u64| reports.iter().map(field).sum::<u64>();
    let states = count(sum(|report| report.distinct_states));
    let unfolded = count(sum(|report| report.orbit_states));
    let peak = reports.iter().map(|report| report.peak_bytes).max().unwrap_or(0);
    let seconds: f64 = reports.iter().map(|report| report.seconds).sum();
    let odds: f64 = reports.iter().map(|report| report.collision_odds).sum();
    let blocked = count(sum(|report| report.blocked_by_in_flight));
    let folded = if args.search.no_symmetry {
        "none folded".to_owned()
    } else {
        format!("{unfolded} without folding renamed servers")
    };
    println!();
    println!(
        "{states} states ({folded}) in {seconds:.1} s, at most {} of memory.",
        table::bytes(peak)
    );
    println!("A full network blocked {blocked} actions; odds of a missed state: {odds:.0e}.");
    match overall(reports) {
        Verdict::Violated => println!("VIOLATED: see above."),
        Verdict::Incomplete => {
            println!("INCOMPLETE: not every state was visited, so nothing is proven.");
            for report in reports {
                if let Some(reason) = report.incomplete_because {
                    println!("    {}: {reason}", report.name);
                }
            }
        }
        Verdict::Holds => {
            println!("\n{}", table::witnesses(reports));
            println!(
                "HOLDS: every property, in every state within the bounds of these configurations."
            );
            println!("What the bounds leave out is in `raftcheck list`.");
        }
    }
    for witness in missing {
        println!(
            "VACUOUS: {} was reached nowhere, so its property was not tested.",
            witness.name()
        );
    }
}
