//! Tests that the logs of several servers are shown in a possible order.

use std::collections::HashMap;

use proptest::prelude::*;
use raft_core::{Input, Message, NodeId};
use raft_logs::column_log::{Flag, Merge, Merged, Next};
use raft_trace::NodeRecord;

use crate::cluster::Cluster;
use crate::support::{in_memory, lines};

/// The next action of a run. A number beside it selects the server or the message.
#[derive(Clone, Copy, Debug)]
enum Move {
    Timeout,
    Heartbeat,
    Propose,
    Read,
    Deliver,
    Repeat,
    Lose,
    Sync,
    Apply,
    Snapshot,
    Restart,
}

fn moves(repeats: bool) -> impl Strategy<Value = Vec<(Move, usize)>> {
    let one = prop_oneof![
        2 => Just(Move::Timeout),
        3 => Just(Move::Heartbeat),
        4 => Just(Move::Propose),
        1 => Just(Move::Read),
        20 => Just(Move::Deliver),
        3 => Just(if repeats { Move::Repeat } else { Move::Deliver }),
        1 => Just(Move::Lose),
        12 => Just(Move::Sync),
        4 => Just(Move::Apply),
        1 => Just(Move::Snapshot),
        1 => Just(Move::Restart),
    ];
    prop::collection::vec((one, 0..1000_usize), 1..300)
}

/// Runs the moves. Returns the cluster, and the number of messages that were repeated.
fn run(servers: u64, moves: &[(Move, usize)]) -> (Cluster, usize) {
    let mut cluster = Cluster::new(servers);
    let mut repeated = 0;
    for (chosen, number) in moves {
        let server = number % cluster.members.len();
        let message = (!cluster.network.is_empty()).then(|| number % cluster.network.len());
        match (chosen, message) {
            (Move::Timeout, _) => cluster.input(server, Input::ElectionTimeout),
            (Move::Heartbeat, _) => cluster.input(server, Input::Heartbeat),
            (Move::Propose, _) => cluster.propose(server, "x"),
            (Move::Read, _) => cluster.read(server),
            (Move::Deliver, Some(message)) => cluster.deliver(message, false),
            (Move::Repeat, Some(message)) => {
                cluster.deliver(message, true);
                repeated += 1;
            }
            (Move::Lose, Some(message)) => drop(cluster.network.remove(message)),
            (Move::Sync, _) => cluster.sync(server),
            (Move::Apply, _) => cluster.apply(server),
            (Move::Snapshot, _) => cluster.snapshot(server),
            (Move::Restart, _) => cluster.restart(server),
            (Move::Deliver | Move::Repeat | Move::Lose, None) => {}
        }
    }
    (cluster, repeated)
}

/// Merges the logs of a run. The order in which they are given must not matter.
fn merged(logs: &[Vec<NodeRecord>], backwards: bool) -> Vec<Merged> {
    let logs = logs.iter().map(|log| in_memory("memory", lines(log)));
    let logs = if backwards { logs.rev().collect() } else { logs.collect() };
    let mut merge = Merge::new(logs);
    let mut all = Vec::new();
    loop {
        match merge.next_record(true) {
            Next::Record(merged) => all.push(*merged),
            Next::End => break,
            Next::Wait => panic!("nothing grows"),
        }
    }
    let errors = merge.take_errors();
    assert!(errors.is_empty(), "{errors:?}");
    all
}

/// Goes through a merged run, with the messages that really left, and checks that each message
/// arrives after it was sent. Returns the number of arrivals beyond the number of sendings by then.
fn repeated_arrivals(cluster: &Cluster, all: &[Merged]) -> usize {
    let mut on_the_way: HashMap<(NodeId, NodeId, Message), i64> = HashMap::new();
    let mut repeated = 0;
    for Merged { server, line, record, flag } in all {
        let member = usize::try_from(server.0 - 1).expect("small");
        let logged = &cluster.members[member].log[usize::try_from(line - 1).expect("small")];
        assert_eq!(&logged.record, record);
        if let NodeRecord::Step { input: Input::Receive { from, message }, .. } = record {
            let copies = on_the_way.get_mut(&(*from, *server, message.clone()));
            let copies = copies.unwrap_or_else(|| panic!("not sent yet: {record:?}"));
            if *copies == 0 {
                repeated += 1;
                assert_eq!(*flag, Flag::Repeated);
            } else {
                *copies -= 1;
                assert_eq!(*flag, Flag::None);
            }
        } else {
            assert_eq!(*flag, Flag::None);
        }
        for (to, message) in &logged.left {
            *on_the_way.entry((*server, *to, message.clone())).or_default() += 1;
        }
    }
    repeated
}

/// Asserts that the merged run has every line of every log, in the order of the log.
fn assert_nothing_is_missing(logs: &[Vec<NodeRecord>], all: &[Merged]) {
    let servers = (1..).map(NodeId);
    for (server, log) in servers.zip(logs) {
        let lines: Vec<u64> =
            all.iter().filter(|merged| merged.server == server).map(|merged| merged.line).collect();
        assert_eq!(lines, (1..=log.len() as u64).collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn no_message_arrives_before_it_was_sent(moves in moves(false), servers in 2..6_u64) {
        let (cluster, _) = run(servers, &moves);
        let logs = cluster.logs();
        let all = merged(&logs, false);
        assert_nothing_is_missing(&logs, &all);
        prop_assert_eq!(repeated_arrivals(&cluster, &all), 0);
    }

    #[test]
    fn a_repeated_message_arrives_after_it_was_sent_too(moves in moves(true), servers in 2..6_u64) {
        let (cluster, repeated) = run(servers, &moves);
        let logs = cluster.logs();
        let all = merged(&logs, false);
        assert_nothing_is_missing(&logs, &all);
        // The choice of the repeated arrival is a guess. But only a run with repeated messages may
        // have one.
        prop_assert!(repeated_arrivals(&cluster, &all) == 0 || repeated > 0);
    }

    #[test]
    fn the_order_of_the_files_does_not_matter(moves in moves(true)) {
        let logs = run(3, &moves).0.logs();
        let text = |all: Vec<Merged>| -> Vec<_> {
            all.into_iter().map(|merged| (merged.server, merged.line)).collect()
        };
        prop_assert_eq!(text(merged(&logs, false)), text(merged(&logs, true)));
    }
}

/// Runs an election and a command, and delivers all messages.
fn quiet_run() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.input(0, Input::ElectionTimeout);
    cluster.settle();
    cluster.propose(0, "x");
    cluster.settle();
    cluster
}

#[test]
fn a_message_that_waits_for_the_disk_leaves_when_the_write_is_durable() {
    let all = merged(&quiet_run().logs(), true);
    let place =
        |wanted: &dyn Fn(&Merged) -> bool| all.iter().position(wanted).expect("it is there");
    let durable = place(&|merged| {
        merged.server == NodeId(1)
            && matches!(merged.record, NodeRecord::Step { input: Input::Durable { .. }, .. })
    });
    let asked = place(&|merged| {
        merged.server == NodeId(2)
            && matches!(merged.record, NodeRecord::Step { input: Input::Receive { .. }, .. })
    });
    assert!(durable < asked, "the vote is asked for at {asked}, durable at {durable}");
}

#[test]
fn a_message_that_the_senders_log_lacks_is_shown_and_marked() {
    let mut logs = quiet_run().logs();
    // The log of n1 ends before it has asked for votes.
    logs[0].truncate(1);
    let all = merged(&logs, false);
    assert_nothing_is_missing(&logs, &all);
    assert!(all.iter().any(|merged| merged.flag == Flag::Unsent), "{all:?}");
}

#[test]
fn a_sender_without_a_log_is_believed() {
    let logs = quiet_run().logs().split_off(1);
    let texts = logs.iter().map(|log| in_memory("memory", lines(log))).collect();
    let mut merge = Merge::new(texts);
    let mut records = 0;
    while let Next::Record(merged) = merge.next_record(true) {
        assert_eq!(merged.flag, Flag::None);
        records += 1;
    }
    assert_eq!(records, logs[0].len() + logs[1].len());
}
