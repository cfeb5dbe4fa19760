//! Traces of real clusters: their commands are requests of the service, and their snapshots are
//! files.

use raft_core::{Bytes, Message, NodeId};
use raft_kv::command::{Command, Operation};
use raft_trace::{Action, ApplyMode, ClusterTrace, DiskMode};

use crate::support::{Author, held, settings};

fn put(key: &str, value: &str) -> Bytes {
    let (key, value) = (Bytes::from(key), Bytes::from(value));
    let command = Command { request: None, operation: Operation::Put { key, value } };
    Bytes::from(command.encode().expect("it is short"))
}

/// Returns a trace in which n3 misses all commands and gets a snapshot.
fn run(commands: &[Bytes]) -> ClusterTrace {
    let (server, late) = (NodeId(1), NodeId(3));
    let mut author = Author::of(settings(3, DiskMode::Atomic, ApplyMode::AtOnce));
    author.elect();
    author.act(Action::Crash {
        server: late,
        writes_kept: 0,
        applied_kept: raft_core::Index::ZERO,
    });
    for command in commands {
        author.act(Action::Propose { server, command: command.clone() });
        while let Some(envelope) =
            author.cluster.network.keys().find(|envelope| envelope.to != late).cloned()
        {
            author.act(Action::Deliver(envelope));
        }
    }
    author.act(Action::StartSnapshot { server });
    author.act(Action::Restart { server: late });
    author.deliver_all();
    author.act(Action::Heartbeat { server });
    author.deliver_all();
    author.trace
}

fn offers(trace: &mut ClusterTrace) -> Vec<&mut Bytes> {
    let offers = trace.actions.iter_mut().filter_map(|action| match action {
        Action::Deliver(envelope) => match &mut envelope.message {
            Message::InstallSnapshot(offer) => Some(&mut offer.snapshot.handle),
            _ => None,
        },
        _ => None,
    });
    offers.collect()
}

#[test]
fn requests_of_the_service_stay_what_they_are() {
    let mut trace = run(&[put("a", "1"), put("b", "2"), put("a", "3")]);
    assert!(!offers(&mut trace).is_empty(), "the late server gets a snapshot");
    let (done, found) = held(&trace).expect("the model can do it");
    assert!(found.is_none(), "{found:#?}");
    assert!(done.steps > 10, "{done:?}");
}

#[test]
fn a_recorded_snapshot_is_known_by_its_position() {
    let mut trace = run(&[put("a", "1"), put("b", "2")]);
    for handle in offers(&mut trace) {
        *handle = Bytes::from("snapshot-3-1-99-00000000");
    }
    let (_, found) = held(&trace).expect("the model can do it");
    assert!(found.is_none(), "{found:#?}");
}
