//! `raftgate lab` as people and scripts use it.

use std::path::Path;
use std::process::{Command, Output};

use raft_lab::{run, select};

fn raftgate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raftgate"));
    command.args(arguments).output().expect("the program runs")
}

fn lab(arguments: &[&str]) -> Output {
    raftgate(&[&["lab"], arguments].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn it_lists_every_test_with_a_sentence() {
    let output = lab(&["--list"]);
    let out = text(&output.stdout);
    assert!(output.status.success());
    assert!(
        out.contains("  Backup\n      Long logs that conflict are brought in line.\n"),
        "{out}"
    );
    assert!(out.lines().all(|line| line.len() <= 100));
}

#[test]
fn it_runs_what_is_chosen_and_says_what_came_of_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("result.json");
    let arguments = ["basicagree", "persist3", "--seeds", "40..42", "--json"];
    let output = lab(&[&arguments[..], &[file.to_str().expect("a path")]].concat());
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}");
    assert!(out.contains("2 tests, 4 runs, 0 failed"), "{out}");
    assert!(out.lines().all(|line| line.len() <= 100), "{out}");
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).expect("a file")).expect("JSON");
    assert_eq!(json["passed"], true);
    assert_eq!(json["tests"][1]["test"], "Persist3");
    assert_eq!(json["tests"][1]["passed"], 2);

    let before = std::fs::read(&file).expect("a file");
    let output = lab(&[&arguments[..], &[file.to_str().expect("a path")]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("exists already"));
    assert_eq!(std::fs::read(&file).expect("a file"), before);
}

#[test]
fn a_wrong_name_or_number_is_refused() {
    let output = lab(&["Figure9"]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains("there is no lab test \"Figure9\""), "{error}");
    assert!(error.contains("did you mean Figure8"), "{error}");
    for wrong in [["--seeds", "0"], ["--threads", "0"], ["--seeds", "7..3"]] {
        assert_eq!(lab(&wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn nothing_is_kept_where_nothing_fails() {
    let directory = tempfile::tempdir().expect("a directory");
    let kept = directory.path().join("kept");
    let output = lab(&["BasicAgree", "--seeds", "1", "--keep-failures", kept.to_str().expect("")]);
    assert!(output.status.success());
    assert!(!Path::new(&kept).exists());
}

#[test]
fn the_logs_of_a_run_are_shown_in_columns_and_explained_by_the_model() {
    for name in ["Persist3", "SnapshotInit"] {
        let directory = tempfile::tempdir().expect("a directory");
        let tests = select(&[name.to_owned()]).expect("a test of the suite");
        let mut files = Vec::new();
        for (id, records) in run(tests[0], 3, true).node_logs {
            let mut bytes = Vec::new();
            for record in records {
                record.write(&mut bytes).expect("it is written");
            }
            let path = directory.path().join(format!("{id}.jsonl"));
            std::fs::write(&path, bytes).expect("it is written");
            files.push(path.to_str().expect("a path").to_owned());
        }
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let output = raftgate(&[&["log"], files.as_slice()].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).lines().count() > 100);
        let output = raftgate(&[&["validate"], files.as_slice()].concat());
        assert_eq!(output.status.code(), Some(0), "{name}: {}", text(&output.stdout));
    }
}
