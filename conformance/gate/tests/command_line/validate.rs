//! `raftgate validate`: exit codes, output, and files that must not be overwritten.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::cluster::Cluster;
use crate::logs::Logs;

fn raftgate(logs: &[PathBuf], more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raftgate"));
    command.arg("validate").args(logs).args(more);
    command.output().expect("the program is there")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn tampered() -> Logs {
    let mut logs = Cluster::ran(4, 1500).logs;
    let line = logs.files[1].len() / 2;
    let mut later = line..logs.files[1].len();
    let line = later.find(|line| !logs.is_start(1, *line)).expect("there are steps");
    let commit = logs.files[1][line].rfind("\"commit\":").expect("a digest has it");
    logs.files[1][line].insert_str(commit + "\"commit\":".len(), "77");
    logs
}

fn fits(text: &str, directory: &Path) {
    let text = text.replace(&format!("{}/", directory.display()), "");
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "too wide: {line}");
        assert!(line.is_ascii(), "not ASCII: {line}");
    }
}

#[test]
fn logs_that_are_explained_end_with_0() {
    let (directory, paths) = Cluster::ran(4, 1500).logs.write();
    let output = raftgate(&paths, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    assert!(out.contains("EXPLAINED: all"), "{out}");
    fits(&out, directory.path());
}

#[test]
fn logs_that_are_refused_end_with_3_and_the_line() {
    let (directory, paths) = tampered().write();
    let json = directory.path().join("result.json");
    let output = raftgate(&paths, &["--json", &json.display().to_string()]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    assert!(out.contains("REFUSED"), "{out}");
    assert!(out.contains("> after.commit: "), "{out}");
    assert!(out.contains("Rules that the model asked in this step:"), "{out}");
    fits(&out, directory.path());

    let result: Value = serde_json::from_slice(&fs::read(json).expect("it was written")).unwrap();
    assert_eq!(result["explained"], false);
    let incomplete = &result["servers"][1]["incomplete"];
    assert_eq!(incomplete["rule"], "diverges-from-the-model");
    let line = incomplete["line"].as_u64().expect("a number");
    assert!(out.contains(&format!("n2.jsonl:{line}")), "{out}");
}

#[test]
fn a_file_is_not_overwritten() {
    let (directory, paths) = Cluster::ran(4, 200).logs.write();
    let json = directory.path().join("kept.json");
    fs::write(&json, "kept").expect("there is room for files");
    let output = raftgate(&paths, &["--json", &json.display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(fs::read_to_string(&json).expect("it is there"), "kept");
}

/// Checks that the program ends with 2 and prints this error.
fn is_refused(paths: &[PathBuf], says: &str) {
    let output = raftgate(paths, &[]);
    let error = text(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains(says), "{error}");
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn files_that_cannot_be_read_end_with_2() {
    let (directory, paths) = Cluster::ran(4, 200).logs.write();
    let other = |name: &str, contents: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, contents).expect("there is room for files");
        vec![paths[0].clone(), path]
    };
    is_refused(&other("empty.jsonl", b""), "there is no start in it");
    is_refused(&other("other.jsonl", b"{\"schema\":\"x\"}\n"), "1:");
    is_refused(&other("bytes.jsonl", &[0xff, 0xfe, b'\n']), "it is not text");
    is_refused(&other("blank.jsonl", b"\n"), "1:");
    is_refused(&[paths[0].clone(), paths[0].clone()], "are both logs of n1");
    is_refused(&[directory.path().join("none.jsonl")], "cannot read");
    is_refused(&[directory.path().to_owned()], "cannot read");
    is_refused(&[], "required");
}

#[test]
fn logs_of_two_clusters_do_not_belong_together() {
    let mut logs = Cluster::ran(4, 200).logs;
    logs.files[2][0] = logs.files[2][0].replace("\"voters\":[1,2,3]", "\"voters\":[1,2,3,4]");
    let (_directory, paths) = logs.write();
    is_refused(&paths, "names other voters");
}
