//! Tests that growing logs are read while they grow.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use raft_core::Input;
use raft_logs::column_log::{Form, LogError, Options, show};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::support::{corpus, lines, shown};

/// A change to the files. One is made each time that there is nothing new.
type Change<'a> = Box<dyn FnMut() + 'a>;

/// Follows files, and makes the next change whenever nothing is new, until no changes are left.
/// Returns the events and the errors.
fn follow(files: &[PathBuf], changes: Vec<Change>) -> (Vec<Value>, Vec<LogError>) {
    let options = Options { form: Form::Json, follow: true, ..Options::default() };
    let mut changes = changes.into_iter();
    let mut wait = || match changes.next() {
        Some(mut change) => {
            change();
            true
        }
        None => false,
    };
    let mut out = Vec::new();
    let errors = show(files, &options, &mut out, &mut wait).expect("memory takes it");
    let text = String::from_utf8(out).expect("text");
    let parsed = |line: &str| serde_json::from_str(line).expect("each line is JSON");
    let values = text.lines().map(parsed);
    (values.filter(|value: &Value| value.get("text").is_some()).collect(), errors)
}

fn append(path: &PathBuf, text: &str) {
    let mut file =
        OpenOptions::new().create(true).append(true).open(path).expect("the folder is ours");
    file.write_all(text.as_bytes()).expect("it can be written");
}

/// Returns a new folder, and the logs of an election, which are not written to it yet.
fn an_election() -> (tempfile::TempDir, Vec<String>) {
    let mut cluster = Cluster::new(3);
    cluster.input(0, Input::ElectionTimeout);
    cluster.settle();
    let texts = cluster.logs().iter().map(|log| lines(log)).collect();
    (tempfile::tempdir().expect("a folder"), texts)
}

fn nothing<'a>() -> Change<'a> {
    Box::new(|| {})
}

#[test]
fn a_file_that_does_not_exist_yet_is_waited_for_and_half_a_line_is_not_read() {
    let (folder, texts) = an_election();
    let path = folder.path().join("n1.log");
    let (first, rest) = texts[0].split_at(texts[0].find('\n').expect("a line") + 1);
    let (half, other_half) = rest.split_at(20);
    let changes: Vec<Change> = vec![
        Box::new(|| append(&path, "")),
        Box::new(|| append(&path, first)),
        nothing(),
        Box::new(|| append(&path, half)),
        nothing(),
        Box::new(|| append(&path, other_half)),
        nothing(),
    ];
    let (followed, errors) = follow(std::slice::from_ref(&path), changes);
    assert!(errors.is_empty(), "{errors:?}");
    // The complete file shows as many events as the growing file.
    let options = Options { form: Form::Json, ..Options::default() };
    let (text, _) = shown(&[path], &options);
    let whole = text.lines().filter(|line| line.contains("\"text\"")).count();
    assert!(whole > 5);
    assert_eq!(followed.len(), whole);
}

#[test]
fn several_logs_are_merged_while_they_grow() {
    let (folder, texts) = an_election();
    let paths: Vec<PathBuf> = (1..=3).map(|n| folder.path().join(format!("n{n}.log"))).collect();
    // The receivers' logs are there first. A receipt is not shown before the message was sent.
    append(&paths[1], &texts[1]);
    append(&paths[2], &texts[2]);
    let changes: Vec<Change> =
        vec![nothing(), Box::new(|| append(&paths[0], &texts[0])), nothing()];
    let (events, errors) = follow(&paths, changes);
    assert!(errors.is_empty(), "{errors:?}");
    let place = |text: &str| {
        let found = events.iter().position(|event| event["text"] == text);
        found.unwrap_or_else(|| panic!("{text} is not shown: {events:#?}"))
    };
    assert!(place("-> all vote? t1 log start") < place("<- n1 vote? t1 log start"));
    assert!(events.iter().all(|event| event["flag"] == "none"));
}

#[test]
fn what_was_never_sent_is_shown_after_a_while() {
    let (folder, texts) = an_election();
    let paths: Vec<PathBuf> = (1..=2).map(|n| folder.path().join(format!("n{n}.log"))).collect();
    let start = &texts[0][..=texts[0].find('\n').expect("a line")];
    append(&paths[0], start);
    append(&paths[1], &texts[1]);
    let patient = follow(&paths, (0..3).map(|_| nothing()).collect()).0;
    let received =
        |event: &Value| event["text"].as_str().is_some_and(|text| text.contains("<- n1"));
    assert!(!patient.iter().any(received), "{patient:#?}");
    let impatient = follow(&paths, (0..50).map(|_| nothing()).collect()).0;
    let shown = impatient.iter().find(|event| received(event)).expect("it is shown");
    assert_eq!(shown["flag"], "unsent");
}

#[test]
fn a_log_that_becomes_shorter_is_an_error() {
    let (folder, texts) = an_election();
    let path = folder.path().join("n1.log");
    append(&path, &texts[0]);
    let cut = Box::new(|| drop(File::create(&path).expect("it is ours")));
    let (events, errors) = follow(std::slice::from_ref(&path), vec![cut, nothing()]);
    assert!(!events.is_empty());
    assert!(matches!(errors.as_slice(), [LogError::Read { .. }]), "{errors:?}");
}

#[test]
fn a_damaged_line_ends_the_following() {
    let (folder, texts) = an_election();
    let path = folder.path().join("n1.log");
    append(&path, &texts[0]);
    let damage = Box::new(|| append(&path, "what is this?\n"));
    let never = Box::new(|| panic!("it should have ended"));
    let (events, errors) = follow(std::slice::from_ref(&path), vec![damage, never]);
    assert!(!events.is_empty());
    assert!(matches!(errors.as_slice(), [LogError::Damaged { .. }]), "{errors:?}");
}

#[test]
fn a_trace_cannot_be_followed() {
    let path = corpus("vote-survives-a-crash.jsonl");
    let (events, errors) = follow(&[path], Vec::new());
    assert!(events.is_empty());
    assert!(matches!(errors.as_slice(), [LogError::CannotFollow { .. }]), "{errors:?}");
}
