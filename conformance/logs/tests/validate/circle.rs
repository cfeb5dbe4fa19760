//! Logs whose lines are correct by themselves, but do not fit together.

use raft_core::{
    Index, Input, LogPosition, Mark, Message, Node, NodeId, Paper, PersistentState, RequestVote,
    RequestVoteReply, Term, step,
};
use raft_logs::validate::Refusal;
use raft_trace::{NodeDigest, NodeRecord};

use crate::cluster::config;
use crate::logs::Logs;

/// Returns the log of a server that received these inputs after its first start.
fn told(id: u64, inputs: &[Input]) -> Vec<String> {
    let state = PersistentState::default();
    let mut records = vec![NodeRecord::Start { config: config(id), state, applied: Index::ZERO }];
    let mut node = Node::boot(&Paper, config(id)).expect("it is among its voters");
    for (seq, input) in (1..).zip(inputs) {
        let mut effects = Vec::new();
        step(&Paper, &mut node, input.clone(), &mut effects);
        let after = NodeDigest::of(&node);
        records.push(NodeRecord::Step { seq, input: input.clone(), effects, after });
    }
    let line = |record: &NodeRecord| {
        let mut bytes = Vec::new();
        record.write(&mut bytes).expect("memory takes it");
        String::from_utf8(bytes).expect("JSON is text").trim_end().to_owned()
    };
    records.iter().map(line).collect()
}

fn hears(from: u64, message: Message) -> Input {
    Input::Receive { from: NodeId(from), message }
}

fn vote_wanted(term: u64) -> Message {
    Message::RequestVote(RequestVote { term: Term(term), last_log: LogPosition::default() })
}

fn vote(term: u64, granted: bool) -> Message {
    Message::RequestVoteReply(RequestVoteReply { term: Term(term), granted })
}

fn durable(mark: u64) -> Input {
    Input::Durable { mark: Mark(mark) }
}

#[test]
fn two_servers_that_heard_of_a_term_from_each_other_are_a_circle() {
    // Each server refuses the other's old candidacy, with a term that it learned from the other's
    // refusal.
    let side = |id, other| {
        told(
            id,
            &[
                Input::ElectionTimeout,
                durable(1),
                hears(other, vote(5, false)),
                durable(2),
                hears(other, vote_wanted(1)),
            ],
        )
    };
    let logs = Logs { files: vec![side(1, 2), side(2, 1), told(3, &[])] };
    let places = logs.contradictions();
    assert_eq!(
        places.iter().map(|place| (place.server, place.line)).collect::<Vec<_>>(),
        [(0, 4), (1, 4)]
    );
    for place in places {
        let Refusal::Circle { links } = &place.refusal else { panic!("{place:?}") };
        assert_eq!(links.len(), 2);
        assert!(links.iter().all(|link| link.received == 4 && link.sent == 6), "{links:?}");
    }
}

#[test]
fn a_vote_that_was_not_durable_was_not_released() {
    let candidate = told(1, &[Input::ElectionTimeout, durable(1), hears(2, vote(1, true))]);
    let voter = [hears(1, vote_wanted(1)), durable(1)];
    let durable = Logs { files: vec![candidate.clone(), told(2, &voter)] };
    assert!(durable.contradictions().is_empty());
    let not_durable = Logs { files: vec![candidate, told(2, &voter[..1])] };
    let place = not_durable.contradiction();
    assert_eq!((place.server, place.line), (0, 4));
    let Refusal::NotReleased { from, line, write, durable } = place.refusal else {
        panic!("{place:?}")
    };
    assert_eq!((from, line, write, durable), (NodeId(2), 2, 1, 0));
}

#[test]
fn a_vote_that_nobody_gave_was_never_sent() {
    let candidate = told(1, &[Input::ElectionTimeout, durable(1), hears(2, vote(1, true))]);
    let logs = Logs { files: vec![candidate, told(2, &[])] };
    let place = logs.contradiction();
    assert_eq!((place.server, place.line), (0, 4));
    assert!(matches!(place.refusal, Refusal::NeverSent { has_log: true, .. }), "{place:?}");
}

#[test]
fn what_waits_for_something_that_is_refused_is_not_refused_itself() {
    let candidate = told(1, &[Input::ElectionTimeout, durable(1), hears(2, vote(1, true))]);
    // The voter's disk reports a write that was never issued.
    let voter = told(2, &[hears(1, vote_wanted(1)), durable(1)]);
    let voter = voter.iter().map(|line| line.replace("{\"mark\":1}", "{\"mark\":2}")).collect();
    let logs = Logs { files: vec![candidate, voter] };
    let report = logs.validate().expect("every line can be read");
    let refusals: Vec<&str> = report
        .servers
        .iter()
        .map(|server| server.incomplete.as_ref().expect("neither ends").refusal.name())
        .collect();
    assert_eq!(refusals, ["waits", "durable-was-issued"]);
}
