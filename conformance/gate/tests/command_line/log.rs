//! `raftgate log`: exit codes, colours, and a reader that closes the pipe.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use raft_core::Input;

use crate::column_log_cluster::Cluster;
use crate::column_log_files::{corpus, lines};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raftgate"));
    command.arg("log").args(arguments).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

fn run(arguments: &[&str]) -> Output {
    program(arguments).output().expect("the program starts")
}

fn trace() -> String {
    corpus("vote-survives-a-crash.jsonl").display().to_string()
}

#[test]
fn a_whole_file_is_shown_and_the_exit_code_is_zero() {
    let output = run(&[&trace()]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("L1 c0 a0 leads") && !text.contains('\u{1b}'), "{text}");
    assert!(output.stderr.is_empty());
}

#[test]
fn colours_are_shown_when_they_are_asked_for() {
    let coloured = |arguments: &[&str]| run(arguments).stdout.contains(&0x1b);
    assert!(coloured(&[&trace(), "--color", "always"]));
    assert!(!coloured(&[&trace(), "--color", "never"]));
    assert!(!coloured(&[&trace(), "--color", "auto"]), "a pipe is no terminal");
    let forced = program(&[&trace()]).env("CLICOLOR_FORCE", "1").output().expect("it starts");
    assert!(forced.stdout.contains(&0x1b));
    let mut refused = program(&[&trace()]);
    let refused = refused.env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").output();
    assert!(!refused.expect("it starts").stdout.contains(&0x1b));
}

#[test]
fn what_is_wrong_with_a_file_is_said_after_what_is_right() {
    let missing = Path::new("nowhere").join("log").display().to_string();
    let output = run(&[&missing, &trace()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).contains("L1 c0 a0 leads"));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("cannot read") && message.contains("help:"), "{message}");
    assert!(!message.contains("panicked"), "{message}");
}

#[test]
fn wrong_arguments_are_refused() {
    for arguments in [
        &[][..],
        &["x", "--topic", "elections"],
        &["x", "--term", "5..3"],
        &["x", "--only", "one"],
        &["x", "--width", "wide"],
        &["x", "--width", "12"],
        &["x", "--context", "3"],
        &["x", "--stats", "--follow"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn the_picture_is_as_wide_as_asked_for_and_leaves_nothing_out() {
    let trace = corpus("figure-8-older-entry-overwritten.jsonl").display().to_string();
    let is_cut = |line: &str| line.trim_end_matches([' ', '|']).ends_with("..");
    let text = |arguments: &[&str]| {
        let output = run(&[&[trace.as_str()], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    for width in [40, 80, 100, 160] {
        let text = text(&["--width", &width.to_string()]);
        let longest = text.lines().map(str::len).max().unwrap_or(0);
        assert!(longest <= width, "{longest} columns:\n{text}");
        assert!(!text.lines().any(is_cut), "{text}");
    }
    assert!(text(&["--width", "100", "--cut"]).lines().any(is_cut));
}

#[test]
fn topics_are_read_in_any_case() {
    let output = run(&[&trace(), "--topic", "ELEC,term", "--topic", "Boot"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("ELEC") && text.contains("TERM") && text.contains("BOOT"), "{text}");
    assert!(!text.contains("DISK"), "{text}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    // More output than fits into a pipe, so that the program writes to the closed pipe.
    let mut cluster = Cluster::new(1);
    cluster.input(0, Input::ElectionTimeout);
    cluster.settle();
    for _ in 0..4000 {
        cluster.propose(0, "x");
        cluster.settle();
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("n1.log");
    std::fs::write(&path, lines(&cluster.logs()[0])).expect("the folder is ours");

    let mut command = program(&[&path.display().to_string()]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut first = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    stdout.read_line(&mut first).expect("a line");
    assert!(first.contains("step topic"), "{first}");
    drop(stdout);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
