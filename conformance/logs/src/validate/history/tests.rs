//! Tests with situations that cannot occur if every step is the model's. They are made by hand.

use raft_core::{
    Bytes, Config, Leadership, Limits, Mark, Pace, Payload, PersistentState, Progress, ReadId,
    ReadRefusal, ReadRound, Rejection, Write,
};

use super::*;
use crate::validate::environment::Environment;

fn entry(term: u64, command: &str) -> Entry {
    Entry { term: Term(term), payload: Payload::Command(Bytes::from(command)) }
}

fn log(terms: &[u64]) -> Log {
    Log::new(Snapshot::none(), terms.iter().map(|term| entry(*term, "x")).collect())
}

/// Returns three servers in one term, with logs of these terms on their disks. All have voted for
/// n1.
fn cluster(term: u64, logs: [&[u64]; 3]) -> Vec<Replica> {
    let replica = |(id, terms): (u64, &[u64])| {
        let mut replica = Replica::new(NodeId(id));
        let voters = (1..=3).map(NodeId).collect();
        let config = Config { id: NodeId(id), voters, limits: Limits::default() };
        let state = PersistentState {
            current_term: Term(term),
            voted_for: Some(NodeId(1)),
            log: log(terms),
        };
        let started = replica.start(config, state, Index::ZERO, true);
        assert!(started.is_ok(), "{started:?}");
        replica
    };
    (1..).zip(logs).map(replica).collect()
}

fn node(replicas: &mut [Replica], who: usize) -> &mut Node {
    replicas[who].node.as_mut().expect("it has started")
}

fn before(replicas: &[Replica], who: usize) -> Before {
    let node = replicas[who].node.as_ref().expect("it has started");
    Before {
        leads: leads(node),
        term: node.current_term,
        commit: node.commit_index,
        applied: node.last_applied,
        durable: replicas[who].world.durable(),
        begins: None,
        offered: None,
        answers: None,
    }
}

fn lead(replicas: &mut [Replica], who: usize) {
    let progress = Progress {
        next_index: Index(1),
        match_index: Index::ZERO,
        pace: Pace::Probe,
        acked_round: ReadRound(0),
    };
    let node = node(replicas, who);
    let followers = node.peers().map(|peer| (peer, progress)).collect();
    let (read_round, reads) = (ReadRound(0), std::collections::VecDeque::new());
    node.role = Role::Leader(Leadership { followers, read_round, reads });
}

/// Returns the property that a step of a server breaks, if the step has this effect on the servers.
fn breaks(
    history: &mut History,
    replicas: &mut [Replica],
    who: usize,
    effects: &[Effect],
    change: impl FnOnce(&mut [Replica]),
) -> Option<Property> {
    let before = before(replicas, who);
    change(replicas);
    let released = Released::default();
    let result = history.stepped(replicas, who, &before, effects, &released);
    result.err().map(|broken| broken.property)
}

/// Lets a leader commit up to an index, and returns the property that this breaks.
fn commit(
    history: &mut History,
    replicas: &mut [Replica],
    who: usize,
    index: u64,
) -> Option<Property> {
    breaks(history, replicas, who, &[], |all| node(all, who).commit_index = Index(index))
}

/// Lets a server win its term, and returns the property that this breaks.
fn win(history: &mut History, replicas: &mut [Replica], who: usize) -> Option<Property> {
    breaks(history, replicas, who, &[], |all| lead(all, who))
}

fn on_disk(replica: &mut Replica, term: u64, vote: u64, terms: &[u64]) {
    let (current_term, voted_for) = (Term(term), Some(NodeId(vote)));
    let disk = PersistentState { current_term, voted_for, log: log(terms) };
    replica.world = Environment::of(disk, Index::ZERO);
}

#[test]
fn a_term_is_won_once() {
    let (mut history, mut replicas) = (History::default(), cluster(1, [&[], &[], &[]]));
    assert_eq!(win(&mut history, &mut replicas, 0), None);
    assert_eq!(win(&mut history, &mut replicas, 1), Some(Property::ElectionSafety));
}

#[test]
fn a_leader_has_the_votes_of_a_majority() {
    let (mut history, mut replicas) = (History::default(), cluster(1, [&[], &[], &[]]));
    for replica in &mut replicas[1..] {
        on_disk(replica, 1, 3, &[]);
    }
    assert_eq!(win(&mut history, &mut replicas, 0), Some(Property::VotesAreFacts));
    on_disk(&mut replicas[2], 2, 3, &[]);
    node(&mut replicas, 0).role = Role::Follower { leader: None };
    assert_eq!(win(&mut history, &mut replicas, 0), None);
}

#[test]
fn a_leader_has_what_was_committed_before() {
    let (mut history, mut replicas) = (History::default(), cluster(1, [&[1], &[1], &[]]));
    assert_eq!(win(&mut history, &mut replicas, 0), None);
    assert_eq!(commit(&mut history, &mut replicas, 0, 1), None);
    for replica in &mut replicas {
        on_disk(replica, 2, 3, &[1]);
    }
    node(&mut replicas, 2).current_term = Term(2);
    assert_eq!(win(&mut history, &mut replicas, 2), Some(Property::LeaderCompleteness));
}

#[test]
fn an_earlier_leader_commits_nothing_that_a_later_one_lacks() {
    let (mut history, mut replicas) = (History::default(), cluster(1, [&[1], &[1], &[]]));
    assert_eq!(win(&mut history, &mut replicas, 0), None);
    node(&mut replicas, 2).current_term = Term(2);
    lead(&mut replicas, 2);
    assert_eq!(commit(&mut history, &mut replicas, 0, 1), Some(Property::LeaderCompleteness));
}

#[test]
fn what_is_committed_is_on_a_majority_of_disks() {
    let (mut history, mut replicas) = (History::default(), cluster(1, [&[1], &[], &[]]));
    assert_eq!(win(&mut history, &mut replicas, 0), None);
    assert_eq!(commit(&mut history, &mut replicas, 0, 1), Some(Property::CommittedOnMajority));
}

#[test]
fn what_is_committed_stays_on_a_majority_of_disks() {
    let (mut history, mut replicas) = (History::default(), cluster(1, [&[1], &[1], &[]]));
    assert_eq!(win(&mut history, &mut replicas, 0), None);
    assert_eq!(commit(&mut history, &mut replicas, 0, 1), None);
    let lost = breaks(&mut history, &mut replicas, 1, &[], |all| {
        on_disk(&mut all[1], 1, 1, &[]);
        let write = Write::default();
        all[1].world.ask(&Effect::Persist { mark: Mark(1), write });
        let durable = raft_core::Input::Durable { mark: Mark(1) };
        all[1].world.hear(&durable).expect("it was issued");
    });
    assert_eq!(lost, Some(Property::CommittedOnMajority));
}

#[test]
fn an_index_is_committed_of_one_term() {
    let (mut history, mut replicas) = (History::default(), cluster(2, [&[1], &[1], &[2]]));
    history.decided.insert(Index(1), Decided { term: Term(2), committed_in: Term(2) });
    let first = breaks(&mut history, &mut replicas, 1, &[], |all| {
        node(all, 1).commit_index = Index(1);
    });
    assert_eq!(first, Some(Property::StateMachineSafety));
    assert_eq!(win(&mut history, &mut replicas, 0), None);
    assert_eq!(commit(&mut history, &mut replicas, 0, 1), Some(Property::OwnTermCommit));
}

#[test]
fn a_follower_believes_only_what_a_leader_has_committed() {
    let (mut history, mut replicas) = (History::default(), cluster(1, [&[1], &[1], &[1]]));
    let believes = |replicas: &mut [Replica]| node(replicas, 1).commit_index = Index(1);
    let broken = breaks(&mut history, &mut replicas, 1, &[], believes);
    assert_eq!(broken, Some(Property::CommitIsFact));
}

#[test]
fn a_match_index_is_on_the_followers_disk() {
    let (mut history, mut replicas) = (History::default(), cluster(1, [&[1, 1], &[1], &[]]));
    assert_eq!(win(&mut history, &mut replicas, 0), None);
    for (index, expected) in [(1, None), (2, Some(Property::MatchIsFact))] {
        let before = Before { answers: Some(NodeId(2)), ..before(&replicas, 0) };
        if let Role::Leader(leadership) = &mut node(&mut replicas, 0).role {
            let progress = leadership.followers.get_mut(&NodeId(2)).expect("it follows");
            progress.match_index = Index(index);
            progress.next_index = Index(index + 1);
        }
        let result = history.stepped(&mut replicas, 0, &before, &[], &Released::default());
        assert_eq!(result.err().map(|broken| broken.property), expected, "{index}");
    }
}

#[test]
fn an_entry_follows_one_term() {
    let (mut history, mut replicas) = (History::default(), cluster(2, [&[1, 2], &[2, 2], &[]]));
    let written = |terms: &[u64]| {
        let entries = terms.iter().map(|term| entry(*term, "x")).collect();
        let log = Some(LogWrite::Append { first: Index(1), entries });
        [Effect::Persist { mark: Mark(1), write: Write { vote: None, log } }]
    };
    let first = written(&[1, 2]);
    assert_eq!(breaks(&mut history, &mut replicas, 0, &first, |_| {}), None);
    let second = written(&[2, 2]);
    let broken = breaks(&mut history, &mut replicas, 1, &second, |_| {});
    assert_eq!(broken, Some(Property::LogMatching));
}

#[test]
fn a_snapshot_stands_for_what_is_committed() {
    let (mut history, mut replicas) = (History::default(), cluster(2, [&[1], &[1], &[]]));
    history.decided.insert(Index(1), Decided { term: Term(1), committed_in: Term(1) });
    let taken = |term: u64, index: u64| {
        let snapshot = Snapshot {
            last_included_index: Index(index),
            last_included_term: Term(term),
            handle: Bytes::empty(),
        };
        let log = Some(LogWrite::Compact(snapshot));
        [Effect::Persist { mark: Mark(1), write: Write { vote: None, log } }]
    };
    for (term, index, expected) in [
        (1, 1, None),
        (2, 1, Some(Property::SnapshotIsPrefix)),
        (1, 2, Some(Property::SnapshotIsPrefix)),
    ] {
        let effects = taken(term, index);
        assert_eq!(breaks(&mut history, &mut replicas, 0, &effects, |_| {}), expected);
    }
}

#[test]
fn terms_do_not_go_back() {
    let (mut history, mut replicas) = (History::default(), cluster(2, [&[1], &[1], &[1]]));
    let back = |all: &mut [Replica]| node(all, 0).current_term = Term(1);
    let broken = breaks(&mut history, &mut replicas, 0, &[], back);
    assert_eq!(broken, Some(Property::Monotonic));
    let beyond = |all: &mut [Replica]| node(all, 1).commit_index = Index(5);
    let broken = breaks(&mut history, &mut replicas, 1, &[], beyond);
    assert_eq!(broken, Some(Property::Monotonic));
}

#[test]
fn a_server_votes_once_in_a_term() {
    let (mut history, mut replicas) = (History::default(), cluster(1, [&[], &[], &[]]));
    let mut votes = |term: u64, candidate: u64| {
        let before = before(&replicas, 1);
        let votes = vec![(Term(term), NodeId(candidate))];
        let released = Released { messages: Vec::new(), votes };
        let result = history.stepped(&mut replicas, 1, &before, &[], &released);
        result.err().map(|broken| broken.property)
    };
    assert_eq!(votes(1, 1), None);
    assert_eq!(votes(1, 1), None);
    assert_eq!(votes(2, 3), None);
    assert_eq!(votes(2, 1), Some(Property::VoteOnce));
}

#[test]
fn a_read_sees_what_was_committed_when_it_began() {
    let (mut history, mut replicas) = (History::default(), cluster(1, [&[1], &[1], &[]]));
    history.decided.insert(Index(1), Decided { term: Term(1), committed_in: Term(1) });
    let id = ReadId(1);
    let begins = Before { begins: Some(id), ..before(&replicas, 0) };
    let began = history.stepped(&mut replicas, 0, &begins, &[], &Released::default());
    assert!(began.is_ok());
    let ready = [Effect::ReadReady { id, read_index: Index(0) }];
    let broken = breaks(&mut history, &mut replicas, 0, &ready, |_| {});
    assert_eq!(broken, Some(Property::Reads));
}

#[test]
fn a_read_that_was_refused_is_forgotten() {
    let (mut history, mut replicas) = (History::default(), cluster(1, [&[1], &[1], &[]]));
    let id = ReadId(1);
    let begins = Before { begins: Some(id), ..before(&replicas, 0) };
    let refused = [Effect::ReadRefused { id, reason: ReadRefusal::TooManyReads }];
    let ended = history.stepped(&mut replicas, 0, &begins, &refused, &Released::default());
    assert!(ended.is_ok());
    assert!(replicas[0].reads.is_empty());
}

#[test]
fn nothing_is_rejected_and_nobody_halts() {
    let (mut history, mut replicas) = (History::default(), cluster(1, [&[], &[], &[]]));
    let rejected = [Effect::Rejected(Rejection::Malformed)];
    let broken = breaks(&mut history, &mut replicas, 0, &rejected, |_| {});
    assert_eq!(broken, Some(Property::NothingRejected));
    let halted = [Effect::Halt(raft_core::HaltReason::BadDisk)];
    let broken = breaks(&mut history, &mut replicas, 0, &halted, |_| {});
    assert_eq!(broken, Some(Property::NobodyHalts));
}
