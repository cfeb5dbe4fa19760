//! The shell sends no message too early, and answers each client's command.

use std::collections::BTreeSet;

use raft_core::{
    AppendEntries, AppendOutcome, Bytes, Config, Entry, Index, Input, InstallSnapshot, Limits,
    LogPosition, Mark, Message, Node, NodeId, Paper, Payload, ReadRound, RequestVote,
    RequestVoteReply, Snapshot, Term,
};
use raft_node::shell::{Answer, ProposalId, Shell, Task};

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);
const THREE: NodeId = NodeId(3);

fn shell() -> Shell {
    let voters = BTreeSet::from([ONE, TWO, THREE]);
    let config = Config { id: ONE, voters, limits: Limits::default() };
    Shell::new(Node::boot(&Paper, config).unwrap())
}

fn receive(shell: &mut Shell, from: NodeId, message: Message) {
    shell.input(Input::Receive { from, message }, None);
}

/// Takes all writes from the shell and reports them durable. Returns their number.
fn sync(shell: &mut Shell) -> usize {
    let Some((mark, writes)) = shell.take_writes() else { return 0 };
    shell.input(Input::Durable { mark }, None);
    writes.len()
}

/// Returns a leader of term 1 whose blank entry is on its disk and on that of server 2.
fn leader() -> Shell {
    let mut shell = shell();
    shell.input(Input::ElectionTimeout, None);
    sync(&mut shell);
    let reply = RequestVoteReply { term: Term(1), granted: true };
    receive(&mut shell, TWO, Message::RequestVoteReply(reply));
    sync(&mut shell);
    acknowledge(&mut shell, 1);
    apply_all(&mut shell);
    shell.take_sends();
    shell.take_answers();
    shell
}

fn acknowledge(shell: &mut Shell, index: u64) {
    let reply = raft_core::AppendEntriesReply {
        term: shell.node().current_term,
        outcome: AppendOutcome::Matched { match_index: Index(index) },
        read_round: ReadRound(0),
    };
    receive(shell, TWO, Message::AppendEntriesReply(reply));
}

/// Runs all tasks, with a state machine that answers each command with the command itself.
fn apply_all(shell: &mut Shell) {
    while let Some(task) = shell.take_task() {
        let index = match task {
            Task::Apply { first, entries } => {
                let index = first.prev().plus(entries.len());
                let answer = |entry: &Entry| match &entry.payload {
                    Payload::Noop => Bytes::empty(),
                    Payload::Command(command) => command.clone(),
                };
                shell.answer_applied(index, entries.iter().map(answer).collect());
                index
            }
            Task::Restore(snapshot) => snapshot.last_included_index,
        };
        shell.input(Input::Applied { index }, None);
    }
}

fn propose(shell: &mut Shell, id: u64, command: &str) {
    shell.propose(vec![(ProposalId(id), Bytes::from(command))], None);
}

fn entry(term: u64, command: &str) -> Entry {
    Entry { term: Term(term), payload: Payload::Command(Bytes::from(command)) }
}

/// Returns a message of a leader of `term`, with entries from the beginning of the log.
fn append(term: u64, entries: Vec<Entry>, commit: u64) -> Message {
    Message::AppendEntries(AppendEntries {
        term: Term(term),
        prev_log: LogPosition::default(),
        entries,
        leader_commit: Index(commit),
        read_round: ReadRound(0),
    })
}

#[test]
fn a_vote_leaves_only_when_it_is_on_the_disk() {
    let mut shell = shell();
    let request = RequestVote { term: Term(1), last_log: LogPosition::default() };
    receive(&mut shell, TWO, Message::RequestVote(request.clone()));
    assert_eq!(shell.take_sends(), []);
    // A repeated request must not be answered before the write is durable, either.
    receive(&mut shell, TWO, Message::RequestVote(request));
    assert_eq!(shell.take_sends(), []);
    sync(&mut shell);
    assert_eq!(shell.take_sends().len(), 2);
}

#[test]
fn a_leaders_entries_leave_while_its_own_disk_is_busy() {
    let mut shell = leader();
    propose(&mut shell, 1, "x");
    let sent = shell.take_sends();
    assert!(sent.iter().any(|(to, message)| {
        *to == TWO && matches!(message, Message::AppendEntries(append) if append.entries.len() == 1)
    }));
    assert!(shell.take_writes().is_some());
}

#[test]
fn writes_that_wait_become_one_transaction() {
    let mut shell = leader();
    for id in 1..=5 {
        propose(&mut shell, id, "x");
    }
    assert_eq!(sync(&mut shell), 5);
    assert_eq!(shell.take_writes(), None);
}

#[test]
fn a_client_is_answered_when_its_command_is_applied_and_not_before() {
    let mut shell = leader();
    propose(&mut shell, 7, "x");
    acknowledge(&mut shell, 2);
    assert_eq!(shell.take_task(), None, "committed, but not durable here");
    sync(&mut shell);
    assert_eq!(shell.take_answers(), []);
    apply_all(&mut shell);
    assert_eq!(shell.take_answers(), [Answer::Applied(ProposalId(7), Bytes::from("x"))]);
    assert_eq!(shell.unanswered(), 0);
}

#[test]
fn who_does_not_lead_says_so_and_appends_nothing() {
    let mut shell = shell();
    propose(&mut shell, 1, "x");
    assert_eq!(shell.take_answers(), [Answer::NotLeader(ProposalId(1), None)]);
    assert_eq!(shell.node().log.last_index(), Index::ZERO);
}

fn blank(term: u64) -> Entry {
    Entry { term: Term(term), payload: Payload::Noop }
}

#[test]
fn a_command_that_another_leader_overwrites_may_still_be_committed_and_its_client_hears_so_at_once()
{
    let mut shell = leader();
    propose(&mut shell, 1, "x");
    sync(&mut shell);
    receive(&mut shell, THREE, append(2, vec![blank(1), blank(2)], 1));
    assert_eq!(shell.take_answers(), [Answer::Unknown(ProposalId(1))]);
    assert_eq!(shell.unanswered(), 0);
}

#[test]
fn a_command_is_superseded_when_another_entry_is_committed_in_its_place_or_before_it() {
    let mut shell = leader();
    propose(&mut shell, 1, "x");
    propose(&mut shell, 2, "y");
    sync(&mut shell);
    receive(&mut shell, THREE, append(2, vec![blank(1), blank(2)], 2));
    let superseded = [1, 2].map(|id| Answer::Superseded(ProposalId(id)));
    assert_eq!(shell.take_answers(), superseded);
}

#[test]
fn commands_behind_an_overwritten_entry_are_answered_and_not_taken_for_later_ones() {
    let mut shell = leader();
    for (id, command) in [(1, "a"), (2, "b"), (3, "c")] {
        propose(&mut shell, id, command);
    }
    sync(&mut shell);
    // The blank entry of another leader gets index 2, which the first of the three commands had.
    receive(&mut shell, THREE, append(2, vec![blank(1), blank(2)], 1));
    assert_eq!(shell.take_answers(), [1, 2, 3].map(|id| Answer::Unknown(ProposalId(id))));
    // This server leads again. Its own blank entry has index 3. A new command has index 4, which an
    // old command had.
    shell.input(Input::ElectionTimeout, None);
    sync(&mut shell);
    let reply = RequestVoteReply { term: Term(3), granted: true };
    receive(&mut shell, TWO, Message::RequestVoteReply(reply));
    propose(&mut shell, 4, "d");
    sync(&mut shell);
    assert_eq!(shell.node().log.last_index(), Index(4));
    acknowledge(&mut shell, 4);
    apply_all(&mut shell);
    assert_eq!(shell.take_answers(), [Answer::Applied(ProposalId(4), Bytes::from("d"))]);
    assert_eq!(shell.unanswered(), 0);
}

#[test]
fn a_command_that_a_deposed_leader_appended_is_answered_when_the_next_one_commits_it() {
    let mut shell = leader();
    propose(&mut shell, 1, "x");
    sync(&mut shell);
    let entries = vec![blank(1), entry(1, "x"), entry(2, "y")];
    receive(&mut shell, THREE, append(2, entries, 3));
    sync(&mut shell);
    apply_all(&mut shell);
    assert_eq!(shell.take_answers(), [Answer::Applied(ProposalId(1), Bytes::from("x"))]);
}

#[test]
fn nobody_knows_what_became_of_the_commands_in_a_log_that_a_snapshot_replaces() {
    let mut shell = leader();
    for id in 1..=9 {
        propose(&mut shell, id, "x");
    }
    sync(&mut shell);
    let snapshot = Snapshot {
        last_included_index: Index(9),
        last_included_term: Term(2),
        handle: Bytes::from("elsewhere"),
    };
    let install =
        InstallSnapshot { term: Term(2), snapshot: snapshot.clone(), read_round: ReadRound(0) };
    receive(&mut shell, THREE, Message::InstallSnapshot(install));
    let unknown: Vec<_> = (1..=9).map(|id| Answer::Unknown(ProposalId(id))).collect();
    assert_eq!(shell.take_answers(), unknown, "also behind the snapshot's last entry, at index 10");
    assert_eq!(shell.take_task(), None, "it is restored when it is the log's durable base");
    sync(&mut shell);
    assert_eq!(shell.take_task(), Some(Task::Restore(snapshot)));
}

#[test]
fn a_message_that_makes_no_sense_is_counted_and_changes_nothing() {
    let mut shell = leader();
    let before = shell.node().clone();
    receive(&mut shell, NodeId(9), append(5, vec![], 0));
    assert_eq!(shell.take_rejections().len(), 1);
    assert_eq!(*shell.node(), before);
    assert_eq!(shell.take_sends(), []);
}

#[test]
fn after_a_contradiction_nothing_has_an_effect() {
    let mut shell = leader();
    shell.input(Input::Durable { mark: Mark(99) }, None);
    assert!(shell.halted().is_some());
    propose(&mut shell, 1, "x");
    assert!(matches!(shell.take_answers()[..], [Answer::NotLeader(ProposalId(1), _)]));
    shell.input(Input::Heartbeat, None);
    assert_eq!(shell.take_sends(), []);
}
