//! Tests that filters show the selected events, and count the hidden ones.

use raft_core::{NodeId, Term};
use raft_logs::column_log::{Filter, Form, Layout, Options, Span, Topic};
use serde_json::Value;

use crate::support::{corpus, event_lines, picture, shown};

const TRACE: &str = "read-over-a-leader-change.jsonl";

/// Returns the events that a filter shows, and the numbers at the end.
fn events(filter: Filter) -> (Vec<Value>, Value) {
    let options = Options { filter, form: Form::Json, follow: false };
    let (text, errors) = shown(&[corpus(TRACE)], &options);
    assert!(errors.is_empty(), "{errors:?}");
    let parsed = |line: &str| serde_json::from_str(line).expect("each line is JSON");
    let mut lines: Vec<Value> = text.lines().map(parsed).collect();
    assert_eq!(lines[0]["schema"], "raft-column-log");
    let end = lines.pop().expect("an end")["end"].clone();
    lines.remove(0);
    (lines, end)
}

/// Asserts that a filter shows exactly the events for which `wanted` is true, and that these are
/// some events but not all.
fn assert_shows(filter: Filter, wanted: impl Fn(&Value) -> bool) {
    let (all, _) = events(Filter::default());
    let (some, end) = events(filter);
    let expected: Vec<&Value> = all.iter().filter(|event| wanted(event)).collect();
    assert!(!expected.is_empty() && expected.len() < all.len(), "the filter filters nothing");
    assert_eq!(some.iter().collect::<Vec<_>>(), expected);
    assert_eq!(end["shown"], some.len());
    assert_eq!(end["hidden"], all.len() - some.len());
}

#[test]
fn topics_are_chosen_or_left_out() {
    let topics = [Topic::Elec, Topic::Cmit].into();
    let chosen = |event: &Value| event["topic"] == "elec" || event["topic"] == "cmit";
    assert_shows(Filter { topics, ..Filter::default() }, chosen);
    let not_topics = [Topic::Log].into();
    assert_shows(Filter { not_topics, ..Filter::default() }, |event| event["topic"] != "log");
}

#[test]
fn terms_are_those_of_the_message_or_of_the_server() {
    let terms = Some("2".parse().expect("a span"));
    assert_shows(Filter { terms, ..Filter::default() }, |event| event["term"] == 2);
}

#[test]
fn an_event_concerns_an_index_if_its_range_does() {
    let indexes = Some(Span { first: 2, last: 3 });
    let concerns = |event: &Value| {
        let ends = event["index"].as_array();
        ends.is_some_and(|ends| ends[0].as_u64() <= Some(3) && ends[1].as_u64() >= Some(2))
    };
    assert_shows(Filter { indexes, ..Filter::default() }, concerns);
}

#[test]
fn only_the_chosen_servers_have_columns() {
    let servers = [NodeId(1), NodeId(3)].into();
    let filter = Filter { servers, ..Filter::default() };
    assert_shows(filter.clone(), |event| event["server"] != 2);
    let text = picture(&[corpus(TRACE)], filter, Layout::default());
    let names = text.lines().find(|line| line.contains("step topic")).expect("names");
    assert!(names.contains("n1") && names.contains("n3") && !names.contains("n2"), "{names}");
}

#[test]
fn steps_around_one_are_shown_and_that_one_is_marked() {
    let steps = Span::around(7, 2);
    let filter = Filter { steps, ..Filter::default() };
    assert_shows(filter.clone(), |event| (5..=9).contains(&event["step"].as_u64().unwrap_or(0)));
    let layout = Layout { around: Some(7), ..Layout::default() };
    let text = picture(&[corpus(TRACE)], filter, layout);
    for line in event_lines(&text) {
        assert_eq!(line.starts_with('>'), line[1..8].trim() == "7", "{line}");
    }
    assert!(text.contains("the filters hide"), "{text}");
}

#[test]
fn filters_that_are_combined_must_all_agree() {
    let terms = Some(Span { first: 1, last: 1 });
    let filter = Filter { terms, topics: [Topic::Elec].into(), ..Filter::default() };
    let both = |event: &Value| event["topic"] == "elec" && event["term"] == Term(1).0;
    assert_shows(filter, both);
}

#[test]
fn spans_are_read_as_they_are_written() {
    let span = |text: &str| text.parse::<Span>();
    assert_eq!(span("7"), Ok(Span { first: 7, last: 7 }));
    assert_eq!(span("7..9"), Ok(Span { first: 7, last: 9 }));
    assert_eq!(span("7..=9"), Ok(Span { first: 7, last: 9 }));
    assert_eq!(span("7.."), Ok(Span { first: 7, last: u64::MAX }));
    assert_eq!(span("..9"), Ok(Span { first: 0, last: 9 }));
    for wrong in ["", "..", "x", "7..x", "-1", "9..7", "7...9", "1..2..3"] {
        assert!(span(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_numbers_of_the_statistics_are_those_of_the_events() {
    let (all, _) = events(Filter::default());
    let options = Options { form: Form::JsonStats, ..Options::default() };
    let (text, _) = shown(&[corpus(TRACE)], &options);
    let stats: Value = serde_json::from_str(text.lines().nth(1).expect("numbers")).expect("JSON");
    for server in 1..=3 {
        let numbers = &stats["servers"][server.to_string()];
        let of_server = all.iter().filter(|event| event["server"] == server);
        let logs = of_server.filter(|event| event["topic"] == "log").count();
        assert_eq!(numbers["events"]["log"], logs);
    }
    // In this trace, n1 leads and is deposed by n2.
    assert_eq!(stats["servers"]["1"]["elections_won"], 1);
    assert_eq!(stats["servers"]["2"]["elections_won"], 1);
    assert_eq!(stats["servers"]["3"]["campaigns"], 0);
    assert_eq!(stats["servers"]["2"]["term"], 2);
}
