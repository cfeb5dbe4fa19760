//! The node as a follower of all leaders of one correct history. Terms follow each other, each with
//! one leader. The leader's log extends the entries that were committed before, and may conflict
//! with the others. Messages of all leaders arrive at any time, in any order, again and again.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;
use proptest::strategy::{Union, ValueTree};
use proptest::test_runner::TestRunner;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use raft_core::{
    AppendEntries, AppendOutcome, Config, Entry, Index, Input, InstallOutcome, InstallSnapshot,
    Limits, Message, NodeId, PersistentState, ReadRound, Rejection, Snapshot, Term,
};

use super::figure_2::{append, entry, install, place, position};
use super::shell::{Shell, decode, encode};

/// The leader of a term.
#[derive(Clone, Debug)]
struct Leader {
    term: Term,
    log: Vec<Entry>,
    commit: usize,
}

impl Leader {
    /// Returns the leader's id. n2 and n3 take turns; the follower is n1.
    fn id(&self) -> NodeId {
        NodeId(2 + self.term.0 % 2)
    }
}

/// The contents of a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Image {
    term: Term,
    log: Vec<Entry>,
    /// The index up to which the log is a snapshot.
    base: usize,
}

/// The history, and the state that the follower must have after it.
#[derive(Clone, Debug)]
struct World {
    /// The leaders of the terms 1, 2, ..
    leaders: Vec<Leader>,
    /// The follower as it runs.
    now: Image,
    commit: usize,
    applied: usize,
    /// The last index of the snapshot that is being stored.
    storing: Option<usize>,
    /// The follower's disk, and its disk after each of the writes that wait.
    durable: Image,
    pending: VecDeque<Image>,
    /// The answer that the node must give to the last message, if it must give one.
    reply: Option<Reply>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reply {
    Append(AppendOutcome),
    Install(InstallOutcome),
}

#[derive(Clone, Debug)]
enum Transition {
    /// A leader of the next term begins with a part of an earlier leader's log.
    NewLeader { heir_of: usize, kept: usize },
    /// The newest leader appends entries.
    Extend { count: usize },
    /// The newest leader commits up to an entry of its own.
    Commit { index: usize },
    /// An AppendEntries arrives that a leader has sent, or could have sent earlier.
    Append { leader: usize, prev: usize, count: usize, commit: usize },
    /// A snapshot arrives that a leader has sent, or could have sent earlier.
    Install { leader: usize, index: usize },
    /// The oldest writes reach the disk.
    Sync { writes: usize },
    /// The follower begins to store a snapshot of its own.
    BeginSnapshot,
    /// That snapshot is stored; a later one may have been installed meanwhile.
    EndSnapshot,
    /// The follower crashes and starts again.
    Crash { writes_kept: usize, applied_kept: usize },
}

use Transition::{
    Append, BeginSnapshot, Commit, Crash, EndSnapshot, Extend, Install, NewLeader, Sync,
};

impl World {
    /// Makes a world with an empty follower and the first leader.
    fn of(first: Leader) -> World {
        World {
            leaders: vec![first],
            now: Image::default(),
            commit: 0,
            applied: 0,
            storing: None,
            durable: Image::default(),
            pending: VecDeque::new(),
            reply: None,
        }
    }

    fn newest(&mut self) -> &mut Leader {
        self.leaders.last_mut().expect("there is always a leader")
    }

    /// Returns the entries that any leader has committed.
    fn committed(&self) -> &[Entry] {
        let newest = &self.leaders[self.leaders.len() - 1];
        &newest.log[..newest.commit]
    }

    /// Returns the disk after a crash that keeps some of the writes.
    fn after_crash(&self, writes_kept: usize) -> &Image {
        writes_kept.checked_sub(1).map_or(&self.durable, |last| &self.pending[last])
    }

    /// Returns how much of the log every crash leaves on the disk.
    fn crash_proof(&self) -> usize {
        let agrees = |image: &Image| {
            let same = self.now.log.iter().zip(&image.log).take_while(|(a, b)| a == b);
            same.count()
        };
        let images = self.pending.iter().chain([&self.durable]);
        images.map(agrees).min().unwrap_or(0)
    }

    fn is_possible(&self, transition: &Transition) -> bool {
        match *transition {
            NewLeader { heir_of, kept } => self.leaders.get(heir_of).is_some_and(|leader| {
                kept <= leader.log.len() && leader.log[..kept].starts_with(self.committed())
            }),
            Extend { .. } => true,
            Commit { index } => self.leaders.last().is_some_and(|leader| {
                let own = |entry: &Entry| entry.term == leader.term;
                index > leader.commit && leader.log.get(index - 1).is_some_and(own)
            }),
            Append { leader, prev, count, commit } => {
                let fits =
                    |leader: &Leader| prev + count <= leader.log.len() && commit <= leader.commit;
                self.leaders.get(leader).is_some_and(fits)
            }
            Install { leader, index } => {
                let has = |leader: &Leader| index > 0 && index <= leader.commit;
                self.leaders.get(leader).is_some_and(has)
            }
            Sync { writes } => writes > 0 && writes <= self.pending.len(),
            BeginSnapshot => self.storing.is_none() && self.applied > self.now.base,
            EndSnapshot => self.storing.is_some(),
            Crash { writes_kept, applied_kept } => {
                writes_kept <= self.pending.len() && {
                    let base = self.after_crash(writes_kept).base;
                    (base..=base.max(self.applied)).contains(&applied_kept)
                }
            }
        }
    }

    fn happen(&mut self, transition: &Transition) {
        let before = self.now.clone();
        self.reply = None;
        match *transition {
            NewLeader { heir_of, kept } => {
                let (term, commit) = (self.leaders.len() as u64 + 1, self.committed().len());
                let mut log = self.leaders[heir_of].log[..kept].to_vec();
                log.push(entry(term, kept + 1));
                self.leaders.push(Leader { term: Term(term), log, commit });
            }
            Extend { count } => {
                let leader = self.newest();
                let indexes = leader.log.len() + 1..=leader.log.len() + count;
                leader.log.extend(indexes.map(|index| entry(leader.term.0, index)));
            }
            Commit { index } => self.newest().commit = index,
            Append { leader, prev, count, commit } => {
                self.reply = self.on_append(leader, prev, count, commit);
            }
            Install { leader, index } => self.reply = Some(self.on_install(leader, index)),
            Sync { writes } => {
                self.durable = self.after_crash(writes).clone();
                self.pending.drain(..writes);
            }
            BeginSnapshot => self.storing = Some(self.applied),
            EndSnapshot => {
                let stored = self.storing.take().unwrap_or(0);
                self.now.base = self.now.base.max(stored);
            }
            Crash { writes_kept, applied_kept } => {
                self.durable = self.after_crash(writes_kept).clone();
                self.pending.clear();
                self.now = self.durable.clone();
                (self.commit, self.applied) = (applied_kept, applied_kept);
                self.storing = None;
                return;
            }
        }
        if self.now != before {
            self.pending.push_back(self.now.clone());
        }
        // The entries that an installed snapshot covers are not applied one by one, but with the
        // snapshot.
        let ready = self.commit.min(self.crash_proof());
        let ready = if ready >= self.now.base { ready } else { self.durable.base };
        self.applied = self.applied.max(ready);
    }

    /// Does AppendEntries of Figure 2. Returns none if the node must refuse the message.
    fn on_append(
        &mut self,
        leader: usize,
        prev: usize,
        count: usize,
        commit: usize,
    ) -> Option<Reply> {
        let Leader { term, log, .. } = &self.leaders[leader];
        if *term < self.now.term {
            return Some(Reply::Append(AppendOutcome::StaleTerm));
        }
        if self.forgot_a_later_term(&log[..prev + count], prev) {
            return None;
        }
        self.now.term = *term;
        let entries = &log[prev..prev + count];
        let outcome = append(&mut self.now.log, self.now.base, position(log, prev), entries);
        if let AppendOutcome::Matched { .. } = outcome {
            self.commit = self.commit.max(commit.min(prev + count));
        }
        Some(Reply::Append(outcome))
    }

    /// Returns whether the entries committed here contradict the log of a message. The message is
    /// then from a deposed leader: a crash lost the later term in which the commit index was
    /// learned, and kept the entries that the state machine had applied.
    fn forgot_a_later_term(&self, log: &[Entry], prev: usize) -> bool {
        let compared = prev.max(self.now.base).max(1)..=log.len().min(self.commit);
        compared.into_iter().any(|index| log[index - 1].term != self.now.log[index - 1].term)
    }

    /// Does InstallSnapshot of Figure 13.
    fn on_install(&mut self, leader: usize, index: usize) -> Reply {
        let Leader { term, log, .. } = &self.leaders[leader];
        if *term < self.now.term {
            return Reply::Install(InstallOutcome::StaleTerm);
        }
        self.now.term = *term;
        if index > self.commit {
            if install(&mut self.now.log, &log[..index]) {
                self.now.base = index;
            }
            self.commit = index;
        }
        Reply::Install(InstallOutcome::Covered { last_included_index: Index(index as u64) })
    }

    /// Returns the message behind a transition, if it is one, and its sender.
    fn message(&self, transition: &Transition) -> Option<(NodeId, Message)> {
        let read_round = ReadRound(0);
        match *transition {
            Append { leader, prev, count, commit } => {
                let leader = &self.leaders[leader];
                let request = AppendEntries {
                    term: leader.term,
                    prev_log: position(&leader.log, prev),
                    entries: leader.log[prev..prev + count].to_vec(),
                    leader_commit: Index(commit as u64),
                    read_round,
                };
                Some((leader.id(), Message::AppendEntries(request)))
            }
            Install { leader, index } => {
                let leader = &self.leaders[leader];
                let last = position(&leader.log, index);
                let snapshot = Snapshot {
                    last_included_index: last.index,
                    last_included_term: last.term,
                    handle: encode(&leader.log[..index]),
                };
                let request = InstallSnapshot { term: leader.term, snapshot, read_round };
                Some((leader.id(), Message::InstallSnapshot(request)))
            }
            _ => None,
        }
    }
}

impl ReferenceStateMachine for World {
    type State = World;
    type Transition = Transition;

    fn init_state() -> BoxedStrategy<World> {
        Just(World::of(Leader { term: Term(1), log: vec![entry(1, 1)], commit: 0 })).boxed()
    }

    fn transitions(world: &World) -> BoxedStrategy<Transition> {
        let newest = world.leaders.len() - 1;
        let leader = prop_oneof![4 => Just(newest), 1 => 0..=newest];
        let mut kinds = vec![
            (2, new_leader(world)),
            (4, (1..=3usize).prop_map(|count| Extend { count }).boxed()),
            (20, leader.clone().prop_flat_map(appends(world)).boxed()),
        ];
        let Leader { log, commit, .. } = &world.leaders[newest];
        if *commit < log.len() {
            kinds.push((4, (commit + 1..=log.len()).prop_map(|index| Commit { index }).boxed()));
        }
        if *commit > 0 {
            let index = 1..=*commit;
            let installs = (leader, index).prop_map(|(leader, index)| Install { leader, index });
            kinds.push((2, installs.boxed()));
        }
        if !world.pending.is_empty() {
            let writes = 1..=world.pending.len();
            kinds.push((8, writes.prop_map(|writes| Sync { writes }).boxed()));
        }
        kinds.extend([(1, Just(BeginSnapshot).boxed()), (1, Just(EndSnapshot).boxed())]);
        kinds.push((1, crashes(world)));
        let transition = Union::new_weighted(kinds);
        let world = world.clone();
        transition.prop_filter("possible", move |t| world.is_possible(t)).boxed()
    }

    fn apply(mut world: World, transition: &Transition) -> World {
        world.happen(transition);
        world
    }

    fn preconditions(world: &World, transition: &Transition) -> bool {
        world.is_possible(transition)
    }
}

fn new_leader(world: &World) -> BoxedStrategy<Transition> {
    let committed = world.committed().len();
    let leaders = world.leaders.iter().enumerate().rev();
    let heirs = leaders.filter(|(_, leader)| leader.log.starts_with(world.committed()));
    let lengths: Vec<(usize, usize)> =
        heirs.map(|(place, leader)| (place, leader.log.len())).collect();
    prop::sample::select(lengths)
        .prop_flat_map(move |(heir_of, length)| {
            (committed..=length).prop_map(move |kept| NewLeader { heir_of, kept })
        })
        .boxed()
}

/// Generates AppendEntries of a leader. Every other one continues the follower's log.
fn appends(world: &World) -> impl Fn(usize) -> BoxedStrategy<Transition> + use<> {
    let world = world.clone();
    move |leader| {
        let Leader { log, commit, .. } = &world.leaders[leader];
        let (length, commit) = (log.len(), *commit);
        let end = world.now.log.len().min(length);
        let prev = prop_oneof![Just(end), 0..=length];
        let parts = (prev, 0..=4usize, 0..=commit);
        let append = move |(prev, count, commit): (usize, usize, usize)| {
            let count = count.min(length - prev);
            Append { leader, prev, count, commit }
        };
        parts.prop_map(append).boxed()
    }
}

fn crashes(world: &World) -> BoxedStrategy<Transition> {
    let world = world.clone();
    (0..=world.pending.len())
        .prop_flat_map(move |writes_kept| {
            let base = world.after_crash(writes_kept).base;
            (base..=base.max(world.applied))
                .prop_map(move |applied_kept| Crash { writes_kept, applied_kept })
        })
        .boxed()
}

/// The node, and the entries that each waiting answer claims to be in its log.
struct Follower {
    shell: Shell,
    claims: VecDeque<Vec<Entry>>,
}

impl Follower {
    /// Gives the node a message, and checks that it gives the right answer.
    fn receive(&mut self, from: NodeId, message: Message, world: &World) {
        let answered = self.shell.sent.len() + self.shell.waiting.len();
        self.shell.step(Input::Receive { from, message });
        let answers = self.shell.sent.iter().map(|(to, message)| (to, message));
        let answers =
            answers.chain(self.shell.waiting.iter().map(|(_, to, message)| (to, message)));
        let answers: Vec<_> = answers.skip(answered).collect();
        let refused = self.shell.refused.take();
        if world.reply.is_none() {
            assert_eq!((refused, &answers[..]), (Some(Rejection::ContradictsCommitted), &[][..]));
            return;
        }
        assert_eq!(refused, None);
        let [(to, answer)] = answers[..] else {
            panic!("one answer to one message, not {answers:?}");
        };
        assert_eq!((*to, answer.term()), (from, world.now.term));
        let expected = world.reply.clone().expect("a message deserves an answer");
        let given = match answer {
            Message::AppendEntriesReply(reply) => Reply::Append(reply.outcome.clone()),
            Message::InstallSnapshotReply(reply) => Reply::Install(reply.outcome.clone()),
            other => panic!("{other:?} is no answer"),
        };
        assert_eq!(given, expected);
        let claimed = match expected {
            Reply::Append(AppendOutcome::Matched { match_index }) => place(match_index),
            Reply::Install(InstallOutcome::Covered { last_included_index }) => {
                place(last_included_index)
            }
            _ => 0,
        };
        self.claims.push_back(world.now.log[..claimed].to_vec());
    }

    /// Checks the answers that have left. The term of an answer must be durable. The entries that
    /// it claims to hold must be durable too, unless a leader of a later term has changed them
    /// since.
    fn check_released(&mut self, world: &World) {
        for (_, answer) in self.shell.sent.drain(..) {
            let claim = self.claims.pop_front().expect("each answer claims something");
            let Image { term, log, .. } = &world.durable;
            assert!(*term >= answer.term(), "{answer:?} names a term that can be forgotten");
            let kept = *term > answer.term() || log.starts_with(&claim);
            assert!(kept, "{answer:?} acknowledges what can be lost: {claim:?} of {log:?}");
        }
    }
}

impl StateMachineTest for Follower {
    type SystemUnderTest = Follower;
    type Reference = World;

    fn init_test(_: &World) -> Follower {
        let config = Config {
            id: NodeId(1),
            voters: (1..=3).map(NodeId).collect(),
            limits: Limits::default(),
        };
        let shell = Shell::start(config, PersistentState::default(), Vec::new());
        Follower { shell, claims: VecDeque::new() }
    }

    fn apply(mut follower: Follower, world: &World, transition: Transition) -> Follower {
        if let Some((from, message)) = world.message(&transition) {
            follower.receive(from, message, world);
        }
        match transition {
            Sync { writes } => follower.shell.sync(writes),
            BeginSnapshot => follower.shell.begin_snapshot(),
            EndSnapshot => follower.shell.end_snapshot(),
            Crash { writes_kept, applied_kept } => {
                follower.shell = follower.shell.restart(writes_kept, applied_kept);
                follower.claims.clear();
            }
            _ => {}
        }
        follower.check_released(world);
        follower
    }

    fn check_invariants(follower: &Follower, world: &World) {
        let Shell { node, disk, writes, waiting, state_machine, .. } = &follower.shell;
        let applied = Index(world.applied as u64);
        assert_eq!(node.current_term, world.now.term);
        assert_eq!(unfolded(&node.log), (world.now.base, world.now.log.clone()));
        assert_eq!(node.commit_index.0, world.commit as u64);
        assert_eq!(state_machine, &world.now.log[..world.applied]);
        assert_eq!((node.last_applied, node.apply_requested >= applied), (applied, true));
        if world.crash_proof() >= world.now.base {
            assert_eq!(node.durable_index().0, world.crash_proof() as u64);
        }
        assert_eq!(disk.current_term, world.durable.term);
        assert_eq!(unfolded(&disk.log), (world.durable.base, world.durable.log.clone()));
        assert_eq!(writes.len(), world.pending.len());
        assert!(waiting.is_empty() || !writes.is_empty(), "an answer waits for nothing");
        assert!(!writes.is_empty() || world.applied == world.commit, "nothing else is waited for");
    }
}

/// Returns the base of a log and all its entries, those of the snapshot included.
fn unfolded(log: &raft_core::Log) -> (usize, Vec<Entry>) {
    let mut entries = decode(log.snapshot());
    let base = place(log.base().index);
    assert_eq!(position(&entries, base), log.base());
    entries.extend_from_slice(log.entries());
    (base, entries)
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_follower_does_to_its_log_what_figure_2_says(sequential 1..200 => Follower);
}

/// A crash loses the term in which the commit index was learned, and keeps the applied entries. The
/// node refuses a message of an earlier term's leader that contradicts these entries.
#[test]
fn what_a_deposed_leader_says_against_committed_entries_is_refused() {
    let history = [
        NewLeader { heir_of: 0, kept: 1 },
        Append { leader: 1, prev: 0, count: 2, commit: 0 },
        Sync { writes: 1 },
        NewLeader { heir_of: 0, kept: 1 },
        NewLeader { heir_of: 1, kept: 2 },
        Commit { index: 3 },
        Append { leader: 3, prev: 2, count: 0, commit: 3 },
        Crash { writes_kept: 0, applied_kept: 2 },
        Append { leader: 2, prev: 2, count: 0, commit: 0 },
    ];
    let first = Leader { term: Term(1), log: vec![entry(1, 1)], commit: 0 };
    let mut world = World::of(first);
    let mut follower = Follower::init_test(&world);
    for transition in history {
        assert!(world.is_possible(&transition), "{transition:?}");
        world.happen(&transition);
        follower = Follower::apply(follower, &world, transition);
        Follower::check_invariants(&follower, &world);
    }
    assert_eq!((world.reply, world.now.term, world.commit), (None, Term(2), 2));
}

/// The transitions of the test above reach these situations; otherwise it would show little.
#[test]
fn histories_are_varied() {
    let mut runner = TestRunner::deterministic();
    let mut missing = BTreeSet::from([
        "an entry is overwritten",
        "an entry is overwritten before it was durable",
        "a snapshot replaces a longer log",
        "a snapshot keeps what follows it",
        "a snapshot is overtaken while it is stored",
        "a crash loses writes",
        "a message is too late",
    ]);
    for _ in 0..200 {
        let runs = World::sequential_strategy(1..200).new_tree(&mut runner);
        let (mut world, transitions, _) = runs.expect("enough is possible").current();
        for transition in transitions {
            let before = world.clone();
            world.happen(&transition);
            if let Some(situation) = situation(&before, &transition, &world) {
                missing.remove(situation);
            }
        }
    }
    assert!(missing.is_empty(), "never: {missing:?}");
}

fn situation(before: &World, transition: &Transition, after: &World) -> Option<&'static str> {
    let (was, is) = (&before.now, &after.now);
    let stale = Some(Reply::Append(AppendOutcome::StaleTerm));
    Some(match transition {
        Append { .. } if !is.log.starts_with(&was.log) => {
            let first = was.log.iter().zip(&is.log).take_while(|(was, is)| was == is).count();
            let durable = before.durable.log.get(first) == Some(&was.log[first]);
            if durable {
                "an entry is overwritten"
            } else {
                "an entry is overwritten before it was durable"
            }
        }
        Append { .. } if after.reply == stale => "a message is too late",
        Install { .. } if is.base > was.base && is.log.len() < was.log.len() => {
            "a snapshot replaces a longer log"
        }
        Install { .. } if after.commit > before.commit && is.log.len() > after.commit => {
            "a snapshot keeps what follows it"
        }
        EndSnapshot if was.base > before.storing.unwrap_or(0) => {
            "a snapshot is overtaken while it is stored"
        }
        Crash { .. } if is != was => "a crash loses writes",
        _ => return None,
    })
}
