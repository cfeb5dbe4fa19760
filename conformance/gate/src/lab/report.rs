//! Reports of the results: a table, the failures, and JSON.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use raft_checker::exit_code::Exit;
use raft_checker::text_width::wrap;
use raft_lab::{Level, Outcome};
use serde_json::{Value, json};

use super::Tally;

/// The most failures of a test that are reported in full.
const TOLD: usize = 3;

/// The number of lines that are shown from the end of a failure's story.
const LINES: usize = 5;

/// The most characters that are shown of an observation.
const SEEN: usize = 2000;

pub(super) fn show(tallies: &[Tally], wall: Duration) -> String {
    let mut out = table(tallies);
    for tally in tallies {
        for failed in tally.failed.iter().take(TOLD) {
            out.push_str(&failure(failed));
        }
        if tally.failed.len() > TOLD {
            let seeds = tally.failed[TOLD..].iter().map(|failed| failed.seed.to_string());
            let seeds = seeds.take(20).collect::<Vec<_>>().join(", ");
            let more = format!("{} fails with more seeds: {seeds}", tally.test.name);
            let _ = writeln!(out, "\n{}", wrap(&more, ""));
        }
    }
    let runs: u64 = tallies.iter().map(|tally| tally.runs).sum();
    let failed: usize = tallies.iter().map(|tally| tally.failed.len()).sum();
    let simulated: f64 = tallies.iter().map(|tally| tally.simulated.as_secs_f64()).sum();
    let seconds = wall.as_secs_f64();
    let _ = writeln!(
        out,
        "\n{} tests, {runs} runs, {failed} failed: {simulated:.0} simulated seconds in {seconds:.1} s.",
        tallies.len()
    );
    out
}

fn table(tallies: &[Tally]) -> String {
    let mut table = Table::new();
    let header = ["test", "seeds", "passed", "simulated", "wall"];
    table.load_style(presets::NOTHING).set_header(header);
    for place in 1..5 {
        if let Some(column) = table.column_mut(place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for tally in tallies {
        table.add_row(vec![
            tally.test.name.to_owned(),
            tally.runs.to_string(),
            (tally.runs - tally.failed.len() as u64).to_string(),
            format!("{:.1} s", tally.simulated.as_secs_f64()),
            format!("{:.2} s", tally.wall.as_secs_f64()),
        ]);
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// Returns the report of a failure: the demand, the observation, the last lines of the story, and
/// the command that repeats the run.
pub(super) fn failure(failed: &Outcome) -> String {
    let mut out = format!("\n{} FAILED with seed {}\n", failed.test, failed.seed);
    if let Some(unmet) = &failed.unmet {
        out.push_str(&indented("demanded: ", &unmet.demanded));
        let seen: String = unmet.seen.chars().take(SEEN).collect();
        out.push_str(&indented("seen:     ", &seen));
    }
    let from = failed.story.len().saturating_sub(LINES);
    for line in &failed.story[from..] {
        let _ = writeln!(out, "  {line}");
    }
    let (test, seed) = (failed.test, failed.seed);
    let _ = writeln!(out, "  again:    raftgate lab {test} --seeds {seed}..{}", seed + 1);
    out
}

fn indented(label: &str, text: &str) -> String {
    let indent = " ".repeat(12);
    let wrapped: String = text.lines().map(|line| wrap(line, &indent) + "\n").collect();
    format!("  {label}{}", wrapped.get(indent.len()..).unwrap_or("\n"))
}

pub(super) fn as_json(tallies: &[Tally], seeds: &Range<u64>, exit: Exit, wall: Duration) -> Value {
    let failure = |failed: &Outcome| {
        let unmet = failed.unmet.as_ref();
        json!({
            "seed": failed.seed,
            "demanded": unmet.map(|unmet| &unmet.demanded),
            "seen": unmet.map(|unmet| &unmet.seen),
            "hash": format!("{:016x}", failed.hash),
        })
    };
    let test = |tally: &Tally| {
        json!({
            "test": tally.test.name,
            "level": match tally.test.level {
                Level::Raft => "raft",
                Level::Service => "service",
            },
            "seeds": tally.runs,
            "passed": tally.runs - tally.failed.len() as u64,
            "simulated_seconds": tally.simulated.as_secs_f64(),
            "wall_seconds": tally.wall.as_secs_f64(),
            "failures": tally.failed.iter().map(failure).collect::<Vec<_>>(),
        })
    };
    json!({
        "exit_code": exit.code(),
        "first_seed": seeds.start,
        "seeds": seeds.end - seeds.start,
        "wall_seconds": wall.as_secs_f64(),
        "passed": exit == Exit::Fine,
        "tests": tallies.iter().map(test).collect::<Vec<_>>(),
    })
}
