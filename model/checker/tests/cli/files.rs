//! Files that are written: the program first checks that it can write them, and it overwrites none.

use crate::support::{SMALL, assert_exit, folder_with, parse, raftcheck, stderr, stdout};

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
fn results_on_standard_output_are_nothing_but_json() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let output = raftcheck(&["check", "small.toml", "--json", "-"], folder.path());
    assert_exit(&output, 0);
    assert_eq!(parse(&stdout(&output))["verdict"], "HOLDS");
    assert!(stderr(&output).contains("HOLDS: "), "the text goes to stderr");
    let output =
        raftcheck(&["mutants", "NC-EL-08b", "--tier", "smoke", "--json", "-"], folder.path());
    assert_exit(&output, 0);
    assert_eq!(parse(&stdout(&output))["mutants"][0]["id"], "NC-EL-08b");
}

#[test]
fn what_cannot_be_written_is_known_before_anything_is_explored() {
    let (folder, file) = folder_with("small.toml", SMALL);
    let below = file.join("below").display().to_string();
    let before = files(folder.path());
    for arguments in [
        // These checks would take hours.
        &["check", "replication-3-wide", "--json", "nowhere/r.json"][..],
        &["check", "replication-3-wide", "--json", &below],
        &["check", "replication-3-wide", "--json", "."],
        &["check", "replication-3-wide", "--json", "small.toml"],
        &["check", "replication-3-wide", "--traces", &below],
        &["mutants", "--json", "nowhere/r.json"],
        &["mutants", "--write", "nowhere/matrix.md"],
        &["mutants", "--check", "nowhere.md"],
        &["coverage", "--write", "nowhere/rules.md"],
        &["trace", "replication-3-wide", "--witness", "read-served", "--out", "nowhere/a.jsonl"],
        &["trace", "replication-3-wide", "--witness", "read-served", "--svg", "nowhere/a.svg"],
    ] {
        let output = raftcheck(arguments, folder.path());
        assert_exit(&output, 2);
        assert_eq!(stdout(&output), "", "{arguments:?}: nothing was explored");
    }
    assert_eq!(files(folder.path()), before, "nothing is left behind");
}

fn files(folder: &std::path::Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> = files
        .map(|file| file.expect("a file").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
