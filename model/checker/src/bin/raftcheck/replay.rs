//! `raftcheck replay`: a trace, step by step.

use raft_checker::diagram;
use raft_checker::replay::Replay;

use crate::args::{DiagramArgs, ReplayArgs};
use crate::counterexample::{load, show};
use raft_checker::exit::Exit;

use crate::failure::{Failure, write_new};

pub(crate) fn run(args: &ReplayArgs) -> Result<Exit, Failure> {
    let (trace, replay) = load(&args.trace)?;
    println!("{}\n", trace.about);
    print!("{}", show(&replay, args.table.width()));
    draw(&replay, &trace.about, &args.diagrams)?;
    if replay.violation().is_some() {
        return Ok(Exit::Violated);
    }
    println!("{} steps, and nothing is broken.", replay.steps.len());
    Ok(Exit::Fine)
}

/// Writes the pictures that were asked for.
pub(crate) fn draw(replay: &Replay, title: &str, args: &DiagramArgs) -> Result<(), Failure> {
    const ADVICE: &str = "name another file";
    if let Some(path) = &args.svg {
        write_new(path, diagram::svg(replay, title, args.theme.into()).as_bytes(), ADVICE)?;
    }
    if let Some(path) = &args.mermaid {
        write_new(path, diagram::mermaid(replay).as_bytes(), ADVICE)?;
    }
    Ok(())
}
