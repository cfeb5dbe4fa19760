//! Reports of differences between production and the model, as text: the trace, the step, the way
//! in which it was tried, and the parts that differ. Plain ASCII, at most 100 columns.

use std::fmt::Write as _;

use raft_checker::notation::describe_action;
use raft_checker::text_width::wrap;

use super::Found;
use super::snapshot_transfer::Scenario;
use crate::lockstep::{Difference, Divergence};

/// The width of a report.
const WIDTH: usize = 100;

/// The number of steps that are shown from the beginning of a long trace, and from its end.
const ENDS: (usize, usize) = (3, 13);

/// The most differing parts that are shown.
const PARTS: usize = 6;

/// The most lines of a value.
const LINES: usize = 2;

/// Returns the report of a difference, in at most about thirty lines. `again` says how to reproduce
/// it.
pub fn divergence(name: &str, found: &Found, again: &str) -> String {
    let Found { divergence, trace, server, variant } = found;
    let mut out = format!("{name} DIVERGED on {server}, {variant}\n\n  step  action\n");
    let count = trace.actions.len();
    let left_out = ENDS.0..count.saturating_sub(ENDS.1).max(ENDS.0);
    for (place, action) in trace.actions.iter().enumerate() {
        if left_out.len() > 1 && left_out.contains(&place) {
            if place == left_out.start {
                let _ = writeln!(out, "   ...  {} more", left_out.len());
            }
            continue;
        }
        let mark = if place + variant.steps() >= count { 'X' } else { ' ' };
        let line = format!("{mark} {:4}  {}", place + 1, describe_action(action));
        let _ = writeln!(out, "{}", clip(&line, WIDTH));
    }
    out.push('\n');
    out.push_str(&values(divergence));
    let _ = writeln!(out, "\n{}", wrap(again, ""));
    out
}

/// Returns the report of a transfer that went wrong.
pub fn transfer(name: &str, scenario: &Scenario) -> String {
    let Scenario { name: snapshot, disturbance, divergence } = scenario;
    let values = values(divergence);
    format!(
        "{name} DIVERGED in a transfer of {snapshot}:\n{}\n\n{values}",
        wrap(disturbance, "    ")
    )
}

/// Returns the parts that differ, each with the values of the model and the node.
pub fn values(divergence: &Divergence) -> String {
    let mut out = format!("{}\n", wrap(&format!("X differs: {}", divergence.field), ""));
    let differences = divergence.differences();
    for Difference { path, model, node } in differences.iter().take(PARTS) {
        if !path.is_empty() {
            let _ = writeln!(out, "{}", clip(&format!("  where   {path}"), WIDTH));
        }
        let _ = writeln!(out, "  model   {}", lines(model.as_deref()));
        let _ = writeln!(out, "  node    {}", lines(node.as_deref()));
    }
    if differences.len() > PARTS {
        let _ = writeln!(out, "  and {} parts more", differences.len() - PARTS);
    }
    out
}

/// Returns a value in a few lines, indented except for the first.
fn lines(value: Option<&str>) -> String {
    let value = value.unwrap_or("nothing");
    let room = WIDTH - 10;
    let letters: Vec<char> = clip(value, room * LINES).chars().collect();
    let lines = letters.chunks(room).map(|line| line.iter().collect::<String>());
    if letters.is_empty() {
        "nothing".to_owned()
    } else {
        lines.collect::<Vec<_>>().join("\n          ")
    }
}

/// Returns a text in ASCII that fits into the width. A text that is too long is cut and ends with
/// `..`.
fn clip(text: &str, width: usize) -> String {
    let text: String = text
        .chars()
        .flat_map(|letter| {
            if letter.is_ascii() && !letter.is_ascii_control() {
                vec![letter]
            } else {
                letter.escape_default().collect()
            }
        })
        .collect();
    if text.len() <= width {
        return text;
    }
    format!("{}..", &text[..width - 2])
}
