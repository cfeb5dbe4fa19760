//! What differs from a baseline, and the form of its file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use raft_checker::baseline::{Baseline, Change, ChangedStep, Changes, Entry};
use raft_checker::behaviour::{Class, RuleAnswers, Step};
use raft_checker::config::{Catalog, Network, Tier};

fn step(server: &str, after: &str) -> Step {
    let (server, after) = (server.to_owned(), after.to_owned());
    Step { server, input: "n1 <- \"n2\" ack".to_owned(), after, sends: vec!["n1->n2".to_owned()] }
}

fn class(count: u64, hash: u64, example: Step) -> Class {
    Class { count, hash, example }
}

fn entry(classes: &[(&str, Class)]) -> Entry {
    Entry {
        name: "small".to_owned(),
        network: Network::Any,
        counts: BTreeMap::from([("states".to_owned(), 7)]),
        states_hash: "0123456789abcdef".to_owned(),
        rules: BTreeMap::from([("vote-once".to_owned(), RuleAnswers { yes: 2, no: 1 })]),
        classes: classes.iter().map(|(name, class)| ((*name).to_owned(), class.clone())).collect(),
    }
}

fn between(before: &Entry, now: &Entry, listed: &[Step]) -> Option<Changes> {
    Changes::between(Some(before), now, &listed.iter().cloned().collect::<BTreeSet<_>>())
}

fn example(before: &Entry, now: &Entry, listed: &[Step]) -> Option<ChangedStep> {
    between(before, now, listed).expect("something differs").example
}

#[test]
fn the_same_behaviour_differs_in_nothing() {
    let before = entry(&[("a", class(1, 5, step("F1", "F2")))]);
    assert!(between(&before, &before, &[]).is_none());
    // The examples are texts, and a text may be written in another way.
    let now = entry(&[("a", class(1, 5, step("f1", "f2")))]);
    assert!(between(&before, &now, &[]).is_none());
}

#[test]
fn every_part_counts() {
    let before = entry(&[]);
    let differs = |change: fn(&mut Entry)| {
        let mut now = before.clone();
        change(&mut now);
        between(&before, &now, &[]).expect("something differs")
    };
    let states = Change { name: "states".to_owned(), before: Some(7), now: Some(8) };
    assert_eq!(differs(|now| *now.counts.get_mut("states").unwrap() = 8).counts, [states]);
    assert!(differs(|now| now.states_hash = "1".to_owned()).other_states);
    let rules = differs(|now| now.rules.clear()).rules;
    assert_eq!(rules[0].now, None);
    let new = differs(|now| {
        now.classes.insert("a".to_owned(), class(1, 5, step("F1", "F2")));
    });
    let a = Change { name: "a".to_owned(), before: None, now: Some(1) };
    assert_eq!(new.transitions, [a]);
}

#[test]
fn the_same_server_at_the_same_input_is_shown_before_and_now() {
    let (old, new) = (step("F1", "F2"), step("F1", "F3"));
    let before = entry(&[("a", class(2, 5, old.clone()))]);
    let shown = Some(ChangedStep { before: Some(old), now: Some(new.clone()) });
    // It is in the same class, or in another one.
    let same_class = entry(&[("a", class(2, 6, new.clone()))]);
    assert_eq!(example(&before, &same_class, std::slice::from_ref(&new)), shown);
    let other_class = entry(&[("b", class(2, 6, new.clone()))]);
    assert_eq!(example(&before, &other_class, &[new]), shown);
}

#[test]
fn a_step_that_is_new_or_gone_is_shown() {
    let (old, new) = (step("F1", "F2"), step("L1", "L2"));
    let before = entry(&[("a", class(1, 5, old.clone()))]);
    let now = entry(&[("a", class(1, 5, old.clone())), ("b", class(1, 6, new.clone()))]);
    let shown = ChangedStep { before: None, now: Some(new.clone()) };
    assert_eq!(example(&before, &now, std::slice::from_ref(&old)), Some(shown));
    let shown = ChangedStep { before: Some(new), now: None };
    assert_eq!(example(&now, &before, &[old]), Some(shown));
}

#[test]
fn a_class_whose_example_happens_as_before_shows_no_step() {
    let old = step("F1", "F2");
    let before = entry(&[("a", class(2, 5, old.clone()))]);
    let now = entry(&[("a", class(2, 6, old.clone()))]);
    assert_eq!(example(&before, &now, &[old]), None);
}

#[test]
fn what_is_written_is_read() {
    let mut baseline = Baseline::default();
    baseline.set(entry(&[("a: b, \"c\"", class(2, u64::MAX, step("F1 [a1]", "F2")))]));
    baseline.set(Entry { network: Network::Bounded, ..entry(&[]) });
    let text = baseline.to_toml();
    assert_eq!(Baseline::parse(Path::new("b.toml"), &text).expect("it is one"), baseline);
}

#[test]
fn the_baseline_of_the_repository_has_every_configuration_of_the_smoke_tier() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../specs/baseline.toml"));
    let baseline = Baseline::read(path).expect("it is one");
    let catalog = Catalog::embedded().expect("they are correct");
    for config in catalog.choose(&[], Some(Tier::Smoke)).expect("there are some") {
        assert!(baseline.get(&config.name, config.network).is_some(), "{}", config.name);
    }
    let text = std::fs::read_to_string(path).expect("it is there");
    assert_eq!(baseline.to_toml(), text, "raftcheck bless has written it");
}
