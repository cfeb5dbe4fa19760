//! Tests with one changed value in one line.

use raft_logs::validate::{EnvironmentRule, Refusal};
use raft_trace::NodeRecord;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Dice};
use crate::logs::Logs;

/// The amount by which numbers are changed. No other value in these logs is as large as the result.
const FAR: u64 = 1_000_003;

/// Collects the paths of all numbers, booleans and texts in a value.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| leaves(value, &format!("{path}/{key}"), found));
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(place, value)| leaves(value, &format!("{path}/{place}"), found)),
        // The names of variants without fields are not values.
        Value::String(_) if !path.ends_with("/command") && !path.contains("/commands/") => {}
        Value::Null => {}
        _ => found.push(path.to_owned()),
    }
}

fn change(value: &mut Value) {
    *value = match &*value {
        Value::Number(number) => json!(number.as_u64().expect("all are unsigned") + FAR),
        Value::Bool(bool) => json!(!bool),
        Value::String(text) => json!(format!("{text}!")),
        other => panic!("{other} is no leaf"),
    };
}

/// Changes one value below `/{part}` of a line, counted from 0. Returns `None` if there is nothing
/// to change, or if the changed line cannot be read.
fn rewrite(logs: &Logs, server: usize, line: usize, part: &str, dice: &mut Dice) -> Option<Logs> {
    let mut value: Value = serde_json::from_str(&logs.files[server][line]).ok()?;
    let path = format!("/{part}");
    let mut found = Vec::new();
    leaves(value.pointer(&path)?, &path, &mut found);
    if found.is_empty() {
        return None;
    }
    change(value.pointer_mut(&found[dice.below(found.len())])?);
    let mut changed = logs.clone();
    changed.files[server][line] = value.to_string();
    changed.record(server, line).map(|_| changed)
}

/// Changes a value below `part` at many places, and checks each validation.
fn at_many_places(part: &str, seed: u64, check: impl Fn(&Logs, &Logs, usize, usize) -> bool) {
    let mut dice = Dice(seed);
    let mut tried = 0;
    for seed in 0..25 {
        let logs = Cluster::ran(seed, 1200).logs;
        for _ in 0..20 {
            let server = dice.below(3);
            let line = dice.below(logs.files[server].len());
            let Some(changed) = rewrite(&logs, server, line, part, &mut dice) else { continue };
            tried += usize::from(check(&logs, &changed, server, line));
        }
    }
    assert!(tried > 150, "{tried}");
}

fn details(refusal: &Refusal) -> String {
    refusal.details().join("\n")
}

#[test]
fn a_digest_that_was_changed_is_noticed_in_its_line() {
    at_many_places("step/after", 5, |_, changed, server, line| {
        let place = changed.contradiction();
        assert_eq!((place.server, place.line), (server, line + 1), "{place:?}");
        assert!(matches!(place.refusal, Refusal::Diverges { .. }), "{place:?}");
        assert!(details(&place.refusal).starts_with("after."), "{place:?}");
        true
    });
}

#[test]
fn effects_that_were_changed_are_noticed_in_their_line() {
    at_many_places("step/effects", 6, |_, changed, server, line| {
        let place = changed.contradiction();
        assert_eq!((place.server, place.line), (server, line + 1), "{place:?}");
        assert!(matches!(place.refusal, Refusal::Diverges { .. }), "{place:?}");
        assert!(details(&place.refusal).starts_with("effects["), "{place:?}");
        true
    });
}

#[test]
fn an_effect_that_is_missing_is_noticed_in_its_line() {
    let mut dice = Dice(7);
    for seed in 0..25 {
        let mut logs = Cluster::ran(seed, 1200).logs;
        let server = dice.below(3);
        let with_effects: Vec<usize> = (0..logs.files[server].len())
            .filter(|line| match logs.record(server, *line) {
                Some(NodeRecord::Step { effects, .. }) => !effects.is_empty(),
                _ => false,
            })
            .collect();
        let line = with_effects[dice.below(with_effects.len())];
        let mut value: Value = serde_json::from_str(&logs.files[server][line]).expect("JSON");
        let effects = value["step"]["effects"].as_array_mut().expect("a list");
        effects.remove(dice.below(effects.len()));
        logs.files[server][line] = value.to_string();
        let place = logs.contradiction();
        assert_eq!((place.server, place.line), (server, line + 1), "{place:?}");
    }
}

/// Returns the line, counted from 1, that holds the answer to a read.
fn answer_to_read(logs: &Logs, server: usize, line: usize, id: u64) -> Option<usize> {
    let later = line..logs.files[server].len();
    let mut later = later.take_while(|at| *at == line || !logs.is_start(server, *at));
    let [ready, refused] =
        ["ready", "refused"].map(|how| format!("{{\"read_{how}\":{{\"id\":{id},"));
    let answers = |text: &str| text.contains(&ready) || text.contains(&refused);
    later.find(|at| answers(&logs.files[server][*at])).map(|at| at + 1)
}

#[test]
fn an_input_that_was_changed_is_noticed_in_its_line() {
    at_many_places("step/input", 8, |logs, changed, server, line| {
        let Some(NodeRecord::Step { input, .. }) = logs.record(server, line) else {
            panic!("it was rewritten")
        };
        let mut expected = Some(line + 1);
        if let raft_core::Input::Read { id } = input {
            // A changed read id is detected only when the read is answered.
            expected = answer_to_read(logs, server, line, id.0);
        }
        let places = changed.contradictions();
        let found: Vec<_> = places.iter().map(|place| (place.server, place.line)).collect();
        assert_eq!(found, expected.map(|line| (server, line)).as_slice(), "{places:?}");
        let [place] = places.as_slice() else { return false };
        let right = match input {
            raft_core::Input::Receive { .. } => {
                matches!(place.refusal, Refusal::NeverSent { .. })
            }
            raft_core::Input::Durable { .. } => is_world(place, EnvironmentRule::DurableWasIssued),
            raft_core::Input::Applied { .. } => is_world(place, EnvironmentRule::AppliedWasAsked),
            raft_core::Input::SnapshotTaken { .. } => {
                is_world(place, EnvironmentRule::SnapshotOfApplied)
            }
            _ => matches!(place.refusal, Refusal::Diverges { .. }),
        };
        assert!(right, "{places:?}");
        true
    });
}

fn is_world(place: &crate::logs::Place, wanted: EnvironmentRule) -> bool {
    matches!(place.refusal, Refusal::Environment { rule, .. } if rule == wanted)
}

#[test]
fn a_message_with_another_truth_in_it_was_never_sent() {
    let logs = Cluster::ran(4, 1500).logs;
    let granted = "{\"request_vote_reply\":{\"term\":1,\"granted\":true}}";
    let (server, line) = (0..3)
        .find_map(|server| {
            let is_it = |text: &String| text.contains("\"receive\"") && text.contains(granted);
            Some((server, logs.files[server].iter().position(is_it)?))
        })
        .expect("somebody was elected");
    let mut changed = logs.clone();
    let text = &mut changed.files[server][line];
    *text = text.replacen("\"granted\":true", "\"granted\":false", 1);
    let place = changed.contradiction();
    assert_eq!((place.server, place.line), (server, line + 1));
}

#[test]
fn a_restart_from_another_disk_is_noticed_at_the_start() {
    let mut tried = 0;
    for seed in 0..40 {
        let logs = Cluster::ran(seed, 1500).logs;
        for server in 0..3 {
            let starts: Vec<usize> = (1..logs.files[server].len())
                .filter(|line| matches!(logs.record(server, *line), Some(NodeRecord::Start { .. })))
                .collect();
            for line in starts {
                let text = &logs.files[server][line];
                let mut value: Value = serde_json::from_str(text).expect("JSON");
                let term = value.pointer_mut("/start/state/current_term").expect("a term");
                change(term);
                let mut changed = logs.clone();
                changed.files[server][line] = value.to_string();
                let place = changed.contradiction();
                assert_eq!((place.server, place.line), (server, line + 1), "{place:?}");
                assert!(is_world(&place, EnvironmentRule::RestartFromDisk), "{place:?}");
                tried += 1;
            }
        }
    }
    assert!(tried > 50, "{tried}");
}

#[test]
fn a_state_machine_that_is_further_than_it_was_asked_to_be_is_noticed_at_the_start() {
    let logs = Cluster::ran(9, 2500).logs;
    let line = (1..logs.files[0].len())
        .find(|line| matches!(logs.record(0, *line), Some(NodeRecord::Start { .. })))
        .expect("it was killed");
    let mut value: Value = serde_json::from_str(&logs.files[0][line]).expect("JSON");
    change(value.pointer_mut("/start/applied").expect("an index"));
    let mut changed = logs.clone();
    changed.files[0][line] = value.to_string();
    let place = changed.contradiction();
    assert_eq!((place.server, place.line), (0, line + 1));
    assert!(is_world(&place, EnvironmentRule::RestartApplied), "{place:?}");
}
