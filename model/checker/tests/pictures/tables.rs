//! Tables of runs keep to their width and leave nothing out.

use raft_checker::notation::{describe_action, describe_server};
use raft_checker::replay::Replay;
use raft_checker::run_table::{NARROWEST, table};

use super::runs;

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
            assert_eq!(cells(&text), expected(replay, &text), "{text}");
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
fn figure_8_on_five_servers_takes_few_lines_at_80_and_100_columns() {
    let figure_8 = runs::figure_8();
    for width in [80, 100] {
        let text = table(&figure_8, width);
        assert!(text.lines().count() < figure_8.steps.len() * 5 / 4, "{text}");
        assert!(text.starts_with("  step  action"), "{text}");
        assert!(text.lines().next().is_some_and(|head| head.ends_with("| server")), "{text}");
    }
}

#[test]
fn servers_share_a_column_rather_than_get_one_too_narrow_to_be_read() {
    let figure_8 = runs::figure_8();
    let head = |width: usize| table(&figure_8, width).lines().next().expect("a head").to_owned();
    // A mark and a number, six columns of the least width, and the bars between them.
    let least = 8 + 6 * NARROWEST + 5 * 3;
    assert!(head(least).ends_with("| n5"), "{}", head(least));
    assert!(head(least - 1).ends_with("| server"), "{}", head(least - 1));
}

/// Returns the columns of each step, without blanks, so that words which were broken are whole
/// again.
fn cells(text: &str) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let bars: Vec<usize> = head(text).match_indices(" | ").map(|(at, _)| at).collect();
    let starts: Vec<usize> = std::iter::once(8).chain(bars.iter().map(|at| at + 3)).collect();
    let ends = bars.iter().copied().chain([usize::MAX]);
    let spans: Vec<(usize, usize)> = starts.into_iter().zip(ends).collect();
    for line in text.lines().skip(1) {
        let begins = !line.get(..8).unwrap_or(line).trim().is_empty();
        if begins {
            rows.push(vec![String::new(); spans.len()]);
        }
        let row = rows.last_mut().expect("the first line begins a step");
        for (cell, (start, end)) in row.iter_mut().zip(&spans) {
            let part = line.get(*start..line.len().min(*end)).unwrap_or("");
            cell.extend(part.split_whitespace());
        }
    }
    rows
}

fn expected(replay: &Replay, text: &str) -> Vec<Vec<String>> {
    let is_shared = head(text).ends_with("| server");
    let mut before = &replay.start;
    let mut rows = Vec::new();
    for step in &replay.steps {
        let mut row = vec![without_blanks(&describe_action(&step.action))];
        let mut shared = String::new();
        for (was, is) in before.servers.iter().zip(&step.after.servers) {
            let (was, now) = (describe_server(was), describe_server(is));
            let change = if was == now { String::new() } else { without_blanks(&now) };
            if !change.is_empty() {
                shared = format!("{}{change}", is.id);
            }
            row.push(change);
        }
        if is_shared {
            row = vec![row.swap_remove(0), shared];
        }
        rows.push(row);
        before = &step.after;
    }
    rows
}

fn head(text: &str) -> &str {
    text.lines().next().expect("a head")
}

fn without_blanks(text: &str) -> String {
    text.split_whitespace().collect()
}
