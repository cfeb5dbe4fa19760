//! Two neighbouring steps that depend on each other have changed places.

use raft_core::{Node, Paper, step};
use raft_logs::validate::Refusal;
use raft_trace::{NodeDigest, NodeRecord};

use crate::cluster::{Cluster, Dice};
use crate::logs::Logs;

#[test]
fn steps_that_changed_places_with_their_numbers_are_noticed_at_the_first() {
    let mut dice = Dice(3);
    for seed in 0..20 {
        let mut logs = Cluster::ran(seed, 1500).logs;
        let server = dice.below(3);
        let pairs: Vec<usize> = (0..logs.files[server].len())
            .filter(|line| logs.goes_on_after(server, *line))
            .collect();
        let line = pairs[dice.below(pairs.len())];
        logs.files[server].swap(line, line + 1);
        let place = logs.contradiction();
        assert_eq!((place.server, place.line), (server, line + 1), "{place:?}");
        assert!(matches!(place.refusal, Refusal::Sequence { .. }), "{place:?}");
    }
}

/// Replays the log from the last start before a line, and returns the node as it is before this
/// line.
fn node_before(logs: &Logs, server: usize, line: usize) -> Option<Node> {
    let start = (0..line).rev().find(|line| logs.is_start(server, *line))?;
    let Some(NodeRecord::Start { config, state, applied }) = logs.record(server, start) else {
        return None;
    };
    let mut node = Node::restart(&Paper, config, state, applied).expect("a sound disk");
    for line in start + 1..line {
        let Some(NodeRecord::Step { input, .. }) = logs.record(server, line) else { return None };
        step(&Paper, &mut node, input, &mut Vec::new());
    }
    Some(node)
}

/// Returns whether a node's step with the input of a record has the effects and the state in the
/// record.
fn does(node: &mut Node, record: &NodeRecord) -> bool {
    let NodeRecord::Step { input, effects, after, .. } = record else { return false };
    let mut found = Vec::new();
    step(&Paper, node, input.clone(), &mut found);
    found == *effects && NodeDigest::of(node) == *after
}

fn with_seq(record: NodeRecord, seq: u64) -> NodeRecord {
    match record {
        NodeRecord::Step { input, effects, after, .. } => {
            NodeRecord::Step { seq, input, effects, after }
        }
        start @ NodeRecord::Start { .. } => start,
    }
}

fn line_of(record: &NodeRecord) -> String {
    let mut bytes = Vec::new();
    record.write(&mut bytes).expect("memory takes it");
    String::from_utf8(bytes).expect("JSON is text").trim_end().to_owned()
}

#[test]
fn dependent_steps_that_changed_places_under_right_numbers_are_noticed_at_one_of_them() {
    let mut dice = Dice(4);
    let mut tried = 0;
    for seed in 0..40 {
        let logs = Cluster::ran(seed, 1200).logs;
        for _ in 0..15 {
            let server = dice.below(3);
            let line = dice.below(logs.files[server].len());
            let (Some(mut node), true) =
                (node_before(&logs, server, line), logs.goes_on_after(server, line))
            else {
                continue;
            };
            let [first, second] = [line, line + 1].map(|line| logs.record(server, line));
            let (Some(first), Some(second)) = (first, second) else { continue };
            let NodeRecord::Step { seq, .. } = first else { continue };
            if does(&mut node, &second) && does(&mut node, &first) {
                // The steps do not depend on each other, so the change cannot be detected.
                continue;
            }
            let mut changed = logs.clone();
            changed.files[server][line] = line_of(&with_seq(second, seq));
            changed.files[server][line + 1] = line_of(&with_seq(first, seq + 1));
            let places = changed.contradictions();
            let (own, others): (Vec<_>, Vec<_>) =
                places.iter().partition(|place| place.server == server);
            let [own] = own.as_slice() else { panic!("{places:?}") };
            assert!([line + 1, line + 2].contains(&own.line), "{line} {places:?}");
            // If this server now receives before it sends a message for which another server waits,
            // the two servers are in a circle.
            let is_circle = |refusal: &Refusal| matches!(refusal, Refusal::Circle { .. });
            assert!(others.iter().all(|other| is_circle(&other.refusal)), "{places:?}");
            assert!(others.is_empty() || is_circle(&own.refusal), "{places:?}");
            tried += 1;
        }
    }
    assert!(tried > 200, "{tried}");
}
