//! `raftcheck coverage`: which rules made a difference in what was explored.

use std::path::PathBuf;

use raft_checker::config::{Catalog, Tier};
use raft_checker::coverage::{self, Answers, Coverage};
use raft_checker::rule_map;
use raft_checker::view::count;
use raft_core::Rule;

use crate::args::CoverageArgs;
use crate::failure::Failure;
use crate::watch;
use raft_checker::exit::Exit;

pub(crate) fn run(folder: Option<PathBuf>, args: &CoverageArgs) -> Result<Exit, Failure> {
    let catalog = Catalog::read(&folder.map_or_else(Catalog::folder, Ok)?)?;
    let tier = args.tier.map_or(Tier::Smoke, Tier::from);
    let threads = args.search.threads();
    let mut all: Vec<Coverage> = Vec::new();
    for config in catalog.tier(tier) {
        let measure = |control: &_| coverage::measure(&config, threads, control);
        all.push(watch::watch(&config.name, &args.search, measure).0);
    }
    for config in &all {
        let asked = config.rules.len();
        let decisive = config.rules.values().filter(|answers| answers.decisive > 0).count();
        let local = count(config.local_transitions);
        println!(
            "{:24} {local:>9} local transitions, {asked} rules asked, {decisive} decisive",
            config.config
        );
    }
    println!("\n{:32} {:>9} {:>9} {:>9}  decisive in", "rule", "yes", "no", "decisive");
    for rule in Rule::ALL {
        let Answers { yes, no, decisive } = coverage::total(&all, *rule);
        let deciding = |c: &&Coverage| c.rules.get(rule).is_some_and(|a| a.decisive > 0);
        let configs = all.iter().filter(deciding).count();
        println!("{:32} {yes:>9} {no:>9} {decisive:>9}  {configs} configurations", rule.name());
    }
    println!(
        "\n{:32} {:>9} {:>9} {:>9} {:>9}",
        "action", "follower", "candidate", "leader", "down"
    );
    for (action, _) in coverage::ACTIONS {
        let of = |role| all.iter().filter_map(|c| c.actions.get(&(*action, role))).sum::<u64>();
        let [follower, candidate, leader, down] =
            ["follower", "candidate", "leader", "down"].map(of);
        println!("{action:32} {follower:>9} {candidate:>9} {leader:>9} {down:>9}");
    }
    finish(&all, args)
}

fn finish(all: &[Coverage], args: &CoverageArgs) -> Result<Exit, Failure> {
    let mut exit = Exit::Fine;
    println!();
    for rule in Rule::ALL {
        if let Some(reason) = coverage::excuse(*rule) {
            println!("Listed with a reason: {}: {reason}", rule.name());
        }
    }
    for gap in coverage::gaps(all) {
        println!("NOT EXERCISED: {gap}");
        exit = Exit::Vacuous;
    }
    let document = rule_map::document(all);
    if let Some(path) = &args.check {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Failure::Read { path: path.clone(), source })?;
        if text == document {
            println!("{} is current.", path.display());
        } else {
            println!("STALE: write it again with `raftcheck coverage --write {}`.", path.display());
            exit = Exit::Vacuous;
        }
    }
    if let Some(path) = &args.write {
        std::fs::write(path, document)
            .map_err(|source| Failure::Write { path: path.clone(), source })?;
    }
    Ok(if all.iter().all(|config| config.complete) { exit } else { Exit::Incomplete })
}
