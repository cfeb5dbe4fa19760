//! A step returns for every input from a peer, a client, a disk or a state machine, and its result
//! keeps the promises of its documentation.
//!
//! The inputs in these stories may be false. The model checker checks the properties of clusters of
//! correct servers; the laws here must hold for false inputs as well.

mod arbitrary;

use std::collections::BTreeSet;

use arbitrary::{Step, Story};
use itertools::Itertools;
use quickcheck::{Arbitrary, Gen, QuickCheck};
use raft_core::{
    Config, DISK_LIMIT, DiskProgress, Effect, HaltReason, Index, Input, Limits, LogWrite, Message,
    Node, NodeId, Paper, PersistentState, Progress, Rejection, Role, Term, step,
};

/// The largest number of moves in a story.
const LENGTH: usize = 200;

/// Tries a law on many stories.
fn always(law: fn(Story)) {
    QuickCheck::new().rng(Gen::new(LENGTH)).tests(1500).quickcheck(law);
}

#[test]
fn a_step_depends_on_the_node_and_the_input_alone() {
    fn law(story: Story) {
        story.play(|taken| {
            // The list of effects may already hold effects of earlier steps. They stay in front.
            let mut node = taken.before.clone();
            let mut effects = vec![Effect::ResetElectionTimer];
            step(&Paper, &mut node, taken.input.clone(), &mut effects);
            assert_eq!(node, *taken.after);
            assert_eq!(effects[0], Effect::ResetElectionTimer);
            assert_eq!(effects[1..], *taken.effects);
        });
    }
    always(law);
}

#[test]
fn a_rejected_input_changes_nothing_and_has_no_other_effect() {
    fn law(story: Story) {
        story.play(|taken| {
            let refused = |effect: &Effect| matches!(effect, Effect::Rejected(_) | Effect::Halt(_));
            if taken.effects.iter().any(refused) {
                assert_eq!(taken.effects.len(), 1, "{:?}", taken.effects);
                assert_eq!(taken.before, taken.after);
            }
        });
    }
    always(law);
}

#[test]
fn neither_a_peer_nor_a_client_can_make_a_server_halt() {
    fn law(story: Story) {
        story.play(|taken| {
            let halts = taken.effects.iter().any(|e| matches!(e, Effect::Halt(_)));
            let own = matches!(
                taken.input,
                Input::Durable { .. } | Input::Applied { .. } | Input::SnapshotTaken { .. }
            );
            assert!(own || !halts, "{:?} {:?}", taken.input, taken.effects);
        });
    }
    always(law);
}

#[test]
fn a_step_writes_at_most_once_and_before_anything_else() {
    fn law(story: Story) {
        story.play(|taken| {
            let is_write = |effect: &&Effect| matches!(effect, Effect::Persist { .. });
            let writes = taken.effects.iter().filter(is_write).count();
            let issued = taken.after.disk.issued.0 - taken.before.disk.issued.0;
            assert_eq!(issued, writes as u64);
            if writes > 0 {
                let first = &taken.effects[0];
                let newest = taken.after.disk.issued;
                assert!(matches!(first, Effect::Persist { mark, .. } if *mark == newest));
            }
            assert!(writes <= 1);
        });
    }
    always(law);
}

#[test]
fn messages_go_to_other_voters_and_wait_for_writes_that_exist() {
    fn law(story: Story) {
        story.play(|taken| {
            let DiskProgress { issued, durable, .. } = taken.after.disk;
            for effect in taken.effects {
                match effect {
                    Effect::Send { to, after, .. } => {
                        assert!(taken.after.peers().contains(to));
                        assert!(after.is_none_or(|mark| durable < mark && mark <= issued));
                    }
                    Effect::Restore { after, .. } => assert_eq!(*after, issued),
                    _ => {}
                }
            }
        });
    }
    always(law);
}

#[test]
fn an_answer_waits_for_the_newest_write() {
    fn law(story: Story) {
        story.play(|taken| {
            let disk = &taken.after.disk;
            let newest = (disk.issued > disk.durable).then_some(disk.issued);
            for effect in taken.effects {
                if let Effect::Send { message, after, .. } = effect {
                    let waits = match message {
                        Message::AppendEntries(_) | Message::InstallSnapshot(_) => None,
                        _ => newest,
                    };
                    assert_eq!(*after, waits, "{message:?}");
                }
            }
        });
    }
    always(law);
}

#[test]
fn what_only_grows_never_shrinks() {
    fn law(story: Story) {
        story.play(|taken| {
            let (before, after) = (taken.before, taken.after);
            assert!(before.current_term <= after.current_term);
            assert!(before.commit_index <= after.commit_index);
            assert!(before.last_applied <= after.last_applied);
            assert!(before.apply_requested <= after.apply_requested);
            assert!(before.log.base().index <= after.log.base().index);
            assert!(before.disk.issued <= after.disk.issued);
            assert!(before.disk.durable <= after.disk.durable);
            if before.current_term == after.current_term && before.voted_for.is_some() {
                assert_eq!(before.voted_for, after.voted_for);
            }
        });
    }
    always(law);
}

#[test]
fn what_is_committed_is_never_overwritten() {
    fn law(story: Story) {
        story.play(|taken| {
            let (before, after) = (&taken.before.log, &taken.after.log);
            let first = after.base().index.next();
            let committed = taken.before.commit_index.since(after.base().index);
            let committed = usize::try_from(committed).unwrap_or(usize::MAX);
            let kept = before.entries_from(first, committed);
            assert_eq!(kept, after.entries_from(first, committed));
        });
    }
    always(law);
}

#[test]
fn a_leader_never_removes_entries_of_its_own_log() {
    fn law(story: Story) {
        story.play(|taken| {
            let (before, after) = (taken.before, taken.after);
            let leads = before.is_leader() && after.is_leader();
            if leads && before.current_term == after.current_term {
                let kept = before.log.entries_from(after.log.base().index.next(), usize::MAX);
                assert!(after.log.entries().starts_with(kept));
            }
        });
    }
    always(law);
}

#[test]
fn the_node_agrees_with_itself_all_the_time() {
    fn law(story: Story) {
        story.play(|taken| assert_sound(taken.after));
    }
    always(law);
}

fn assert_sound(node: &Node) {
    let last_index = node.log.last_index();
    let disk = &node.disk;
    assert!(node.log.base().index <= node.commit_index);
    assert!(node.commit_index <= last_index);
    assert!(node.last_applied <= node.apply_requested);
    assert!(node.apply_requested <= node.commit_index);
    assert!(disk.durable <= disk.issued);
    assert!(node.log.last().term <= node.current_term);
    assert!(node.log.is_valid());

    let waiting = || disk.unsynced.iter();
    assert!(waiting().all(|part| disk.durable < part.mark && part.mark <= disk.issued));
    assert!(waiting().tuple_windows().all(|(a, b)| a.first < b.first && a.mark < b.mark));

    if let Role::Leader(leadership) = &node.role {
        assert!(leadership.followers.keys().copied().eq(node.peers()));
        for progress in leadership.followers.values() {
            let Progress { next_index, match_index, acked_round, .. } = *progress;
            assert!(match_index < next_index && next_index <= last_index.next());
            assert!(acked_round <= leadership.read_round);
        }
        assert!(leadership.reads.len() <= node.config.limits.reads);
    }
}

#[test]
fn a_term_beyond_what_a_disk_may_hold_is_refused_at_the_next_start() {
    let id = NodeId(1);
    let config = Config { id, voters: BTreeSet::from([id]), limits: Limits::default() };
    let mut disk = PersistentState { current_term: Term(DISK_LIMIT), ..Default::default() };
    let start =
        |disk: &PersistentState| Node::restart(&Paper, config.clone(), disk.clone(), Index::ZERO);
    let mut node = start(&disk).expect("the last term that a disk may hold");
    let mut effects = Vec::new();
    step(&Paper, &mut node, Input::ElectionTimeout, &mut effects);
    for effect in &effects {
        if let Effect::Persist { write, .. } = effect {
            disk.write(write);
        }
    }
    assert_eq!(disk.current_term, Term(DISK_LIMIT + 1));
    assert_eq!(start(&disk).err(), Some(HaltReason::BadDisk));
}

/// Every event in `EVENTS` happens in the stories, so the laws above are not vacuous.
#[test]
fn the_stories_get_everywhere() {
    let mut g = Gen::from_size_and_seed(LENGTH, 1);
    let mut seen = BTreeSet::new();
    for _ in 0..1000 {
        let story = Story::arbitrary(&mut g);
        if let Err(reason) = story.start() {
            seen.insert(format!("{reason:?}"));
        }
        story.play(|taken| seen.extend(events(taken)));
    }
    let missing = EVENTS.iter().filter(|event| !seen.contains(**event));
    assert_eq!(missing.collect_vec(), Vec::<&&str>::new(), "of {seen:?}");
}

const EVENTS: &[&str] = &[
    "AppliedUnrequested",
    "BadConfig",
    "BadDisk",
    "DurableUnissued",
    "SnapshotUnapplied",
    "StateMachineAheadOfLog",
    "StateMachineBehindSnapshot",
    "a candidate yields",
    "a follower's entries are replaced",
    "a leader commits",
    "a leader is elected",
    "a leader steps down",
    "a log is compacted",
    "a snapshot is installed",
    "a snapshot is sent",
    "an entry waits for its write",
    "entries are applied",
    "entries are sent ahead",
    "proposal refused",
    "read ready",
    "read refused",
    "rejected: AcknowledgesUnsent",
    "rejected: ContradictsCommitted",
    "rejected: Malformed",
    "rejected: SecondLeader",
    "rejected: UnknownSender",
    "vote granted",
    "vote refused",
];

fn events(taken: &Step) -> Vec<String> {
    let (before, after) = (taken.before, taken.after);
    let was_candidate = matches!(before.role, Role::Candidate { .. });
    let is_follower = matches!(after.role, Role::Follower { .. });
    let same_term = before.current_term == after.current_term;
    let committed = before.commit_index < after.commit_index;
    let changes = [
        (was_candidate && is_follower && same_term, "a candidate yields"),
        (before.is_leader() && is_follower, "a leader steps down"),
        (was_candidate && after.is_leader(), "a leader is elected"),
        (after.is_leader() && committed, "a leader commits"),
        (after.commit_index > after.durable_index(), "an entry waits for its write"),
    ];
    let changes = changes.into_iter().filter(|(is, _)| *is);
    let changes = changes.map(|(_, name)| name.to_owned());
    let effects = taken.effects.iter().filter_map(|effect| event(before, effect));
    changes.chain(effects).collect()
}

fn event(before: &Node, effect: &Effect) -> Option<String> {
    let name = match effect {
        Effect::Persist { write, .. } => match write.log.as_ref()? {
            LogWrite::Append { first, .. } if *first <= before.log.last_index() => {
                "a follower's entries are replaced"
            }
            LogWrite::Append { .. } => return None,
            LogWrite::Compact(_) => "a log is compacted",
            LogWrite::Install(_) => "a snapshot is installed",
        },
        Effect::Send { message, .. } => match message {
            Message::RequestVoteReply(reply) if reply.granted => "vote granted",
            Message::RequestVoteReply(_) => "vote refused",
            Message::InstallSnapshot(_) => "a snapshot is sent",
            Message::AppendEntries(request) if request.entries.len() > 1 => {
                "entries are sent ahead"
            }
            _ => return None,
        },
        Effect::Apply { .. } => "entries are applied",
        Effect::ProposalRefused { .. } => "proposal refused",
        Effect::ReadReady { .. } => "read ready",
        Effect::ReadRefused { .. } => "read refused",
        Effect::Rejected(reason) => return Some(rejected(*reason)),
        Effect::Halt(reason) => return Some(format!("{reason:?}")),
        _ => return None,
    };
    Some(name.to_owned())
}

fn rejected(reason: Rejection) -> String {
    format!("rejected: {reason:?}")
}
