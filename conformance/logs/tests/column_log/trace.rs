//! Tests the events of a replayed trace that do not come directly from its actions.

use raft_core::{Bytes, Index, Limits, NodeId};
use raft_logs::column_log::{Event, Flag, Replayed, Topic};
use raft_trace::{Action, ApplyMode, ClusterTrace, DiskMode, Settings};

/// Returns the events of a run.
fn events(servers: u64, limits: Limits, actions: Vec<Action>) -> Vec<Event> {
    let (disk, apply) = (DiskMode::Queued, ApplyMode::Separate);
    let settings = Settings { servers, limits, disk, apply };
    let mut replayed = Replayed::new(ClusterTrace { settings, about: String::new(), actions });
    let mut all = Vec::new();
    while let Some(events) = replayed.next_step().expect("every step is possible") {
        assert!(!events.is_empty(), "a step is silent");
        all.extend(events);
    }
    all
}

fn texts(events: &[Event], topic: Topic) -> Vec<&str> {
    let about = events.iter().filter(|event| event.topic == topic);
    about.map(|event| event.text.as_str()).collect()
}

#[test]
fn what_becomes_durable_is_named_although_the_model_counts_writes_anew() {
    let server = NodeId(1);
    let timeout = || Action::ElectionTimeout { server };
    let sync = || Action::Sync { server, writes: 1 };
    let actions = vec![timeout(), timeout(), sync(), sync(), timeout(), sync()];
    let events = events(3, Limits::default(), actions);
    let durable = texts(&events, Topic::Disk).into_iter().filter(|text| text.starts_with('d'));
    let expected = ["durable: t1 v1", "durable: t2 v1", "durable: t3 v1"];
    assert_eq!(durable.collect::<Vec<_>>(), expected);
}

#[test]
fn a_lone_server_elects_itself_commits_applies_and_takes_a_snapshot() {
    let server = NodeId(1);
    let sync = || Action::Sync { server, writes: 1 };
    let propose = Action::Propose { server, command: Bytes::from("x") };
    let actions = vec![
        Action::ElectionTimeout { server },
        sync(),
        sync(),
        propose,
        sync(),
        Action::Apply { server },
        Action::Apply { server },
        Action::StartSnapshot { server },
        Action::FinishSnapshot { server },
        sync(),
        Action::Crash { server, writes_kept: 0, applied_kept: Index(2) },
        Action::Restart { server },
    ];
    let events = events(1, Limits::default(), actions);
    assert_eq!(texts(&events, Topic::Cmit), ["L1 c1 a0 commits 1", "L1 c2 a0 commits 2"]);
    assert_eq!(texts(&events, Topic::Appl), ["L1 c2 a1 applied 1", "L1 c2 a2 applied 2"]);
    let snapshot = ["takes a snapshot", "stored snapshot 2", "L1 c2 a2 log begins after 2"];
    assert_eq!(texts(&events, Topic::Snap), snapshot);
    let boot = ["CRASH, keeps 0 writes, a2", "F1 c2 a2 starts, snapshot 2"];
    assert_eq!(texts(&events, Topic::Boot), boot);
}

#[test]
fn a_broken_property_is_told_once_and_marked() {
    // With a batch of 0 no server can start.
    let limits = Limits { batch: 0, ..Limits::default() };
    let restart = || Action::Restart { server: NodeId(2) };
    let events = events(3, limits, vec![restart()]);
    let broken: Vec<_> = events.iter().filter(|event| event.flag == Flag::Broken).collect();
    assert!(broken.iter().all(|event| event.topic == Topic::Fail && event.server == NodeId(2)));
    let named = |name| broken.iter().filter(|event| event.text.starts_with(name)).count();
    assert_eq!((named("nobody-halts is broken"), named("can-recover is broken")), (1, 1));
}
