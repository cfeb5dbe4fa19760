//! Well-known situations of Raft, step by step, each with its expected result. Each is also a trace
//! in `specs/corpus`, word for word, which can be replayed and viewed. When the messages change,
//! `BLESS=1 cargo test -p raft-checker --test library scenarios` writes the traces again.

use std::path::{Path, PathBuf};

use raft_checker::cluster::Cluster;
use raft_checker::cluster::server::{Process, Server};
use raft_checker::properties::{Witness, WitnessSet, can_recover};
use raft_core::{Bytes, Entry, Limits, Message, Node, NodeId, Paper, Payload, ReadId};
use raft_trace::{Action, ApplyMode, ClusterTrace, DiskMode, Envelope, Settings};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../specs/corpus");

/// A cluster, and the actions that it has done, none of which may break a property.
struct Scenario {
    settings: Settings,
    cluster: Cluster,
    actions: Vec<Action>,
    witnessed: WitnessSet,
}

impl Scenario {
    fn begin(servers: u64, disk: DiskMode, apply: ApplyMode) -> Scenario {
        let limits = Limits { batch: 1, window: 2, reads: 2 };
        let settings = Settings { servers, limits, disk, apply };
        let cluster = Cluster::boot(&settings, &Paper);
        Scenario { settings, cluster, actions: Vec::new(), witnessed: WitnessSet::default() }
    }

    fn act(&mut self, action: Action) {
        let seen = self.cluster.act(&self.settings, &Paper, &action);
        let seen = seen.unwrap_or_else(|why| panic!("{action:?}: {why}"));
        assert!(seen.broken.is_empty(), "{action:?}: {:?}", seen.broken.iter().collect::<Vec<_>>());
        self.witnessed.extend(seen.witnessed);
        self.actions.push(action);
    }

    fn timeout(&mut self, server: u64) {
        self.act(Action::ElectionTimeout { server: NodeId(server) });
    }

    fn heartbeat(&mut self, server: u64) {
        self.act(Action::Heartbeat { server: NodeId(server) });
    }

    fn propose(&mut self, server: u64, command: &str) {
        self.act(Action::Propose { server: NodeId(server), command: Bytes::from(command) });
    }

    fn read(&mut self, server: u64, id: u64) {
        self.act(Action::Read { server: NodeId(server), id: ReadId(id) });
    }

    fn sync(&mut self, server: u64) {
        let writes = self.process(server).writes.len();
        self.act(Action::Sync { server: NodeId(server), writes });
    }

    /// Crashes a server. It keeps nothing that was not durable.
    fn crash(&mut self, server: u64) {
        let applied_kept = self.server(server).disk.log.base().index;
        self.act(Action::Crash { server: NodeId(server), writes_kept: 0, applied_kept });
    }

    fn restart(&mut self, server: u64) {
        self.act(Action::Restart { server: NodeId(server) });
    }

    /// Takes and stores a snapshot, which takes no time where entries are applied at once.
    fn snapshot(&mut self, server: u64) {
        self.act(Action::StartSnapshot { server: NodeId(server) });
    }

    /// Returns the messages on their way from one server to another.
    fn between(&self, from: u64, to: u64) -> Vec<Envelope> {
        let ends = (NodeId(from), NodeId(to));
        let messages = self.cluster.network.keys();
        messages.filter(|envelope| (envelope.from, envelope.to) == ends).cloned().collect()
    }

    /// Delivers the messages that are on their way from one server to another now. There must be
    /// one.
    fn deliver(&mut self, from: u64, to: u64) {
        let messages = self.between(from, to);
        assert!(!messages.is_empty(), "nothing is on its way from n{from} to n{to}");
        self.arrive(messages);
    }

    /// Delivers these messages.
    fn arrive(&mut self, messages: Vec<Envelope>) {
        for envelope in messages {
            self.act(Action::Deliver(envelope));
        }
    }

    /// Delivers all messages between two servers, and the answers, until nothing is left.
    fn talk(&mut self, one: u64, other: u64) {
        while let Some(envelope) =
            [self.between(one, other), self.between(other, one)].into_iter().flatten().next()
        {
            self.act(Action::Deliver(envelope));
        }
    }

    /// Loses the messages on their way from one server to another.
    fn lose(&mut self, from: u64, to: u64) {
        self.between(from, to).into_iter().for_each(|envelope| self.act(Action::Drop(envelope)));
    }

    /// Loses all messages.
    fn lose_all(&mut self) {
        while let Some(envelope) = self.cluster.network.keys().next().cloned() {
            self.act(Action::Drop(envelope));
        }
    }

    /// Elects a server with the votes of the given servers, on an atomic disk, and loses the
    /// requests to the others.
    fn elect(&mut self, server: u64, voters: &[u64]) {
        self.timeout(server);
        for voter in voters {
            self.deliver(server, *voter);
            self.deliver(*voter, server);
        }
        assert!(self.node(server).is_leader(), "n{server} has a majority");
        for other in 1..=self.settings.servers {
            for request in self.between(server, other) {
                if let Message::RequestVote(_) = request.message {
                    self.act(Action::Drop(request));
                }
            }
        }
    }

    fn server(&self, server: u64) -> &Server {
        self.cluster.server(NodeId(server)).expect("there is such a server")
    }

    fn process(&self, server: u64) -> &Process {
        self.server(server).process.as_ref().expect("the server is up")
    }

    fn node(&self, server: u64) -> &Node {
        &self.process(server).node
    }

    /// Returns a server's log as letters: commands as they are, blank entries as `-`, snapshots
    /// unfolded.
    fn log(&self, server: u64) -> String {
        let entries = raft_checker::properties::View::of(self.server(server)).log;
        let letter = |entry: &Entry| match &entry.payload {
            Payload::Noop => "-".to_owned(),
            Payload::Command(command) => command.to_string(),
        };
        entries.iter().map(letter).collect()
    }

    fn commit(&self, server: u64) -> u64 {
        self.node(server).commit_index.0
    }

    fn has_witnessed(&self, witness: Witness) -> bool {
        self.witnessed.contains(witness)
    }

    /// Compares the scenario with its trace in the corpus, or writes it there.
    fn compare_with_trace(self, name: &str, about: &str) {
        let recovers = can_recover::check(&self.settings, &Paper, &self.cluster);
        assert!(recovers.is_ok(), "{recovers:?}");
        let Scenario { settings, actions, .. } = self;
        let mut trace = Vec::new();
        let written = ClusterTrace { settings, about: about.to_owned(), actions }.write(&mut trace);
        written.expect("memory takes everything");
        let path: PathBuf = Path::new(CORPUS).join(name).with_extension("jsonl");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &trace).expect("the corpus can be written to");
        }
        let recorded = std::fs::read(&path).unwrap_or_default();
        assert!(recorded == trace, "{} differs; write it anew with BLESS=1", path.display());
    }
}

#[test]
fn figure_8_an_older_entry_on_a_majority_is_overwritten() {
    let mut s = Scenario::begin(5, DiskMode::Atomic, ApplyMode::AtOnce);
    // (a) n1 leads and replicates x to n2 only.
    s.elect(1, &[2, 3]);
    for follower in 2..=5 {
        s.talk(1, follower);
    }
    s.propose(1, "x");
    s.talk(1, 2);
    // (b) n1 crashes; n5 leads without x and creates another entry at its index.
    s.crash(1);
    s.lose_all();
    s.elect(5, &[3, 4]);
    assert_eq!((s.log(1), s.log(5)), ("-x".to_owned(), "--".to_owned()));
    // (c) n5 crashes; n1 leads again and replicates x to n3: now it is on a majority.
    s.crash(5);
    s.lose_all();
    s.restart(1);
    s.timeout(1);
    s.lose_all();
    s.elect(1, &[2, 3]);
    s.deliver(1, 3);
    s.deliver(3, 1);
    s.deliver(1, 3);
    s.deliver(3, 1);
    s.lose_all();
    s.heartbeat(1);
    s.deliver(1, 2);
    s.deliver(2, 1);
    assert_eq!([s.log(1), s.log(2), s.log(3)], ["-x-", "-x", "-x"]);
    assert!(s.has_witnessed(Witness::OlderTermHeldBack));
    assert!(s.commit(1) < 2, "x is not committed by counting its copies");
    // (d) n1 crashes; n5 leads, with n2, n3 and n4, and x is overwritten everywhere.
    s.crash(1);
    s.lose_all();
    s.restart(5);
    s.timeout(5);
    s.lose_all();
    s.elect(5, &[2, 3]);
    for follower in [2, 3, 4] {
        s.talk(5, follower);
    }
    assert_eq!([s.log(2), s.log(3), s.log(4)], ["---", "---", "---"]);
    s.compare_with_trace(
        "figure-8-older-entry-overwritten",
        "The paper's Figure 8, (a) to (d): an entry of an older term reaches a majority, is not \
         committed by that, and is overwritten.",
    );
}

#[test]
fn a_vote_survives_a_crash() {
    let mut s = Scenario::begin(3, DiskMode::Queued, ApplyMode::AtOnce);
    s.timeout(1);
    s.sync(1);
    s.deliver(1, 2);
    assert!(s.between(2, 1).is_empty(), "the vote waits for the disk");
    s.sync(2);
    s.crash(2);
    s.restart(2);
    s.timeout(3);
    s.sync(3);
    s.deliver(3, 2);
    s.deliver(2, 3);
    assert!(s.has_witnessed(Witness::SecondVoteRefused));
    assert!(!s.node(3).is_leader());
    s.deliver(2, 1);
    assert!(s.node(1).is_leader());
    s.compare_with_trace(
        "vote-survives-a-crash",
        "A server votes, crashes, and refuses another candidate of the same term: the vote was \
         durable before it left.",
    );
}

#[test]
fn a_vote_that_never_left_may_be_given_again() {
    let mut s = Scenario::begin(3, DiskMode::Queued, ApplyMode::AtOnce);
    s.timeout(1);
    s.sync(1);
    s.deliver(1, 2);
    s.crash(2);
    s.restart(2);
    s.timeout(3);
    s.sync(3);
    s.deliver(3, 2);
    s.sync(2);
    s.deliver(2, 3);
    assert!(s.node(3).is_leader());
    assert!(s.between(2, 1).is_empty());
    s.compare_with_trace(
        "vote-lost-before-it-left",
        "A server votes and crashes before the vote is durable, so nobody has heard of it; it then \
         votes for somebody else in the same term.",
    );
}

#[test]
fn request_vote_waits_for_the_disk() {
    let mut s = Scenario::begin(3, DiskMode::Queued, ApplyMode::AtOnce);
    s.timeout(2);
    s.sync(2);
    s.deliver(2, 1);
    s.sync(1);
    s.deliver(1, 2);
    s.lose(2, 3);
    s.heartbeat(2);
    // n2 leads term 1. Its blank entry is on the disk of n2, and in the memory of n1.
    s.sync(2);
    s.deliver(2, 1);
    assert_eq!((s.log(1), s.log(3)), ("-".to_owned(), String::new()));
    s.timeout(1);
    assert!(s.between(1, 3).is_empty(), "the log that it advertises is not durable");
    s.crash(1);
    s.restart(1);
    s.timeout(1);
    s.sync(1);
    // n1 campaigns in the same term again, with a shorter log.
    s.deliver(1, 2);
    s.sync(2);
    s.deliver(2, 1);
    assert!(!s.node(1).is_leader(), "n2 has more");
    s.compare_with_trace(
        "request-vote-waits-for-the-disk",
        "A candidate crashes before its log is durable, forgets the end of it and campaigns again \
         in the same term; its first RequestVote, which advertised more, has never left.",
    );
}

/// Makes a scenario in which n2 leads term 2 with a snapshot of three entries, and n1 is back with
/// an entry that conflicts.
fn snapshot_meets_a_conflict() -> Scenario {
    let mut s = Scenario::begin(3, DiskMode::Atomic, ApplyMode::AtOnce);
    s.elect(1, &[2]);
    s.talk(1, 2);
    s.propose(1, "x");
    s.crash(1);
    s.lose_all();
    s.elect(2, &[3]);
    s.talk(2, 3);
    s.propose(2, "y");
    s.talk(2, 3);
    assert_eq!((s.log(1), s.log(2), s.commit(2)), ("-x".to_owned(), "--y".to_owned(), 3));
    s.snapshot(2);
    s.lose_all();
    s.restart(1);
    s.heartbeat(2);
    let requests = s.between(2, 1);
    assert!(matches!(requests[..], [Envelope { message: Message::InstallSnapshot(_), .. }]));
    s
}

#[test]
fn a_snapshot_replaces_a_conflicting_log() {
    let mut s = snapshot_meets_a_conflict();
    s.deliver(2, 1);
    assert!(s.has_witnessed(Witness::SnapshotInstalled));
    assert_eq!((s.log(1), s.commit(1)), ("--y".to_owned(), 3));
    assert_eq!(s.server(1).state_machine, s.server(2).state_machine);
    s.compare_with_trace(
        "snapshot-over-a-conflicting-log",
        "A follower whose log conflicts with what was committed meanwhile gets the leader's snapshot \
         and discards its log.",
    );
}

#[test]
fn a_late_snapshot_changes_nothing() {
    let mut s = snapshot_meets_a_conflict();
    let install = s.between(2, 1).remove(0);
    s.act(Action::Duplicate(install.clone()));
    s.act(Action::Deliver(install.clone()));
    s.deliver(1, 2);
    s.propose(2, "z");
    for request in s.between(2, 1).into_iter().filter(|request| *request != install) {
        s.act(Action::Deliver(request));
    }
    s.deliver(1, 2);
    s.lose(2, 3);
    let (log, base) = (s.log(1), s.node(1).log.base());
    s.act(Action::Deliver(install));
    assert_eq!((s.log(1), s.node(1).log.base()), (log, base));
    assert_eq!(s.log(1), "--yz");
    s.deliver(1, 2);
    assert_eq!(s.commit(2), 4);
    s.compare_with_trace(
        "late-snapshot-ignored",
        "The repetition of an installed snapshot arrives after the follower has moved on, and changes \
         nothing.",
    );
}

#[test]
fn a_read_does_not_outlive_its_leader() {
    let mut s = Scenario::begin(3, DiskMode::Atomic, ApplyMode::AtOnce);
    s.elect(1, &[2]);
    s.talk(1, 2);
    s.propose(1, "x");
    s.talk(1, 2);
    s.lose_all();
    s.read(1, 1);
    s.lose(1, 2);
    // n2 leads and commits y before the heartbeat for n1's read arrives anywhere.
    s.elect(2, &[3]);
    s.talk(2, 3);
    s.propose(2, "y");
    s.lose(2, 1);
    let late = s.between(1, 3);
    s.talk(2, 3);
    assert!(s.commit(2) > s.commit(1));
    s.arrive(late);
    s.deliver(3, 1);
    assert!(!s.has_witnessed(Witness::ReadServed) && s.cluster.history.reads.is_empty());
    s.read(2, 2);
    s.talk(2, 3);
    assert!(s.has_witnessed(Witness::ReadServed));
    s.compare_with_trace(
        "read-over-a-leader-change",
        "A leader that was deposed cannot prove that it leads, so its read ends with its leadership; \
         the next leader serves the read that is asked again.",
    );
}

#[test]
fn an_answer_to_an_earlier_leadership_proves_nothing() {
    let mut s = Scenario::begin(3, DiskMode::Atomic, ApplyMode::AtOnce);
    // n1 leads term 1. The heartbeat for its first read reaches n2 much later.
    s.elect(1, &[3]);
    s.talk(1, 3);
    s.lose_all();
    s.read(1, 1);
    s.lose(1, 3);
    let late = s.between(1, 2);
    // n1 leads again, in term 3, with the vote of n2.
    s.timeout(3);
    s.deliver(3, 1);
    s.lose(3, 2);
    s.lose(1, 3);
    s.timeout(1);
    for envelope in s.between(1, 2).into_iter().filter(|envelope| !late.contains(envelope)) {
        s.act(Action::Deliver(envelope));
    }
    s.deliver(2, 1);
    assert!(s.node(1).is_leader());
    s.talk(1, 3);
    // Now n2 answers that heartbeat of term 1. It is in term 3, so the answer proves nothing.
    s.arrive(late);
    let answer = s.between(2, 1);
    s.lose(1, 2);
    // n3 leads term 4 and commits x, with n2.
    s.elect(3, &[2]);
    for _ in 0..2 {
        s.deliver(3, 2);
        let answers = s.between(2, 3);
        s.arrive(answers);
    }
    s.propose(3, "x");
    s.deliver(3, 2);
    s.deliver(2, 3);
    assert!(s.commit(3) > s.commit(1));
    // That answer must not serve the first read of n1 in term 3.
    s.read(1, 2);
    s.arrive(answer);
    assert!(!s.has_witnessed(Witness::ReadServed));
    s.compare_with_trace(
        "answer-to-an-earlier-leadership",
        "A server leads twice; the refusal of a question from its first term arrives in its second \
         one, and does not count as a proof that it still leads.",
    );
}

#[test]
fn a_refused_snapshot_acknowledges_nothing() {
    let mut s = Scenario::begin(3, DiskMode::Atomic, ApplyMode::AtOnce);
    // n1 leads term 1 and has a snapshot, which reaches n2 much later.
    s.elect(1, &[3]);
    s.talk(1, 3);
    s.snapshot(1);
    s.lose_all();
    s.heartbeat(1);
    s.lose(1, 3);
    // n1 leads again, in term 3, with the votes of both.
    s.timeout(3);
    s.deliver(3, 1);
    s.lose(3, 2);
    s.lose(1, 3);
    s.timeout(1);
    s.deliver(1, 3);
    s.deliver(3, 1);
    assert!(s.node(1).is_leader());
    s.talk(1, 3);
    s.lose(1, 3);
    let late: Vec<Envelope> = s.between(1, 2);
    let is_snapshot = |e: &Envelope| matches!(e.message, Message::InstallSnapshot(_));
    let (snapshots, requests): (Vec<_>, Vec<_>) = late.into_iter().partition(is_snapshot);
    let [vote, ..] = &requests[..] else { panic!("a RequestVote") };
    s.act(Action::Deliver(vote.clone()));
    s.act(Action::Deliver(snapshots[0].clone()));
    assert_eq!(s.log(2), "", "it came too late");
    s.deliver(2, 1);
    s.lose_all();
    s.heartbeat(1);
    s.talk(1, 2);
    assert_eq!(s.log(2), s.log(1));
    s.compare_with_trace(
        "refused-snapshot-acknowledges-nothing",
        "A snapshot from a server's first term is refused in its second one; the refusal is no \
         acknowledgement.",
    );
}
