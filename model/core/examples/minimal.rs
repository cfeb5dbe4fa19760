//! A minimal production program with raft-core: one server that elects itself and commits a
//! command. A test of the checker verifies that its binary contains no trace of the checker.

use std::collections::BTreeSet;

use raft_core::{Bytes, Config, Effect, Input, Limits, Node, NodeId, Paper, step};

fn main() {
    let id = NodeId(1);
    let config = Config { id, voters: BTreeSet::from([id]), limits: Limits::default() };
    let Ok(mut node) = Node::boot(&Paper, config) else {
        eprintln!("the configuration is sound, and yet the server did not start");
        std::process::exit(1);
    };
    let command = Bytes::from(std::env::args().next().unwrap_or_default().as_str());
    let mut inputs = vec![Input::Propose { commands: vec![command] }, Input::ElectionTimeout];
    let mut effects = Vec::new();
    while let Some(input) = inputs.pop() {
        step(&Paper, &mut node, input, &mut effects);
        for effect in effects.drain(..) {
            if let Effect::Persist { mark, .. } = effect {
                inputs.push(Input::Durable { mark });
            }
        }
    }
    println!("committed up to {}", node.commit_index);
}
