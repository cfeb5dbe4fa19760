//! The node as the leader of followers with all kinds of logs. Its requests may arrive any number
//! of times, in any order or never, and so may the answers. The followers are plain lists, and the
//! leader must commit exactly the entries that a majority has acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use raft_core::{
    AppendEntriesReply, AppendOutcome, Config, Entry, Input, InstallOutcome, InstallSnapshotReply,
    Limits, Log, Message, NodeId, Payload, PersistentState, RequestVoteReply, Role, Snapshot, Term,
    quorum,
};

use super::figure_2::{append, entry, install, place, position};
use super::shell::{Shell, decode};

/// The leader's term. Its log has entries of the terms 1 and 3, its followers' also of term 2.
const TERM: u64 = 4;

/// The start of a test.
#[derive(Clone, Debug)]
struct Start {
    limits: Limits,
    /// The numbers of entries of the terms 1 and 3 that the leader has.
    old: (usize, usize),
    /// For each follower, the number of these entries that it has, and the number of entries of
    /// term 2 after them.
    followers: Vec<(usize, usize)>,
}

/// An event of a test. `request` and `answer` count messages from the newest one back.
#[derive(Clone, Debug)]
enum Step {
    Propose { count: usize },
    Heartbeat,
    Sync { writes: usize },
    Deliver { request: usize },
    Answer { answer: usize },
    Snapshot,
}

fn starts() -> impl Strategy<Value = Start> {
    let limits = (1..=3usize, 1..=4usize).prop_map(|(batch, window)| Limits {
        batch,
        window,
        ..Limits::default()
    });
    let follower = (0..=6usize, 0..=3usize);
    let followers = prop::sample::select(&[2usize, 4][..])
        .prop_flat_map(move |count| prop::collection::vec(follower.clone(), count));
    (limits, (0..=3usize, 0..=3usize), followers).prop_map(|(limits, old, followers)| Start {
        limits,
        old,
        followers,
    })
}

fn steps() -> impl Strategy<Value = Step> {
    let message = prop_oneof![4 => 0..4usize, 1 => 0..1000usize];
    prop_oneof![
        2 => (1..=3usize).prop_map(|count| Step::Propose { count }),
        1 => Just(Step::Heartbeat),
        3 => (1..=3usize).prop_map(|writes| Step::Sync { writes }),
        8 => message.clone().prop_map(|request| Step::Deliver { request }),
        8 => message.prop_map(|answer| Step::Answer { answer }),
        1 => Just(Step::Snapshot),
    ]
}

/// A follower: its log, and the length of the part that the leader knows to be acknowledged.
#[derive(Clone, Debug, Default)]
struct Follower {
    log: Vec<Entry>,
    acknowledged: usize,
}

struct Cluster {
    shell: Shell,
    /// The log that the leader must have.
    log: Vec<Entry>,
    /// The index at which its own term begins.
    own: usize,
    commit: usize,
    followers: BTreeMap<NodeId, Follower>,
    /// All messages that the leader has sent to a follower.
    requests: Vec<(NodeId, Message)>,
    /// All answers of the followers.
    answers: Vec<(NodeId, Message)>,
}

impl Cluster {
    /// Elects n1, whose log is at least as up-to-date as all others.
    fn elect(start: &Start) -> Cluster {
        let (first, third) = start.old;
        let terms = std::iter::repeat_n(1, first).chain(std::iter::repeat_n(3, third));
        let mut log: Vec<Entry> =
            (1..).zip(terms).map(|(index, term)| entry(term, index)).collect();
        let follower = |&(shared, conflicting): &(usize, usize)| {
            let shared = shared.min(log.len());
            let conflicts = shared <= first && third > 0;
            let own =
                (0..if conflicts { conflicting } else { 0 }).map(|n| entry(2, shared + n + 1));
            let log = log[..shared].iter().cloned().chain(own).collect();
            Follower { log, acknowledged: 0 }
        };
        let followers = (2..).map(NodeId).zip(start.followers.iter().map(follower)).collect();
        let disk = PersistentState {
            current_term: Term(TERM - 1),
            voted_for: None,
            log: Log::new(Snapshot::none(), log.clone()),
        };
        log.push(Entry { term: Term(TERM), payload: Payload::Noop });
        let mut cluster = Cluster {
            shell: Shell::start(config(start), disk, Vec::new()),
            own: log.len(),
            log,
            commit: 0,
            followers,
            requests: Vec::new(),
            answers: Vec::new(),
        };
        cluster.shell.step(Input::ElectionTimeout);
        assert!(cluster.shell.sent.is_empty(), "RequestVote waits for the disk");
        cluster.shell.sync(1);
        cluster.shell.sent.clear();
        let voters: Vec<NodeId> = cluster.followers.keys().copied().collect();
        for from in &voters[..voters.len() / 2] {
            assert!(!cluster.shell.node.is_leader(), "not yet a majority");
            let vote = RequestVoteReply { term: Term(TERM), granted: true };
            let message = Message::RequestVoteReply(vote);
            cluster.shell.step(Input::Receive { from: *from, message });
        }
        cluster.check();
        cluster
    }

    fn happen(&mut self, step: &Step) {
        match *step {
            Step::Propose { count } => {
                let indexes = self.log.len() + 1..=self.log.len() + count;
                let entries: Vec<Entry> = indexes.map(|index| entry(TERM, index)).collect();
                self.log.extend_from_slice(&entries);
                let commands = entries.into_iter().filter_map(|entry| match entry.payload {
                    Payload::Command(command) => Some(command),
                    Payload::Noop => None,
                });
                self.shell.step(Input::Propose { commands: commands.collect() });
            }
            Step::Heartbeat => self.shell.step(Input::Heartbeat),
            Step::Sync { writes } => match self.shell.writes.len() {
                0 => {}
                waiting => self.shell.sync(writes.min(waiting)),
            },
            Step::Deliver { request } => {
                if let Some((to, message)) = back(&self.requests, request) {
                    self.deliver(to, message);
                }
            }
            Step::Answer { answer } => {
                if let Some((from, message)) = back(&self.answers, answer) {
                    self.answer(from, message);
                }
            }
            Step::Snapshot => {
                if self.shell.state_machine.len() > place(self.shell.node.log.base().index) {
                    self.shell.begin_snapshot();
                    self.shell.end_snapshot();
                }
            }
        }
        self.check();
    }

    /// Lets a follower receive a request and answer it.
    fn deliver(&mut self, to: NodeId, message: Message) {
        let follower = self.followers.get_mut(&to).expect("sent to a follower");
        let term = Term(TERM);
        let answer = match message {
            Message::AppendEntries(request) => {
                let outcome = append(&mut follower.log, 0, request.prev_log, &request.entries);
                let read_round = request.read_round;
                Message::AppendEntriesReply(AppendEntriesReply { term, outcome, read_round })
            }
            Message::InstallSnapshot(request) => {
                install(&mut follower.log, &decode(&request.snapshot));
                let last_included_index = request.snapshot.last_included_index;
                let outcome = InstallOutcome::Covered { last_included_index };
                let read_round = request.read_round;
                Message::InstallSnapshotReply(InstallSnapshotReply { term, outcome, read_round })
            }
            other => panic!("a leader does not send {other:?}"),
        };
        self.answers.push((to, answer));
    }

    /// Delivers an answer to the leader.
    fn answer(&mut self, from: NodeId, message: Message) {
        let acknowledged = match &message {
            Message::AppendEntriesReply(reply) => match reply.outcome {
                AppendOutcome::Matched { match_index } => place(match_index),
                _ => 0,
            },
            Message::InstallSnapshotReply(reply) => match reply.outcome {
                InstallOutcome::Covered { last_included_index } => place(last_included_index),
                InstallOutcome::StaleTerm => 0,
            },
            other => panic!("a follower does not answer {other:?}"),
        };
        let follower = self.followers.get_mut(&from).expect("a follower's answer");
        follower.acknowledged = follower.acknowledged.max(acknowledged);
        self.shell.step(Input::Receive { from, message });
        assert_eq!(self.shell.refused, None);
    }

    /// Compares the leader with its expected state, and its messages with its log.
    fn check(&mut self) {
        let durable = place(self.shell.disk.log.last_index());
        let known = self.followers.values().map(|follower| follower.acknowledged);
        let mut counted: Vec<usize> = known.chain([durable]).collect();
        counted.sort_unstable();
        counted.reverse();
        let on_majority = counted[quorum::majority(counted.len()) - 1];
        if on_majority >= self.own {
            self.commit = on_majority;
        }
        let node = &self.shell.node;
        let mut log = decode(node.log.snapshot());
        log.extend_from_slice(node.log.entries());
        assert_eq!(log, self.log);
        assert_eq!(place(node.commit_index), self.commit);
        assert_eq!(self.shell.state_machine, self.log[..self.commit.min(durable)]);
        self.check_progress();
        for (to, request) in std::mem::take(&mut self.shell.sent) {
            self.check_request(&request);
            self.requests.push((to, request));
        }
    }

    /// Compares the leader's knowledge about its followers with their acknowledgements.
    fn check_progress(&self) {
        let Role::Leader(leadership) = &self.shell.node.role else {
            panic!("it leads for ever");
        };
        let following: BTreeSet<NodeId> = leadership.followers.keys().copied().collect();
        assert!(following.iter().eq(self.followers.keys()));
        for (id, progress) in &leadership.followers {
            assert_eq!(place(progress.match_index), self.followers[id].acknowledged);
            assert!(progress.next_index > progress.match_index);
            assert!(place(progress.next_index) <= self.log.len() + 1);
        }
    }

    /// Checks that a request holds a part of the leader's log, and a commit index that the leader
    /// has reached.
    fn check_request(&self, request: &Message) {
        assert_eq!(request.term(), Term(TERM));
        match request {
            Message::AppendEntries(request) => {
                let prev = place(request.prev_log.index);
                assert_eq!(request.prev_log, position(&self.log, prev));
                assert_eq!(request.entries, self.log[prev..prev + request.entries.len()]);
                assert!(request.entries.len() <= self.shell.node.config.limits.batch);
                assert!(place(request.leader_commit) <= self.commit);
            }
            Message::InstallSnapshot(request) => {
                let prefix = decode(&request.snapshot);
                assert!(prefix.len() <= self.commit);
                assert_eq!(prefix, self.log[..prefix.len()]);
                assert_eq!(request.snapshot, *self.shell.node.log.snapshot());
            }
            other => panic!("a leader does not send {other:?}"),
        }
    }

    /// Loses no message from now on, and checks that after two heartbeats all followers have all
    /// entries.
    fn recover(&mut self) {
        for _ in 0..2 {
            let (mut request, mut answer) = (self.requests.len(), self.answers.len());
            self.happen(&Step::Sync { writes: usize::MAX });
            self.happen(&Step::Heartbeat);
            while request < self.requests.len() {
                let (to, message) = self.requests[request].clone();
                self.deliver(to, message);
                request += 1;
                while answer < self.answers.len() {
                    let (from, message) = self.answers[answer].clone();
                    self.answer(from, message);
                    self.check();
                    answer += 1;
                }
            }
        }
        assert_eq!(self.commit, self.log.len());
        assert!(self.followers.values().all(|follower| follower.log == self.log));
    }
}

fn config(start: &Start) -> Config {
    let voters = (1..=start.followers.len() as u64 + 1).map(NodeId).collect();
    Config { id: NodeId(1), voters, limits: start.limits }
}

/// Returns the message that many places before the newest one. After the oldest message, the count
/// goes on with the newest.
fn back(messages: &[(NodeId, Message)], places: usize) -> Option<(NodeId, Message)> {
    let places = places.checked_rem(messages.len())?;
    messages.get(messages.len() - 1 - places).cloned()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_leader_commits_what_a_majority_has(
        start in starts(),
        steps in prop::collection::vec(steps(), 1..200),
    ) {
        let mut cluster = Cluster::elect(&start);
        for step in &steps {
            cluster.happen(step);
        }
        cluster.recover();
    }
}
