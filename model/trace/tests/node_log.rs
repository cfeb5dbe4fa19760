//! A line of a node log is read as it was written. Anything else is an error.

use std::collections::BTreeSet;

use raft_core::{Config, Effect, Index, Input, Limits, Node, NodeId, Paper, PersistentState, step};
use raft_trace::{NodeDigest, NodeRecord};

fn records() -> Vec<NodeRecord> {
    let voters = BTreeSet::from([NodeId(1), NodeId(2), NodeId(3)]);
    let config = Config { id: NodeId(1), voters, limits: Limits::default() };
    let start = NodeRecord::Start {
        config: config.clone(),
        state: PersistentState::default(),
        applied: Index::ZERO,
    };
    let mut node = Node::boot(&Paper, config).expect("it is among its voters");
    let mut effects: Vec<Effect> = Vec::new();
    step(&Paper, &mut node, Input::ElectionTimeout, &mut effects);
    let after = NodeDigest::of(&node);
    vec![start, NodeRecord::Step { seq: 1, input: Input::ElectionTimeout, effects, after }]
}

fn line(record: &NodeRecord) -> String {
    let mut bytes = Vec::new();
    record.write(&mut bytes).expect("memory takes it");
    String::from_utf8(bytes).expect("JSON is text")
}

#[test]
fn what_was_written_is_read() {
    for record in records() {
        let line = line(&record);
        assert_eq!(line.lines().count(), 1);
        assert_eq!(NodeRecord::parse(&line), Ok(record));
    }
}

#[test]
fn a_start_names_the_schema() {
    let line = line(&records()[0]);
    assert!(line.starts_with("{\"schema\":\"raft-node-log\",\"version\":2,"), "{line}");
    let newer = line.replace("\"version\":2", "\"version\":3");
    let refusal = NodeRecord::parse(&newer).expect_err("it is newer");
    assert_eq!(refusal, "schema version 3; this program reads version 2");
    let other = line.replace("raft-node-log", "something");
    assert!(NodeRecord::parse(&other).is_err());
}

#[test]
fn half_a_line_is_an_error() {
    let line = line(&records()[1]);
    for end in 0..line.trim_end().len() {
        assert!(NodeRecord::parse(&line[..end]).is_err(), "{end}");
    }
    assert!(NodeRecord::parse(&line.replace("\"seq\"", "\"sequence\"")).is_err());
}
