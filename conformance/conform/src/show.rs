//! What a person reads when production differs from the model: how to get there, the step, what was
//! special about it, and the parts in which the two differ. Plain ASCII, at most 100 columns.

use std::fmt::Write as _;

use raft_checker::notation::describe_action;
use raft_checker::text_width::wrap;

use super::Found;
use super::snapshot_transfer::Scenario;
use crate::lockstep::{Difference, Divergence};

/// The width of the whole.
const WIDTH: usize = 100;

/// How many steps are shown from the beginning and from the end of a long trace.
const ENDS: (usize, usize) = (3, 13);

/// How many parts that differ are shown.
const PARTS: usize = 6;

/// How many lines a value may take.
const LINES: usize = 2;

/// A difference, in at most about thirty lines. `again` is how to see it again.
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

/// A transfer that went wrong.
pub fn transfer(name: &str, scenario: &Scenario) -> String {
    let Scenario { name: snapshot, disturbance, divergence } = scenario;
    let values = values(divergence);
    format!(
        "{name} DIVERGED in a transfer of {snapshot}:\n{}\n\n{values}",
        wrap(disturbance, "    ")
    )
}

/// What differs, part by part, model beside node.
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

/// A value in a few lines, indented but for the first.
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

/// A text in ASCII that fits, with a mark where something is missing.
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
