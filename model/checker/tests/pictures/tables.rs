//! Tables of runs keep to their width and leave nothing out.

use raft_checker::replay::Replay;
use raft_checker::run_table::{NARROWEST, table};
use raft_checker::view::{describe_action, describe_server};

use crate::runs;

#[test]
fn tables_keep_to_their_width_and_leave_nothing_out() {
    let mut runs: Vec<Replay> = runs::corpus().into_iter().map(|(.., replay)| replay).collect();
    runs.extend(runs::random());
    runs.push(runs::small());
    for replay in &runs {
        for width in [80, 100, 160, 240] {
            let text = table(replay, width);
            let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(longest <= width, "{longest} columns:\n{text}");
            assert_eq!(cells(&text, replay.start.servers.len()), expected(replay), "{text}");
        }
    }
}

#[test]
fn figure_8_on_five_servers_needs_one_line_a_step_at_160_columns() {
    let figure_8 = runs::figure_8();
    assert_eq!(table(&figure_8, 160).lines().count(), figure_8.steps.len() + 1);
}

#[test]
fn a_table_is_not_wider_than_its_texts() {
    let figure_8 = runs::figure_8();
    assert_eq!(table(&figure_8, 400), table(&figure_8, 1000));
}

#[test]
fn no_column_is_too_narrow_to_be_read() {
    let text = table(&runs::small(), 1);
    let head = text.lines().next().expect("a head");
    let widths: Vec<usize> = head.split(" | ").map(str::len).collect();
    assert_eq!(widths[1..3], [NARROWEST, NARROWEST], "{head}");
}

/// The columns of each step, without blanks: words that were broken are whole again.
fn cells(text: &str, servers: usize) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let head = text.lines().next().expect("a head");
    let bars: Vec<usize> = head.match_indices(" | ").map(|(at, _)| at).collect();
    assert_eq!(bars.len(), servers, "{head}");
    let starts: Vec<usize> = std::iter::once(8).chain(bars.iter().map(|at| at + 3)).collect();
    let ends = bars.iter().copied().chain([usize::MAX]);
    let spans: Vec<(usize, usize)> = starts.into_iter().zip(ends).collect();
    for line in text.lines().skip(1) {
        let begins = !line.get(..8).unwrap_or(line).trim().is_empty();
        if begins {
            rows.push(vec![String::new(); servers + 1]);
        }
        let row = rows.last_mut().expect("the first line begins a step");
        for (cell, (start, end)) in row.iter_mut().zip(&spans) {
            let part = line.get(*start..line.len().min(*end)).unwrap_or("");
            cell.extend(part.split_whitespace());
        }
    }
    rows
}

fn expected(replay: &Replay) -> Vec<Vec<String>> {
    let without_blanks = |text: String| text.split_whitespace().collect::<String>();
    let mut before = &replay.start;
    let mut rows = Vec::new();
    for step in &replay.steps {
        let mut row = vec![without_blanks(describe_action(&step.action))];
        for (was, is) in before.servers.iter().zip(&step.after.servers) {
            let (was, is) = (describe_server(was), describe_server(is));
            row.push(if was == is { String::new() } else { without_blanks(is) });
        }
        rows.push(row);
        before = &step.after;
    }
    rows
}
