//! `raftgate conform`: exit codes, output, and files that must not be overwritten.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::conform_traces::{corpus, read, too_many_reads};

fn conform(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raftgate"));
    command.arg("conform").args(arguments);
    command.output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn fits(text: &str) {
    for line in text.lines() {
        assert!(line.is_ascii() && line.len() <= 100, "{line}");
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("it was written")).expect("JSON")
}

#[test]
fn a_configuration_that_conforms_ends_with_0() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("result.json");
    let output = conform(&["figure-8-end-3", "--json", &path.display().to_string()]);
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}{}", text(&output.stderr));
    for part in [
        "CONFORMS: all 4,534 local transitions",
        "3,774 of them are",
        " 0 hidden-state collisions",
        "Outside",
    ] {
        assert!(out.contains(part), "{part} is missing:\n{out}");
    }
    fits(&out);
    let json = json(&path);
    assert_eq!(json["verdict"], "CONFORMS");
    assert_eq!(json["configs"][0]["covered"], 4534);
    assert_eq!(json["configs"][0]["over_any_network_only"], 3774);
    assert_eq!(json["hidden_state_collisions"], 0);
}

#[test]
fn a_run_that_is_cut_short_ends_with_6() {
    let output = conform(&["commit-3", "--time-limit", "1ms"]);
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(6), "{out}");
    assert!(out.contains("INCOMPLETE: ") && out.contains("the time limit was reached"), "{out}");
    fits(&out);
}

#[test]
fn a_trace_that_conforms_ends_with_0() {
    let path = &corpus()[0];
    let output = conform(&["--trace", &path.display().to_string()]);
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}{}", text(&output.stderr));
    assert!(out.contains("CONFORMS: "), "{out}");
    fits(&out);
}

#[test]
fn a_difference_ends_with_3_and_what_is_saved_leads_to_it_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str| directory.path().join(name);
    let written = too_many_reads().write(File::create(file("reads.jsonl")).expect("a file"));
    written.expect("it can be written");
    let (trace, saved) = (file("reads.jsonl"), file("short.jsonl"));
    let (trace, saved) = (trace.display().to_string(), saved.display().to_string());

    let result = file("result.json").display().to_string();
    let output = conform(&["--trace", &trace, "--save", &saved, "--json", &result]);
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{out}{}", text(&output.stderr));
    assert!(out.contains("DIVERGED on n1") && out.contains("X differs: "), "{out}");
    let json = json(Path::new(&result));
    assert_eq!((&json["verdict"], &json["divergence"]["server"]), (&"DIVERGED".into(), &1.into()));

    assert!(read(Path::new(&saved)).actions.len() < read(Path::new(&trace)).actions.len());
    let again = conform(&["--trace", &saved]);
    assert_eq!(again.status.code(), Some(3), "{}", text(&again.stderr));

    // The saved file is not overwritten.
    let before = fs::read(&saved).expect("it is there");
    let refused = conform(&["--trace", &trace, "--save", &saved]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("exists already"));
    assert_eq!(fs::read(&saved).expect("it is there"), before);
}

#[test]
fn what_cannot_be_read_ends_with_2_and_a_reason() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("cut.jsonl");
    let whole = fs::read(&corpus()[0]).expect("a trace");
    fs::write(&path, &whole[..whole.len() / 2]).expect("it can be written");
    let path = path.display().to_string();
    let empty = directory.path().display().to_string();
    let cases: [(&[&str], &str); 6] = [
        (&["elektion-2"], "election-2"),
        (&["--trace", "nowhere.jsonl"], "nowhere.jsonl"),
        (&["--trace", &path], "truncated"),
        (&["--trace", &path, "election-2"], "cannot be used with"),
        (&["--configs", &empty], "no configuration belongs to the tier smoke"),
        (&["--threads", "0"], "--threads"),
    ];
    for (arguments, reason) in cases {
        let output = conform(arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(reason), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty());
    }
}
