//! Tests are chosen by name.

use raft_lab::{Level, select};

#[test]
fn both_tables_of_the_suite_are_there() {
    let all = select(&[]).expect("all");
    let of = |level| all.iter().filter(|test| test.level == level).count();
    assert_eq!(of(Level::Raft), 28);
    assert_eq!(of(Level::Service), 23);
    assert!(all.iter().all(|test| test.about.ends_with('.') && test.about.len() <= 80));
}

#[test]
fn a_pattern_chooses_from_both() {
    let chosen = select(&["snapshot*".to_owned()]).expect("some");
    assert!(chosen.iter().any(|test| test.level == Level::Raft));
    assert!(chosen.iter().any(|test| test.level == Level::Service));
}
