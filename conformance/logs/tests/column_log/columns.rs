//! Tests that the picture fits its width, and that every line is complete by itself.

use raft_core::{Input, NodeId};
use raft_logs::column_log::{Columns, Event, Filter, Flag, Layout, NARROWEST, Topic};

use crate::cluster::Cluster;
use crate::support::{event_lines, lines, picture, whole_corpus};

/// Writes logs of seven servers, with long commands.
fn seven_logs() -> (tempfile::TempDir, Vec<std::path::PathBuf>) {
    let mut cluster = Cluster::new(7);
    cluster.input(6, Input::ElectionTimeout);
    cluster.settle();
    cluster.propose(6, &"a long command ".repeat(100));
    cluster.propose(6, "\u{1f600}\n\t");
    cluster.settle();
    cluster.read(6);
    cluster.settle();
    let folder = tempfile::tempdir().expect("a folder");
    let path = |number: usize| folder.path().join(format!("n{number}"));
    let mut paths = Vec::new();
    for (place, log) in cluster.logs().iter().enumerate() {
        std::fs::write(path(place), lines(log)).expect("the folder is ours");
        paths.push(path(place));
    }
    (folder, paths)
}

fn longest(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

#[test]
fn seven_servers_and_long_commands_fit_into_a_hundred_columns() {
    let (_folder, paths) = seven_logs();
    for cut in [false, true] {
        let layout = Layout { cut, ..Layout::default() };
        let text = picture(&paths, Filter::default(), layout);
        assert!(longest(&text) <= 100, "{}: {text}", longest(&text));
        assert!(text.is_ascii());
    }
}

#[test]
fn every_trace_of_the_corpus_fits_into_a_hundred_columns() {
    for path in whole_corpus() {
        let text = picture(std::slice::from_ref(&path), Filter::default(), Layout::default());
        assert!(longest(&text) <= 100, "{}: {text}", path.display());
        assert!(event_lines(&text).len() > 10, "{}: {text}", path.display());
    }
}

#[test]
fn what_is_cut_says_so_and_what_is_wrapped_is_all_there() {
    let (_folder, paths) = seven_logs();
    let columns = |cut| {
        let layout = Layout { cut, ..Layout::default() };
        let text =
            picture(&paths, Filter { topics: [Topic::Clnt].into(), ..Filter::default() }, layout);
        let column = |line: &&str| line.rsplit('|').next().unwrap_or("").to_owned();
        event_lines(&text).iter().map(column).collect::<Vec<_>>()
    };
    assert!(columns(true)[0].ends_with(".."));
    // Without spaces and line breaks, broken words are whole again.
    let wrapped: String = columns(false).concat().split_whitespace().collect();
    assert_eq!(wrapped.matches("command").count(), 100, "{wrapped}");
}

#[test]
fn servers_share_a_column_rather_than_get_one_too_narrow_to_be_read() {
    let text = |width: usize| {
        let layout = Layout { width, cut: true, ..Layout::default() };
        let mut columns = Columns::new(vec![NodeId(1), NodeId(2)], layout);
        let mut out = Vec::new();
        columns.write(&event(2, "0123456789 0123456789 0123456789"), &mut out).expect("memory");
        String::from_utf8(out).expect("text")
    };
    // Margin, step and topic take 14 columns, each bar two.
    let least = 14 + 2 * (2 + NARROWEST);
    let lines: Vec<String> = text(least).lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "    step topic| n1          | n2");
    assert_eq!(lines[1], "      12 CMIT |             | 0123456789..");
    let lines: Vec<String> = text(least - 1).lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "    step topic| server");
    assert_eq!(lines[1], "      12 CMIT | n2 0123456789 012345678..");
}

fn event(server: u64, text: &str) -> Event {
    Event {
        step: 12,
        server: NodeId(server),
        topic: Topic::Cmit,
        term: None,
        indexes: None,
        state: None,
        flag: Flag::None,
        text: text.to_owned(),
    }
}

#[test]
fn colours_change_nothing_but_colours() {
    let write = |coloured| {
        let layout = Layout { coloured, ..Layout::default() };
        let mut columns = Columns::new(vec![NodeId(1), NodeId(2)], layout);
        let mut out = Vec::new();
        columns.write(&event(1, "commits 5..7"), &mut out).expect("memory takes it");
        String::from_utf8(out).expect("text")
    };
    let (plain, coloured) = (write(false), write(true));
    assert!(!plain.contains('\u{1b}') && coloured.contains('\u{1b}'));
    let mut stripped = String::new();
    for (place, part) in coloured.split('\u{1b}').enumerate() {
        let rest = if place == 0 { part } else { part.split_once('m').expect("a colour").1 };
        stripped.push_str(rest);
    }
    assert_eq!(stripped, plain);
}

#[test]
fn a_server_that_comes_late_gets_a_column() {
    let mut columns = Columns::new(vec![NodeId(2)], Layout::default());
    let mut out = Vec::new();
    for server in [2, 1, 2] {
        columns.write(&event(server, "x"), &mut out).expect("memory takes it");
    }
    let text = String::from_utf8(out).expect("text");
    let names: Vec<&str> = text.lines().filter(|line| line.contains("topic")).collect();
    assert_eq!(names.len(), 2, "{text}");
    assert!(names[1].find("n1") < names[1].find("n2"), "{text}");
}
