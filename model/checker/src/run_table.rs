//! A run as a table: one line a step, one column for each server, and only what changed.
//!
//! A column is as wide as its longest text. If the table would be wider than asked for, the widest
//! columns give way first, and what does not fit into a column goes on in the next line.

use crate::replay::Replay;
use crate::view::{describe_action, describe_server, wrapped};

/// No column gets narrower than this, so that a table of many servers can be wider than asked for.
pub const NARROWEST: usize = 8;

/// What stands before the column of actions: a mark and the number of the step.
const LEFT: usize = 8;

/// Between two columns.
const BAR: &str = " | ";

/// The run as a table, at most `width` columns wide if [`NARROWEST`] allows it.
pub fn table(replay: &Replay, width: usize) -> String {
    let servers = replay.start.servers.iter().map(|server| server.id.to_string());
    let head: Vec<String> = std::iter::once("action".to_owned()).chain(servers).collect();
    let rows: Vec<Vec<String>> = (0..replay.steps.len()).map(|place| row(replay, place)).collect();
    let longest = |column: usize| {
        let texts = rows.iter().chain([&head]).map(|row| row[column].chars().count());
        texts.max().unwrap_or(0)
    };
    let natural: Vec<usize> = (0..head.len()).map(longest).collect();
    let bars = BAR.len() * (head.len() - 1);
    let widths = fit(natural, width.saturating_sub(LEFT + bars));

    let mut out = String::new();
    write_row(&mut out, "  step", &head, &widths);
    let violation = replay.violation().map(|(place, _)| place);
    let contradicted = replay.contradicted();
    for (place, row) in rows.iter().enumerate() {
        let mark = match Some(place) {
            place if place == violation => 'X',
            place if place == contradicted => '>',
            _ => ' ',
        };
        write_row(&mut out, &format!("{mark} {:4}", place + 1), row, &widths);
    }
    out
}

/// The action, and for each server what it is now, or nothing if it did not change.
fn row(replay: &Replay, place: usize) -> Vec<String> {
    let step = &replay.steps[place];
    let before = place.checked_sub(1).map_or(&replay.start, |last| &replay.steps[last].after);
    let pairs = before.servers.iter().zip(&step.after.servers);
    let changes = pairs.map(|(before, after)| {
        let now = describe_server(after);
        if describe_server(before) == now { String::new() } else { now }
    });
    std::iter::once(describe_action(&step.action)).chain(changes).collect()
}

/// Takes from the widest columns until all fit into `room` together.
fn fit(mut widths: Vec<usize>, room: usize) -> Vec<usize> {
    let mut surplus = widths.iter().sum::<usize>().saturating_sub(room);
    while surplus > 0 {
        let widest = widths.iter_mut().max().filter(|widest| **widest > NARROWEST);
        let Some(widest) = widest else { break };
        *widest -= 1;
        surplus -= 1;
    }
    widths
}

/// Writes a row in as many lines as its longest text needs.
fn write_row(out: &mut String, left: &str, row: &[String], widths: &[usize]) {
    let cells = row.iter().zip(widths).map(|(text, width)| wrapped(text, *width));
    let cells: Vec<Vec<String>> = cells.collect();
    let lines = cells.iter().map(Vec::len).max().unwrap_or(0);
    for line in 0..lines {
        let left = if line == 0 { left } else { "" };
        let texts = cells.iter().zip(widths).map(|(texts, width)| {
            let text = texts.get(line).map_or("", String::as_str);
            format!("{text:width$}")
        });
        let text = format!("{left:LEFT$}{}", texts.collect::<Vec<_>>().join(BAR));
        out.push_str(text.trim_end());
        out.push('\n');
    }
}
