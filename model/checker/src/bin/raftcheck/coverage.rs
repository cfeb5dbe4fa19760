//! `raftcheck coverage`: shows the rules that made a difference in the explored states.

use std::path::Path;

use raft_checker::config::{Catalog, Tier};
use raft_checker::coverage::{self, Answers, Coverage};
use raft_checker::rule_map;
use raft_cli::file::Destination;
use raft_cli::output::Output;
use raft_cli::progress::Share;
use raft_cli::quantity::count;
use raft_core::Rule;

use crate::args::CoverageArgs;
use crate::failure::{Failure, read};
use crate::watch::Watch;
use raft_checker::exit_code::Exit;

pub(crate) fn run(folder: Option<&Path>, args: &CoverageArgs) -> Result<Exit, Failure> {
    let configs = Catalog::open(folder)?.tier(args.tier.map_or(Tier::Smoke, Tier::from));
    let write =
        args.write.as_ref().map(|path| Destination::new(path, path.exists())).transpose()?;
    let earlier = args.check.as_deref().map(read).transpose()?;
    let mut out = Output::stdout();
    let threads = args.search.threads.number();
    let mut watch = Watch::new(&args.search);
    let mut all: Vec<Coverage> = Vec::new();
    for config in &configs {
        if watch.is_interrupted() || out.is_closed() {
            break;
        }
        let share = Share { done: all.len() as u64, all: configs.len() as u64 };
        let measure = |control: &_| coverage::measure(config, threads, control);
        let measured = watch.run(&config.name, Some(share), measure).0;
        print_config(&mut out, &measured);
        all.push(measured);
    }
    print_totals(&mut out, &all);
    let complete = all.len() == configs.len() && all.iter().all(|config| config.complete);
    let exit = if complete {
        finish(&mut out, &all, args, earlier.as_deref(), write.as_ref())?
    } else {
        let whole = all.iter().filter(|config| config.complete).count();
        let (whole, configs) = (count(whole as u64), count(configs.len() as u64));
        writeln!(
            out,
            "\nINCOMPLETE: {whole} of {configs} configurations were explored to the end."
        );
        Exit::Incomplete
    };
    out.finish()?;
    Ok(exit)
}

fn print_config(out: &mut Output, config: &Coverage) {
    let asked = config.rules.len();
    let decisive = config.rules.values().filter(|answers| answers.decisive > 0).count();
    let local = count(config.local_transitions);
    let name = &config.config;
    writeln!(
        out,
        "{name:24} {local:>9} local transitions, {asked} rules asked, {decisive} decisive"
    );
}

fn print_totals(out: &mut Output, all: &[Coverage]) {
    writeln!(out, "\n{:32} {:>9} {:>9} {:>9}  decisive in", "rule", "yes", "no", "decisive");
    for rule in Rule::ALL {
        let Answers { yes, no, decisive } = coverage::total(all, *rule);
        let deciding = |c: &&Coverage| c.rules.get(rule).is_some_and(|a| a.decisive > 0);
        let configs = all.iter().filter(deciding).count();
        writeln!(
            out,
            "{:32} {yes:>9} {no:>9} {decisive:>9}  {configs} configurations",
            rule.name()
        );
    }
    writeln!(
        out,
        "\n{:32} {:>9} {:>9} {:>9} {:>9}",
        "action", "follower", "candidate", "leader", "down"
    );
    for (action, _) in coverage::ACTIONS {
        let of = |role| all.iter().filter_map(|c| c.actions.get(&(*action, role))).sum::<u64>();
        let [follower, candidate, leader, down] =
            ["follower", "candidate", "leader", "down"].map(of);
        writeln!(out, "{action:32} {follower:>9} {candidate:>9} {leader:>9} {down:>9}");
    }
}

fn finish(
    out: &mut Output,
    all: &[Coverage],
    args: &CoverageArgs,
    earlier: Option<&str>,
    write: Option<&Destination>,
) -> Result<Exit, Failure> {
    let mut exit = Exit::Fine;
    writeln!(out);
    for rule in Rule::ALL {
        if let Some(reason) = coverage::excuse(*rule) {
            writeln!(out, "Listed with a reason: {}: {reason}", rule.name());
        }
    }
    for gap in coverage::gaps(all) {
        writeln!(out, "NOT EXERCISED: {gap}");
        exit = Exit::Vacuous;
    }
    let document = rule_map::document(all);
    if let (Some(path), Some(text)) = (&args.check, earlier) {
        if text == document {
            writeln!(out, "{} is current.", path.display());
        } else {
            writeln!(
                out,
                "STALE: write it again with `raftcheck coverage --write {}`.",
                path.display()
            );
            exit = Exit::Vacuous;
        }
    }
    if let Some(file) = write {
        file.write(document.as_bytes())?;
    }
    Ok(exit)
}
