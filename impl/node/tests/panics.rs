//! A panic in any thread stops the server, and the error contains the reason.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::SocketAddr;

use raft_core::{Bytes, Entry, Index, NodeId};
use raft_node::{
    NodeError, NodeHandle, Options, RunningNode, SnapshotView, StateMachine, StateMachineError,
};

/// The call in which a state machine panics.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PanicsIn {
    Apply,
    View,
    Snapshot,
}

/// A state machine that panics in one of its calls.
struct Counting {
    applied: Index,
    panics: PanicsIn,
}

struct View(Counting);

impl StateMachine for Counting {
    fn applied(&self) -> Index {
        self.applied
    }

    fn apply(&mut self, first: Index, entries: &[Entry]) -> Result<Vec<Bytes>, StateMachineError> {
        // The first entry is the blank entry of the new leader.
        assert!(first == Index(1) || self.panics != PanicsIn::Apply, "the state is inconsistent");
        self.applied = first.plus(entries.len()).prev();
        Ok(vec![Bytes::empty(); entries.len()])
    }

    fn snapshot(&self) -> Result<Box<dyn SnapshotView>, StateMachineError> {
        assert!(self.panics != PanicsIn::View, "the state is inconsistent");
        let Counting { applied, panics } = *self;
        Ok(Box::new(View(Counting { applied, panics })))
    }

    fn restore(&mut self, index: Index, _: &mut dyn Read) -> Result<(), StateMachineError> {
        self.applied = index;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StateMachineError> {
        Ok(())
    }
}

impl SnapshotView for View {
    fn index(&self) -> Index {
        self.0.applied
    }

    fn write_to(&self, _: &mut dyn Write) -> Result<(), StateMachineError> {
        assert!(self.0.panics != PanicsIn::Snapshot, "the state is inconsistent");
        Ok(())
    }
}

/// Runs a server whose state machine panics in the given call. The server replicates a command and
/// takes a snapshot. Returns the reason of the panic that stops the server.
fn end(panics: PanicsIn) -> String {
    let directory = tempfile::tempdir().unwrap();
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let voters = BTreeMap::from([(NodeId(1), "127.0.0.1:1".to_owned())]);
    let options = Options::new("test", NodeId(1), voters, address, directory.path().join("data"));
    let machine = Counting { applied: Index::ZERO, panics };
    let node = RunningNode::start(options, Box::new(machine)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(write_and_take_a_snapshot(&node.handle));
    match node.join() {
        Err(NodeError::Panicked(reason)) => reason,
        end => panic!("{end:?}"),
    }
}

async fn write_and_take_a_snapshot(node: &NodeHandle) {
    let written = async {
        while node.propose(Bytes::from("a command")).await.is_err() {
            tokio::task::yield_now().await;
        }
        node.take_snapshot().await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = written => {}
        () = node.ended() => {}
    }
}

#[test]
fn a_panic_while_a_snapshot_is_stored_ends_the_server() {
    assert_eq!(end(PanicsIn::Snapshot), "raft-snapshot panicked (the state is inconsistent)");
}

#[test]
fn a_panic_while_the_state_is_frozen_ends_the_server() {
    assert_eq!(end(PanicsIn::View), "raft-apply panicked (the state is inconsistent)");
}

#[test]
fn a_panic_of_the_state_machine_ends_the_server() {
    let reason = end(PanicsIn::Apply);
    // The owner applies a single entry itself, so the panic may be in either thread.
    assert!(reason.ends_with(" panicked (the state is inconsistent)"), "{reason}");
}
