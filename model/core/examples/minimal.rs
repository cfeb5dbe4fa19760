//! A minimal program with raft-core: one server that elects itself and commits a command.

use std::collections::BTreeSet;

use raft_core::{
    Bytes, Config, Effect, HaltReason, Index, Input, Limits, Node, NodeId, Paper, step,
};

fn main() {
    match commit_one(Bytes::from("a command")) {
        Ok(index) => println!("committed up to {index}"),
        Err(reason) => eprintln!("the server did not start: {reason:?}"),
    }
}

fn commit_one(command: Bytes) -> Result<Index, HaltReason> {
    let id = NodeId(1);
    let config = Config { id, voters: BTreeSet::from([id]), limits: Limits::default() };
    let mut node = Node::boot(&Paper, config)?;
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
    Ok(node.commit_index)
}

/// The blank entry of the new leader, and the command.
#[test]
fn the_leader_commits_its_blank_entry_and_the_command() {
    assert_eq!(commit_one(Bytes::from("a command")), Ok(Index(2)));
}
