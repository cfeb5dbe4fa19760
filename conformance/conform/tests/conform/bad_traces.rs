//! Traces that cannot be used are refused with the reason.

use raft_conform::trace::BadTrace;
use raft_core::{Bytes, Index, InstallSnapshot, Message, NodeId, ReadRound, Snapshot, Term};
use raft_trace::{Action, ApplyMode, ClusterTrace, DiskMode, Envelope, Settings};

use crate::support::{held, settings};

fn trace(settings: Settings, actions: Vec<Action>) -> ClusterTrace {
    ClusterTrace { settings, about: String::new(), actions }
}

fn plain() -> Settings {
    settings(3, DiskMode::Atomic, ApplyMode::AtOnce)
}

fn reason(trace: &ClusterTrace) -> String {
    held(trace).expect_err("it is refused").to_string()
}

#[test]
fn a_step_that_is_not_possible_is_named() {
    let actions =
        vec![Action::ElectionTimeout { server: NodeId(1) }, Action::Restart { server: NodeId(2) }];
    let refused = held(&trace(plain(), actions)).expect_err("n2 is up");
    assert!(matches!(refused, BadTrace::Impossible { step: 2, .. }), "{refused:?}");
}

#[test]
fn a_timer_that_does_not_run_is_named() {
    let actions = vec![Action::Heartbeat { server: NodeId(1) }];
    assert!(reason(&trace(plain(), actions)).starts_with("step 1: the timer of another role"));
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let actions = vec![Action::ElectionTimeout { server: NodeId(9) }];
    assert!(reason(&trace(plain(), actions)).contains("there is no server n9"));
}

#[test]
fn clusters_that_nobody_can_start_are_refused() {
    for servers in [0, 65, u64::MAX] {
        let refused = reason(&trace(Settings { servers, ..plain() }, Vec::new()));
        assert!(refused.contains("there can be 1 to 64"), "{refused}");
    }
    let mut settings = plain();
    settings.limits.window = 0;
    assert!(reason(&trace(settings, Vec::new())).contains("a limit is 0"));
}

#[test]
fn commands_that_are_neither_names_nor_requests_are_refused() {
    let command = Bytes::from(vec![b'x'; 1 << 21]);
    let actions = vec![Action::Propose { server: NodeId(1), command }];
    assert!(reason(&trace(plain(), actions)).contains("no request of the service"));
}

#[test]
fn snapshots_whose_contents_nobody_knows_are_refused() {
    let offer = |last_included_index, handle: &str| {
        let (term, read_round, handle) = (Term(1), ReadRound::default(), Bytes::from(handle));
        let snapshot = Snapshot { last_included_index, last_included_term: term, handle };
        let message = Message::InstallSnapshot(InstallSnapshot { term, snapshot, read_round });
        let envelope = Envelope { from: NodeId(1), to: NodeId(2), message };
        reason(&trace(plain(), vec![Action::Deliver(envelope)]))
    };
    assert!(offer(Index(3), "snapshot-3-1-99-00000000").contains("nobody knows"));
    assert!(offer(Index(3), "1-").contains("nobody knows"));
    assert!(offer(Index(0), "").contains("a snapshot of nothing"));
}
