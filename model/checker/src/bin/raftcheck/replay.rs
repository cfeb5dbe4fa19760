//! `raftcheck replay`: replays a trace, step by step.

use std::path::Path;

use raft_checker::diagram;
use raft_checker::replay::Replay;

use crate::args::{DiagramArgs, ReplayArgs};
use crate::counterexample::{load, show};
use raft_checker::exit_code::Exit;
use raft_cli::file::write_new;
use raft_cli::output::Output;

use crate::failure::{Failure, refuse_without_effect};

pub(crate) fn run(folder: Option<&Path>, args: &ReplayArgs) -> Result<Exit, Failure> {
    refuse_without_effect(folder.is_some(), "--configs", "on a trace")?;
    let mut out = Output::stdout();
    let (trace, replay) = load(&args.trace)?;
    draw(&replay, &trace.about, &args.diagrams)?;
    writeln!(out, "{}\n", trace.about);
    out.print(&show(&replay, args.table.width()));
    let violated = replay.violation().is_some();
    if !violated {
        writeln!(out, "{} steps, and nothing is broken.", replay.steps.len());
    }
    out.finish()?;
    Ok(if violated { Exit::Violated } else { Exit::Fine })
}

/// Writes the pictures that were asked for.
pub(crate) fn draw(replay: &Replay, title: &str, args: &DiagramArgs) -> Result<(), Failure> {
    if let Some(path) = &args.svg {
        write_new(path, diagram::svg(replay, title, args.theme.into()).as_bytes())?;
    }
    if let Some(path) = &args.mermaid {
        write_new(path, diagram::mermaid(replay).as_bytes())?;
    }
    Ok(())
}
