//! Tests that damaged files are shown up to the damage, and that the damage is reported.

use std::path::PathBuf;

use proptest::prelude::*;
use raft_core::Input;
use raft_logs::column_log::{Form, LogError, Options};

use crate::cluster::Cluster;
use crate::support::{corpus, lines, shown};

/// Writes a text to a new file, and shows the file. Returns the number of events, and the errors.
fn shown_of(text: &str) -> (usize, Vec<LogError>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log.jsonl");
    std::fs::write(&path, text).expect("the folder is ours");
    let options = Options { form: Form::Json, ..Options::default() };
    let (out, errors) = shown(&[path], &options);
    (out.lines().filter(|line| line.contains("\"text\"")).count(), errors)
}

fn log_of_n1() -> String {
    let mut cluster = Cluster::new(3);
    cluster.input(0, Input::ElectionTimeout);
    cluster.settle();
    lines(&cluster.logs()[0])
}

#[test]
fn a_log_is_shown_up_to_a_damaged_line() {
    let log = log_of_n1();
    let good: Vec<&str> = log.lines().collect();
    let (whole, errors) = shown_of(&log);
    assert!(errors.is_empty(), "{errors:?}");
    let damaged = log.replacen(good[3], "{\"step\":{}}", 1);
    let (some, errors) = shown_of(&damaged);
    let until = format!("{}\n", good[..3].join("\n"));
    assert_eq!(some, shown_of(&until).0);
    assert!(0 < some && some < whole);
    let [LogError::Damaged { line: 4, reason, .. }] = errors.as_slice() else {
        panic!("{errors:?}")
    };
    assert!(reason.contains("missing field"), "{reason}");
    assert!(errors[0].to_string().contains("log.jsonl:4: "), "{}", errors[0]);
}

#[test]
fn a_log_is_shown_up_to_a_cut_last_line() {
    let log = log_of_n1();
    let (whole, _) = shown_of(&log);
    // Only the last line break is missing, so no record is lost.
    let (all, errors) = shown_of(log.trim_end());
    assert_eq!((all, errors.len()), (whole, 0));
    let (some, errors) = shown_of(&log[..log.len() - 10]);
    assert!(0 < some && some < whole);
    let last = log.lines().count() as u64;
    let named = matches!(errors.as_slice(), [LogError::Cut { line, .. }] if *line == last);
    assert!(named, "{errors:?}");
}

#[test]
fn missing_lines_and_other_servers_are_noticed() {
    let log = log_of_n1();
    let good: Vec<&str> = log.lines().collect();
    let gap = log.replacen(&format!("{}\n", good[3]), "", 1);
    let mut foreign = Cluster::new(3).logs();
    let foreign = format!("{log}{}", lines(&foreign.pop().expect("three logs")));
    for (text, expected) in
        [(gap, "step 4 follows step 2"), (foreign, "n3 starts in the log of n1")]
    {
        let (some, errors) = shown_of(&text);
        assert!(some > 0);
        assert!(errors.len() == 1 && errors[0].to_string().contains(expected), "{errors:?}");
    }
}

#[test]
fn a_start_may_follow_half_a_line_of_a_server_that_was_killed() {
    let log = log_of_n1();
    let start = log.lines().next().expect("a start");
    let (whole, _) = shown_of(&log);
    let last = log.trim_end().rfind('\n').expect("several lines");
    let (before_last, _) = shown_of(&log[..=last]);
    let killed = format!("{}{start}\n", &log[..log.len() - 10]);
    let (all, errors) = shown_of(&killed);
    assert!(errors.is_empty(), "{errors:?}");
    assert!(before_last < whole);
    assert_eq!(all, before_last + 1, "what is before the half line, and the start");
}

#[test]
fn a_trace_is_shown_up_to_its_damage() {
    let text = std::fs::read_to_string(corpus("vote-survives-a-crash.jsonl")).expect("it is there");
    let (whole, errors) = shown_of(&text);
    assert!(errors.is_empty(), "{errors:?}");
    let line = |number: usize| text.lines().nth(number - 1).expect("a line");
    let impossible = line(7).replace("restart", "crash");
    assert_ne!(impossible, line(7));
    let cases = [
        (text.replacen(line(5), "{}", 1), ":5: "),
        (text[..text.find(line(9)).expect("a line") + 20].to_owned(), "ends after step 7"),
        (text.replacen("\"server\":3", "\"server\":9", 1), "step 7 is not possible"),
    ];
    for (text, expected) in cases {
        let (some, errors) = shown_of(&text);
        assert!(0 < some && some < whole, "{expected}");
        assert!(errors.len() == 1 && errors[0].to_string().contains(expected), "{errors:?}");
    }
}

#[test]
fn what_is_no_log_is_not_shown() {
    let newer = log_of_n1().replacen("\"version\":2", "\"version\":3", 1);
    let trace =
        std::fs::read_to_string(corpus("vote-survives-a-crash.jsonl")).expect("it is there");
    let crowd = trace.replacen("\"servers\":3", "\"servers\":1000000", 1);
    let cases = [
        ("", "empty"),
        ("hello\n", "names no schema"),
        ("{\"schema\":\"raft-check-report\"}\n", "raft-check-report"),
        (&newer, "schema version 3"),
        ("{\"schema\":\"raft-cluster-trace\",\"version\":7}\n", "schema version 7"),
        (&crowd, "1000000 servers"),
    ];
    for (text, expected) in cases {
        let (events, errors) = shown_of(text);
        assert_eq!(events, 0);
        assert!(errors.len() == 1 && errors[0].to_string().contains(expected), "{errors:?}");
        assert!(!errors[0].advice().is_empty());
    }
}

#[test]
fn of_two_logs_of_one_server_the_first_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths: Vec<PathBuf> = ["a", "b"].iter().map(|name| folder.path().join(name)).collect();
    for path in &paths {
        std::fs::write(path, log_of_n1()).expect("the folder is ours");
    }
    let options = Options { form: Form::Json, ..Options::default() };
    let (both, errors) = shown(&paths, &options);
    assert!(matches!(errors.as_slice(), [LogError::SameServer { .. }]), "{errors:?}");
    let (one, _) = shown(&paths[..1], &options);
    assert_eq!(both.lines().count(), one.lines().count());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_number_is_too_large_to_be_shown(seed in any::<prop::sample::Index>()) {
        let log = log_of_n1();
        // Replace one digit of the log by the largest number.
        let digit = |place: &usize| log.as_bytes()[*place].is_ascii_digit();
        let digits: Vec<usize> = (0..log.len()).filter(digit).collect();
        let place = digits[seed.index(digits.len())];
        let text = format!("{}{}{}", &log[..place], u64::MAX, &log[place + 1..]);
        let (events, errors) = shown_of(&text);
        prop_assert!(events > 0 || errors.len() == 1);
    }

    #[test]
    fn damaged_bytes_are_an_error_or_are_shown(
        at in any::<prop::sample::Index>(),
        byte in b' '..127,
    ) {
        let mut log = log_of_n1().into_bytes();
        let place = at.index(log.len());
        log[place] = byte;
        let text = String::from_utf8(log).expect("ASCII");
        let (events, errors) = shown_of(&text);
        prop_assert!(events > 0 || errors.len() == 1);
    }
}
