//! A second snapshot arrives before the state machine has been restored from the first.

use raft_checker::cluster::snapshot_data::encode;
use raft_core::{
    Bytes, Entry, Index, InstallSnapshot, Message, NodeId, Payload, ReadRound, Snapshot, Term,
};
use raft_trace::{Action, ApplyMode, ClusterTrace, DiskMode, Envelope};

use crate::support::{held, settings};

fn snapshot(entries: &[Entry]) -> Action {
    let term = Term(1);
    let snapshot = Snapshot {
        last_included_index: Index(entries.len() as u64),
        last_included_term: term,
        handle: encode(entries),
    };
    let read_round = ReadRound::default();
    let message = Message::InstallSnapshot(InstallSnapshot { term, snapshot, read_round });
    Action::Deliver(Envelope { from: NodeId(1), to: NodeId(2), message })
}

/// Tests for a former bug: the file of the first snapshot was removed when the second became the
/// base of the log, and the state machine could not be restored from it.
#[test]
fn two_snapshots_arrive_before_the_first_is_restored() {
    let command = Payload::Command(Bytes::from("a"));
    let entries = [
        Entry { term: Term(1), payload: Payload::Noop },
        Entry { term: Term(1), payload: command },
    ];
    let server = NodeId(2);
    let apply = || Action::Apply { server };
    for disk in [DiskMode::Atomic, DiskMode::Queued] {
        let mut actions = vec![snapshot(&entries[..1]), snapshot(&entries)];
        if disk == DiskMode::Queued {
            actions.push(Action::Sync { server, writes: 2 });
        }
        actions.extend([apply(), apply()]);
        let settings = settings(2, disk, ApplyMode::Separate);
        let trace = ClusterTrace { settings, about: String::new(), actions };
        let (done, found) = held(&trace).expect("the model can do it");
        assert!(found.is_none(), "{found:#?}");
        assert_eq!(done.steps, trace.actions.len() as u64);
    }
}
