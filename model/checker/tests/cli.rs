//! `raftcheck` as people and scripts meet it: verdicts, exit codes, and what it says when something
//! is wrong with the input.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A configuration that is explored in a moment.
const SMALL: &str = r#"
tier = "smoke"
about = "Small."
leaves-out = "Nearly everything."
servers = 3
batch = 1
window = 1
disk = "atomic"
apply = "at-once"

[bounds]
max_term = 1
proposals = 0
heartbeats = 0
in_flight = 2
"#;

fn raftcheck(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_raftcheck"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("raftcheck was built")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn folder_with(name: &str, text: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("the folder is ours");
    (folder, path)
}

fn assert_exit(output: &Output, code: i32) {
    let (out, err) = (stdout(output), stderr(output));
    assert_eq!(output.status.code(), Some(code), "stdout:\n{out}\nstderr:\n{err}");
}

#[test]
fn a_configuration_that_holds_exits_0_and_is_quiet_on_stderr() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let output = raftcheck(&["check", "small.toml"], folder.path());
    assert_exit(&output, 0);
    assert!(stdout(&output).contains("HOLDS"));
    assert_eq!(stderr(&output), "", "progress is for terminals");
}

#[test]
fn no_line_is_wider_than_100_columns() {
    let (folder, _) = folder_with("small.toml", SMALL);
    for arguments in [&["check", "small.toml"][..], &["list"], &["list", "--properties"]] {
        for line in stdout(&raftcheck(arguments, folder.path())).lines() {
            assert!(line.chars().count() <= 100, "{arguments:?}: {line}");
        }
    }
}

#[test]
fn an_unknown_configuration_names_the_nearest_ones() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let output = raftcheck(&["check", "electoin-3"], folder.path());
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("election-3"), "{}", stderr(&output));
}

#[test]
fn malformed_toml_is_reported_with_line_and_column() {
    let (folder, _) = folder_with("bad.toml", &SMALL.replace("servers = 3", "servers = three"));
    let output = raftcheck(&["check", "bad.toml"], folder.path());
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("bad.toml:5:11"), "{}", stderr(&output));
}

#[test]
fn an_unknown_key_is_reported_with_line_and_column() {
    let (folder, _) = folder_with("bad.toml", &SMALL.replace("heartbeats = 0", "heartbeat = 0"));
    let output = raftcheck(&["check", "bad.toml"], folder.path());
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("bad.toml:14:1"), "{}", stderr(&output));
}

#[test]
fn impossible_bounds_are_refused() {
    for (right, wrong) in [
        ("servers = 3", "servers = 9"),
        ("servers = 3", "servers = 0"),
        ("batch = 1", "batch = 0"),
        ("in_flight = 2", "in_flight = 1"),
        ("in_flight = 2", "in_flight = 1000"),
        ("max_term = 1", "max_term = 0"),
    ] {
        let (folder, _) = folder_with("bad.toml", &SMALL.replace(right, wrong));
        let output = raftcheck(&["check", "bad.toml"], folder.path());
        assert_exit(&output, 2);
        assert_eq!(stdout(&output), "", "{wrong}: nothing was explored");
    }
}

#[test]
fn a_time_limit_makes_it_incomplete() {
    let (folder, _) = folder_with("small.toml", SMALL);
    for strategy in ["level", "bfs", "dfs"] {
        let arguments = [
            "check",
            "replication-3",
            "--time-limit",
            "60ms",
            "--threads",
            "1",
            "--strategy",
            strategy,
        ];
        let output = raftcheck(&arguments, folder.path());
        assert_exit(&output, 6);
        assert!(stdout(&output).contains("INCOMPLETE"), "{}", stdout(&output));
    }
}

#[test]
fn a_memory_limit_makes_it_incomplete() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let output = raftcheck(&["check", "replication-3", "--memory-limit", "20MB"], folder.path());
    assert_exit(&output, 6);
    assert!(stdout(&output).contains("memory limit"), "{}", stdout(&output));
}

#[test]
fn a_simulation_never_holds() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let arguments = ["check", "small.toml", "--strategy", "simulation", "--time-limit", "100ms"];
    assert_exit(&raftcheck(&arguments, folder.path()), 6);
}

#[test]
fn the_json_report_has_the_documented_fields_and_overwrites_nothing() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let arguments = ["check", "small.toml", "--json", "report.json"];
    assert_exit(&raftcheck(&arguments, folder.path()), 0);
    let path = folder.path().join("report.json");
    let text = std::fs::read_to_string(&path).expect("the report was written");
    let report: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(report["verdict"], "HOLDS");
    for field in [
        "name",
        "verdict",
        "distinct_states",
        "symmetry",
        "orbit_states",
        "transitions",
        "local_transitions",
        "depth",
        "seconds",
        "peak_bytes",
        "witnesses",
    ] {
        assert!(report["configs"][0].get(field).is_some(), "{field} is missing");
    }

    assert_exit(&raftcheck(&arguments, folder.path()), 2);
    assert_eq!(std::fs::read_to_string(&path).expect("still there"), text);
    let with_force = [&arguments[..], &["--force"]].concat();
    assert_exit(&raftcheck(&with_force, folder.path()), 0);
}

#[test]
fn counts_do_not_depend_on_threads_strategy_or_symmetry() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let counts = |arguments: &[&str], name: &str| {
        let json = format!("{name}.json");
        let all = [&["check", "small.toml", "--json", &json], arguments].concat();
        assert_exit(&raftcheck(&all, folder.path()), 0);
        let text = std::fs::read_to_string(folder.path().join(json)).expect("it was written");
        let report: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        let config = &report["configs"][0];
        let field = |name: &str| config[name].as_u64().expect("a count");
        (field("distinct_states"), field("orbit_states"), field("transitions"))
    };
    let symmetric = counts(&["--threads", "1"], "one");
    assert_eq!(counts(&["--threads", "2"], "two"), symmetric);
    assert_eq!(counts(&["--strategy", "bfs"], "bfs"), symmetric);
    assert_eq!(counts(&["--strategy", "dfs", "--threads", "2"], "dfs"), symmetric);
    let unfolded = counts(&["--no-symmetry"], "unfolded");
    assert_eq!(counts(&["--no-symmetry", "--strategy", "dfs"], "unfolded-dfs"), unfolded);
    assert_eq!(symmetric.1, unfolded.0, "orbits add up");
    assert_eq!(unfolded.1, unfolded.0);
}

/// A trace of a run to a witness, made by the program itself.
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

#[test]
fn a_damaged_trace_is_refused() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let path = make_trace(folder.path());
    let text = std::fs::read_to_string(&path).expect("it was written");
    let last_line = text.trim_end().rfind('\n').expect("it has several lines");
    for (damaged, expected) in [
        (text.replacen("\"version\":1", "\"version\":7", 1), "schema version 7"),
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
