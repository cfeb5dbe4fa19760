//! A run as a table: one column for each server, and one row for each step, which shows only the
//! changes.
//!
//! A column is as wide as its longest text. If the table would be wider than asked for, the widest
//! columns become narrower first, and a text that does not fit goes on in the next line. If a
//! column would become narrower than [`NARROWEST`], the servers share one column, in which each
//! entry names its server.

use crate::notation::{describe_action, describe_server};
use crate::replay::Replay;
use crate::text_width::wrapped;

/// The least width of a column. The servers share one column if one of them would get a narrower
/// one.
pub const NARROWEST: usize = 16;

/// The width before the column of actions, for a mark and the number of the step.
const LEFT: usize = 8;

/// The separator of two columns.
const BAR: &str = " | ";

/// Returns the run as a table, at most `width` columns wide, but never narrower than 40.
pub fn table(replay: &Replay, width: usize) -> String {
    let rows: Vec<Vec<String>> = (0..replay.steps.len()).map(|place| row(replay, place)).collect();
    let names = replay.start.servers.iter().map(|server| server.id.to_string());
    let head: Vec<String> = std::iter::once("action".to_owned()).chain(names).collect();
    let all: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = width.max(40);
    let (all, widths) = match fit(&all, width) {
        Some(widths) => (all, widths),
        None => share_column(&all, width),
    };

    let mut out = String::new();
    let violation = replay.violation().map(|(place, _)| place);
    let contradicted = replay.contradicted();
    for (line, row) in all.iter().enumerate() {
        let place = line.checked_sub(1);
        let left = match place {
            None => "  step".to_owned(),
            Some(_) if place == violation => format!("X {line:4}"),
            Some(_) if place == contradicted => format!("> {line:4}"),
            Some(_) => format!("  {line:4}"),
        };
        write_row(&mut out, &left, row, &widths);
    }
    out
}

/// Returns the action, and for each server its new description, or nothing if it did not change.
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

/// Returns the widths of the columns; none if a column would get too narrow.
fn fit(rows: &[Vec<String>], width: usize) -> Option<Vec<usize>> {
    let columns = rows.first().map_or(0, Vec::len);
    let longest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let mut widths: Vec<usize> = (0..columns).filter_map(longest).collect();
    let room = width.saturating_sub(LEFT + BAR.len() * columns.saturating_sub(1));
    let mut surplus = widths.iter().sum::<usize>().saturating_sub(room);
    while surplus > 0 {
        let widest = widths.iter_mut().max().filter(|widest| **widest > NARROWEST)?;
        *widest -= 1;
        surplus -= 1;
    }
    Some(widths)
}

/// Returns the same rows with one column for all servers. A step changes one server at most.
fn share_column(rows: &[Vec<String>], width: usize) -> (Vec<Vec<String>>, Vec<usize>) {
    let (head, steps) = rows.split_first().map_or((&[][..], rows), |(head, steps)| (head, steps));
    let mut shared = vec![vec!["action".to_owned(), "server".to_owned()]];
    shared.extend(steps.iter().map(|row| {
        let changed = head.iter().zip(row).skip(1).filter(|(_, cell)| !cell.is_empty());
        let cells: Vec<String> = changed.map(|(name, cell)| format!("{name} {cell}")).collect();
        vec![row[0].clone(), cells.join(", ")]
    }));
    let half = (width - LEFT - BAR.len()) / 2;
    let widths = fit(&shared, width).unwrap_or_else(|| vec![half, half]);
    (shared, widths)
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
