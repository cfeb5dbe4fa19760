//! The cost of one step: a leader and a follower in the steady state, and an election.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use raft_core::{Bytes, Config, Effect, Input, Limits, Mark, Message, Node, NodeId, Paper, step};

fn node(id: u64) -> Node {
    let voters = (1..=3).map(NodeId).collect();
    let config = Config { id: NodeId(id), voters, limits: Limits::default() };
    Node::boot(&Paper, config).expect("the configuration is sound")
}

/// Does a step and reports its write as durable at once. Returns the messages for `to`.
fn run(node: &mut Node, input: Input, to: NodeId) -> Vec<Message> {
    let mut effects = Vec::new();
    step(&Paper, node, input, &mut effects);
    let newest: Mark = node.disk.issued;
    if newest > node.disk.durable {
        step(&Paper, node, Input::Durable { mark: newest }, &mut effects);
    }
    let sent = effects.into_iter().filter_map(|effect| match effect {
        Effect::Send { to: receiver, message, .. } if receiver == to => Some(message),
        _ => None,
    });
    sent.collect()
}

/// Delivers messages back and forth between n1 and n2 until there are none.
fn settle(one: &mut Node, two: &mut Node, mut to_two: Vec<Message>) {
    let (first, second) = (one.id(), two.id());
    while !to_two.is_empty() {
        let mut to_one = Vec::new();
        for message in to_two.drain(..) {
            to_one.extend(run(two, Input::Receive { from: first, message }, first));
        }
        for message in to_one {
            to_two.extend(run(one, Input::Receive { from: second, message }, second));
        }
    }
}

fn leader_and_follower() -> (Node, Node) {
    let (mut one, mut two) = (node(1), node(2));
    let asked = run(&mut one, Input::ElectionTimeout, two.id());
    settle(&mut one, &mut two, asked);
    assert!(one.is_leader(), "n2 votes for n1");
    (one, two)
}

fn propose(commands: usize) -> Input {
    Input::Propose { commands: vec![Bytes::from(&[7u8; 256][..]); commands] }
}

fn benches(criterion: &mut Criterion) {
    criterion.bench_function("elect a leader", |bencher| {
        bencher.iter(|| black_box(leader_and_follower()));
    });
    for commands in [1, 64] {
        let name = format!("replicate and commit {commands} commands");
        criterion.bench_function(&name, |bencher| {
            let replicate = |(mut one, mut two): (Node, Node)| {
                let sent = run(&mut one, propose(commands), two.id());
                settle(&mut one, &mut two, sent);
                (one, two)
            };
            bencher.iter_batched(leader_and_follower, replicate, BatchSize::SmallInput);
        });
    }
    criterion.bench_function("heartbeat round", |bencher| {
        let beat = |(mut one, mut two): (Node, Node)| {
            let sent = run(&mut one, Input::Heartbeat, two.id());
            settle(&mut one, &mut two, sent);
            (one, two)
        };
        bencher.iter_batched(leader_and_follower, beat, BatchSize::SmallInput);
    });
}

criterion_group!(step_benches, benches);
criterion_main!(step_benches);
