//! Runs as traces, and the messages about wrong traces.

use std::path::{Path, PathBuf};

use crate::support::{SMALL, assert_exit, folder_with, raftcheck, stderr};

/// Makes a trace of a run to a witness, with the program itself.
fn make_trace(folder: &Path) -> PathBuf {
    let arguments =
        ["trace", "snapshot-3", "--witness", "snapshot-installed", "--out", "run.jsonl"];
    assert_exit(&raftcheck(&arguments, folder), 0);
    folder.join("run.jsonl")
}

#[test]
fn a_trace_replays_and_draws_and_overwrites_nothing() {
    let (folder, _) = folder_with("small.toml", SMALL);
    make_trace(folder.path());
    let arguments = ["replay", "run.jsonl", "--svg", "run.svg", "--mermaid", "run.mmd"];
    assert_exit(&raftcheck(&arguments, folder.path()), 0);
    let svg = std::fs::read_to_string(folder.path().join("run.svg")).expect("it was drawn");
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    assert_exit(&raftcheck(&arguments, folder.path()), 2);
}

#[test]
fn a_damaged_trace_is_refused() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let path = make_trace(folder.path());
    let text = std::fs::read_to_string(&path).expect("it was written");
    let last_line = text.trim_end().rfind('\n').expect("it has several lines");
    for (damaged, expected) in [
        (text.replacen("\"version\":2", "\"version\":7", 1), "schema version 7"),
        (text[..last_line].to_owned(), "truncated"),
        (text[..last_line - 20].to_owned(), "truncated"),
        (text.replacen("\"server\":1", "\"server\":8", 1), "there is no server n8"),
        (text.replacen("election_timeout", "election_timeuot", 1), "line 2"),
        ("no trace at all\n".to_owned(), "not a cluster trace"),
        (String::new(), "not a cluster trace"),
    ] {
        std::fs::write(folder.path().join("damaged.jsonl"), &damaged).expect("ours");
        let output = raftcheck(&["replay", "damaged.jsonl"], folder.path());
        assert_exit(&output, 2);
        // Long messages are wrapped.
        let message = stderr(&output).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

#[test]
fn an_unknown_witness_names_the_nearest_ones() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let output =
        raftcheck(&["trace", "snapshot-3", "--witness", "snapshot-instaled"], folder.path());
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("snapshot-installed"));
}

#[test]
fn a_witness_that_the_bounds_exclude_is_said_to_be_unreachable() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let output = raftcheck(&["trace", "small.toml", "--witness", "read-served"], folder.path());
    assert_exit(&output, 5);
}

#[test]
fn a_table_is_as_wide_as_asked_for_and_a_picture_has_the_theme_asked_for() {
    let (folder, _) = folder_with("small.toml", SMALL);
    make_trace(folder.path());
    let figure_8 = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../specs/corpus/figure-8-older-entry-overwritten.jsonl"
    );
    let table = |arguments: &[&str]| {
        let all = [&["replay", figure_8], arguments].concat();
        let output = raftcheck(&all, folder.path());
        assert_exit(&output, 0);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<String> = text.lines().skip(2).map(str::to_owned).collect();
        (lines.iter().map(String::len).max().unwrap_or(0), lines[0].clone())
    };
    for (arguments, most, last_column) in [
        (&["--width", "40"][..], 40, "| server"),
        (&[], 100, "| server"),
        (&["--width", "160"], 160, "| n5"),
    ] {
        let (longest, head) = table(arguments);
        assert!(longest <= most, "{arguments:?}: {longest}");
        assert!(head.ends_with(last_column), "{arguments:?}: {head}");
    }

    let dark = ["replay", "run.jsonl", "--svg", "dark.svg", "--theme", "dark"];
    assert_exit(&raftcheck(&dark, folder.path()), 0);
    let svg = std::fs::read_to_string(folder.path().join("dark.svg")).expect("it was drawn");
    assert!(svg.contains(".paper{fill:#0d1117}") && !svg.contains("@media"), "{svg}");
    for wrong in [&["--theme", "dark"][..], &["--theme", "pink"], &["--width", "9"]] {
        let all = [&["replay", "run.jsonl"], wrong].concat();
        assert_exit(&raftcheck(&all, folder.path()), 2);
    }
}
