//! `raftcheck trace`: shows a shortest run that reaches a situation.

use std::path::{Path, PathBuf};

use raft_checker::check::{Options, Strategy, witness_run};
use raft_checker::config::Catalog;
use raft_checker::exit_code::Exit;
use raft_checker::properties::Witness;
use raft_checker::replay::Replay;
use raft_cli::file::Destination;
use raft_cli::options::similar;
use raft_cli::output::Output;

use crate::args::TraceArgs;
use crate::counterexample;
use crate::failure::Failure;
use crate::replay::draw;
use crate::watch::Watch;

pub(crate) fn run(folder: Option<&Path>, args: &TraceArgs) -> Result<Exit, Failure> {
    let witness = find(&args.witness)?;
    let config = Catalog::open(folder)?.find(&args.config)?;
    let new = |path: &PathBuf| Destination::new(path, false);
    let file = args.out.as_ref().map(new).transpose()?;
    let to_stdout = file.as_ref().is_some_and(Destination::is_stdout);
    let mut out = if to_stdout { Output::stderr() } else { Output::stdout() };
    for path in args.diagrams.svg.iter().chain(&args.diagrams.mermaid) {
        Destination::new(path, false)?;
    }
    let options = Options {
        network: None,
        strategy: Strategy::Level,
        threads: args.search.threads.number(),
        symmetry: !args.no_symmetry,
    };
    let search = |control: &_| witness_run(&config, witness, options, control);
    let (name, sought) = (&config.name, witness.name());
    let exit = match Watch::new(&args.search).run(name, None, search).0 {
        Ok(Some(trace)) => {
            let path = PathBuf::from(name);
            let replay = Replay::run(&trace.settings, &trace.actions)
                .map_err(|source| Failure::Replay { path, source })?;
            if let Some(file) = &file {
                let mut text = Vec::new();
                trace.write(&mut text).expect("a vector takes everything");
                file.write(&text)?;
            }
            draw(&replay, &trace.about, &args.diagrams)?;
            writeln!(out, "{}, in {} steps\n", trace.about, trace.actions.len());
            out.print(&counterexample::show(&replay, args.table.width()));
            Exit::Fine
        }
        Ok(None) => {
            writeln!(out, "No run within the bounds of {name} reaches {sought}.");
            Exit::Vacuous
        }
        Err(reason) => {
            writeln!(out, "INCOMPLETE: {} before {sought}.", reason.sentence());
            Exit::Incomplete
        }
    };
    out.finish()?;
    Ok(exit)
}

fn find(name: &str) -> Result<Witness, Failure> {
    let found = Witness::ALL.into_iter().find(|witness| witness.name() == name);
    found.ok_or_else(|| {
        let similar = similar(name, Witness::ALL.map(Witness::name));
        Failure::UnknownWitness { name: name.to_owned(), similar }
    })
}
