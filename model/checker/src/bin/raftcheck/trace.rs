//! `raftcheck trace`: a shortest run that reaches a situation, for people who want to see it.

use std::path::PathBuf;

use raft_checker::check::{Options, Strategy, witness_run};
use raft_checker::config::Catalog;
use raft_checker::exit::Exit;
use raft_checker::properties::Witness;
use raft_checker::replay::Replay;

use crate::args::TraceArgs;
use crate::failure::{Failure, write_new};
use crate::replay::draw;
use crate::{counterexample, watch};

pub(crate) fn run(folder: Option<PathBuf>, args: &TraceArgs) -> Result<Exit, Failure> {
    let witness = find(&args.witness)?;
    let config = Catalog::read(&folder.map_or_else(Catalog::folder, Ok)?)?.find(&args.config)?;
    let options = Options {
        strategy: Strategy::Level,
        threads: args.search.threads(),
        symmetry: !args.search.no_symmetry,
    };
    let search = |control: &_| witness_run(&config, witness, options, control);
    let trace = match watch::watch(&config.name, &args.search, search).0 {
        Ok(Some(trace)) => trace,
        Ok(None) => {
            println!("No run within the bounds of {} reaches {}.", config.name, witness.name());
            return Ok(Exit::Vacuous);
        }
        Err(_) => {
            println!("INCOMPLETE: a limit was reached before {}.", witness.name());
            return Ok(Exit::Incomplete);
        }
    };
    println!("{}, in {} steps\n", trace.about, trace.actions.len());
    let path = PathBuf::from(&config.name);
    let replay = Replay::run(&trace.settings, &trace.actions)
        .map_err(|source| Failure::Replay { path, source })?;
    print!("{}", counterexample::show(&replay, args.table.width()));
    if let Some(path) = &args.out {
        let mut text = Vec::new();
        let written = trace.write(&mut text);
        written.map_err(|source| Failure::Write { path: path.clone(), source })?;
        write_new(path, &text, "name another file")?;
    }
    draw(&replay, &trace.about, &args.diagrams)?;
    Ok(Exit::Fine)
}

fn find(name: &str) -> Result<Witness, Failure> {
    if let Some(witness) = Witness::ALL.into_iter().find(|witness| witness.name() == name) {
        return Ok(witness);
    }
    let mut nearest: Vec<(usize, String)> = Witness::ALL
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(name, known.name()), known.name().to_owned()))
        .collect();
    nearest.sort();
    let nearest = nearest.into_iter().take(3).map(|(_, name)| name).collect();
    Err(Failure::UnknownWitness { name: name.to_owned(), nearest })
}
