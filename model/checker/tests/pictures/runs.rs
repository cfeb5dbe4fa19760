//! The runs whose views are tested.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use raft_checker::cluster::Cluster;
use raft_checker::properties::Property;
use raft_checker::replay::Replay;
use raft_core::{Bytes, Index, Limits, Message, NodeId, Paper};
use raft_trace::{Action, ApplyMode, ClusterTrace, DiskMode, Envelope, Settings};

use crate::schedules::choice::schedules;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../specs/corpus");

/// Returns every trace of the corpus, with its name and its description.
pub(crate) fn corpus() -> Vec<(String, String, Replay)> {
    let folder = std::fs::read_dir(CORPUS).expect("the corpus is a folder");
    let mut files: Vec<PathBuf> = folder.map(|file| file.expect("a file").path()).collect();
    files.sort();
    let read = |path: PathBuf| {
        let file = BufReader::new(File::open(&path).expect("it is there"));
        let ClusterTrace { settings, actions, about, .. } =
            ClusterTrace::read(file).expect("it is a trace");
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        (name, about, Replay::run(&settings, &actions).expect("it replays"))
    };
    files.into_iter().map(read).collect()
}

/// Returns the paper's Figure 8, on five servers.
pub(crate) fn figure_8() -> Replay {
    let found = corpus().into_iter().find(|(name, ..)| name.starts_with("figure-8-older"));
    found.expect("it is in the corpus").2
}

/// Returns random runs of three and of five servers, with all kinds of actions, the same runs every
/// time.
pub(crate) fn random() -> Vec<Replay> {
    let mut runner = TestRunner::deterministic();
    let mut runs = Vec::new();
    for _ in 0..60 {
        let schedule = schedules(100..600).new_tree(&mut runner).expect("nothing is filtered out");
        let schedule = schedule.current();
        let mut cluster = Cluster::boot(&schedule.settings, &Paper);
        let mut actions = Vec::new();
        for choice in &schedule.choices {
            let action = choice.action(&schedule.settings, &cluster, actions.len());
            let done = |action: &Action| cluster.act(&schedule.settings, &Paper, action).is_ok();
            actions.extend(action.filter(done));
        }
        runs.push(Replay::run(&schedule.settings, &actions).expect("it was just done"));
    }
    runs
}

/// Returns a run with a lost message, a copy, a server that is down for a while and one that is
/// down at the end. Its last step is marked as if it broke Election Safety. So the election, which
/// that step would contradict, is marked too.
pub(crate) fn small() -> Replay {
    let limits = Limits { batch: 1, window: 2, reads: 2 };
    let settings =
        Settings { servers: 3, limits, disk: DiskMode::Atomic, apply: ApplyMode::AtOnce };
    let mut cluster = Cluster::boot(&settings, &Paper);
    let mut actions = Vec::new();
    let mut act = |cluster: &mut Cluster, action: Action| {
        cluster.act(&settings, &Paper, &action).expect("it is possible");
        actions.push(action);
    };
    let message = |cluster: &Cluster, from, to, wanted: fn(&Message) -> bool| -> Envelope {
        let matches = |envelope: &&Envelope| {
            (envelope.from, envelope.to) == (NodeId(from), NodeId(to)) && wanted(&envelope.message)
        };
        cluster.network.keys().find(matches).expect("it is under way").clone()
    };
    let crash = |server| Action::Crash {
        server: NodeId(server),
        writes_kept: 0,
        applied_kept: Index::ZERO,
    };
    let append = |message: &Message| matches!(message, Message::AppendEntries(_));
    let any = |_: &Message| true;

    act(&mut cluster, Action::ElectionTimeout { server: NodeId(1) });
    let vote = message(&cluster, 1, 2, any);
    act(&mut cluster, Action::Deliver(vote));
    act(&mut cluster, crash(2));
    let vote = message(&cluster, 1, 3, any);
    act(&mut cluster, Action::Drop(vote));
    let granted = message(&cluster, 2, 1, any);
    act(&mut cluster, Action::Deliver(granted));
    act(&mut cluster, Action::Restart { server: NodeId(2) });
    let entries = message(&cluster, 1, 3, append);
    act(&mut cluster, Action::Duplicate(entries.clone()));
    act(&mut cluster, Action::Deliver(entries.clone()));
    let ack = message(&cluster, 3, 1, any);
    act(&mut cluster, Action::Deliver(ack));
    act(&mut cluster, Action::Deliver(entries));
    let command = Bytes::from("put <key>; and # & \"value\" of some length");
    act(&mut cluster, Action::Propose { server: NodeId(1), command });
    act(&mut cluster, crash(3));
    let to_2 = message(&cluster, 1, 2, append);
    act(&mut cluster, Action::Deliver(to_2));

    let mut replay = Replay::run(&settings, &actions).expect("it was just done");
    replay.stuck = None;
    let last = replay.steps.last_mut().expect("there are steps");
    last.broken = [Property::ElectionSafety].into_iter().collect();
    replay
}
