//! Attacks: mistakes that no known system has shipped, found by looking for ways to break
//! raft-core.

#![expect(clippy::needless_pass_by_value, reason = "one type of function for every change")]

use raft_core::{AppendOutcome, Effect, Index, Input, LogWrite, Message, Node, Role, Rule};

use super::{Change, Moment, Mutant, Origin, Outcome, unfolded};
use crate::cluster::snapshot_data::encode;
use crate::properties::Property;

fn attack(id: &str, wrong: &'static str) -> Mutant {
    Mutant::new(Origin::Attack, id, "", wrong)
}

/// Returns all attacks.
pub(super) fn all() -> Vec<Mutant> {
    let mut all = about_votes_and_logs();
    all.extend(about_disks_and_reads());
    all
}

fn about_votes_and_logs() -> Vec<Mutant> {
    vec![
        attack("AT-01", "a candidate that yields to a leader forgets its vote")
            .with(Change::After(yielding_forgets_the_vote))
            .breaks(Property::VoteOnce)
            .on(&["election-3"]),
        attack("AT-02", "the vote of an earlier term is kept in a later one")
            .with(Change::After(the_vote_is_kept))
            .breaks(Property::VotesAreFacts)
            .on(&["election-3"]),
        attack("AT-03", "a follower acknowledges all it has, not what the request covered")
            .with(Change::After(acknowledges_everything))
            .breaks(Property::MatchIsFact)
            .on(&["replication-3"]),
        attack("AT-04", "a follower commits up to the end of its own log")
            .with(Change::Value(Rule::FollowerCommit, commits_to_its_own_end))
            .breaks(Property::CommitIsFact)
            .on(&["replication-3", "commit-3"]),
        attack("AT-05", "RequestVote advertises one entry more than there is")
            .with(Change::After(advertises_more))
            .breaks(Property::PromiseIsDurable)
            .on(&["election-3"]),
        attack("AT-06", "a leader ignores the higher term in a reply")
            .with(Change::Answer(Rule::AdoptHigherTerm, |m, answer| answer && !is_reply(m.input)))
            .on(&["recover-3", "replication-3"])
            .survives("the next leader's requests carry the term as well; until then the old one commits nothing"),
        attack("AT-07", "a repeated vote counts again")
            .with(Change::After(counts_twice))
            .breaks(Property::VotesAreFacts)
            .on(&["election-5", "election-4"]),
        attack("AT-08", "a leader removes its uncommitted entries before it adds its own")
            .with(Change::After(starts_over))
            .breaks(Property::DiskIsFact)
            .on(&["replication-3"]),
    ]
}

fn about_disks_and_reads() -> Vec<Mutant> {
    vec![
        attack("AT-09", "a leader's blank entry is not written")
            .with(Change::After(blank_entry_is_not_written))
            .breaks(Property::DiskIsFact)
            .on(&["election-3"]),
        attack("AT-10", "after a restart everything in the log counts as committed")
            .with(Change::Start(|node| node.commit_index = node.log.last_index()))
            .breaks(Property::CommitIsFact)
            .on(&["election-3"]),
        attack("AT-11", "a leader sends its newest state under the name of its snapshot")
            .with(Change::After(sends_newer_state))
            .breaks(Property::SnapshotIsPrefix)
            .on(&["snapshot-3"]),
        attack("AT-12", "an installed snapshot does not move what is to be applied")
            .with(Change::After(applies_from_before))
            .breaks(Property::NobodyHalts)
            .on(&["snapshot-3"]),
        attack("AT-13", "a read waits for what is applied, not for what is committed")
            .with(Change::After(reads_what_is_applied))
            .breaks(Property::Reads)
            .on(&["reads-3"]),
        attack("AT-14", "a second read shares the first one's round")
            .with(Change::Value(Rule::ReadNeedsLaterRound, |_, round| round.min(1)))
            .breaks(Property::Reads)
            .on(&["reads-3-rounds"]),
        attack(
            "AT-15",
            "entries are appended wherever the log ends, though the ones before are missing",
        )
        .with(Change::Input(claims_agreement))
        .breaks(Property::MatchIsFact)
        .on(&["replication-3"]),
    ]
}

/// Returns the leader's `commit_index` as it stands in the request.
pub(super) fn leader_commit(moment: &Moment<'_>, value: u64) -> u64 {
    match moment.input {
        Input::Receive { message: Message::AppendEntries(request), .. } => request.leader_commit.0,
        _ => value,
    }
}

fn commits_to_its_own_end(moment: &Moment<'_>, value: u64) -> u64 {
    leader_commit(moment, value).min(moment.before.log.last_index().0.max(value))
}

fn is_reply(input: &Input) -> bool {
    use Message as M;
    let Input::Receive { message, .. } = input else {
        return false;
    };
    matches!(
        message,
        M::AppendEntriesReply(_) | M::InstallSnapshotReply(_) | M::RequestVoteReply(_)
    )
}

/// Adds the node's present vote to the step's write.
fn write_vote(outcome: &mut Outcome<'_>) {
    let (current_term, voted_for) = (outcome.node.current_term, outcome.node.voted_for);
    let vote = Some(raft_core::VoteRecord { current_term, voted_for });
    if let Some(Effect::Persist { write, .. }) = outcome.effects.first_mut() {
        write.vote = vote;
    } else {
        let mark = outcome.node.disk.issued.next();
        outcome.node.disk.issued = mark;
        let write = raft_core::Write { vote, log: None };
        outcome.effects.insert(0, Effect::Persist { mark, write });
    }
}

fn yielding_forgets_the_vote(moment: &Moment<'_>, mut outcome: Outcome<'_>) {
    let was_candidate = matches!(moment.before.role, Role::Candidate { .. });
    let follows = matches!(outcome.node.role, Role::Follower { leader: Some(_) });
    if was_candidate && follows && moment.before.current_term == outcome.node.current_term {
        outcome.node.voted_for = None;
        write_vote(&mut outcome);
    }
}

fn the_vote_is_kept(moment: &Moment<'_>, mut outcome: Outcome<'_>) {
    let later = outcome.node.current_term > moment.before.current_term;
    if later && outcome.node.voted_for.is_none() && moment.before.voted_for.is_some() {
        outcome.node.voted_for = moment.before.voted_for;
        write_vote(&mut outcome);
    }
}

fn acknowledges_everything(_: &Moment<'_>, outcome: Outcome<'_>) {
    let last = outcome.node.log.last_index();
    for effect in outcome.effects {
        if let Effect::Send { message: Message::AppendEntriesReply(reply), .. } = effect
            && let AppendOutcome::Matched { match_index } = &mut reply.outcome
        {
            *match_index = last;
        }
    }
}

fn advertises_more(_: &Moment<'_>, outcome: Outcome<'_>) {
    for effect in outcome.effects {
        if let Effect::Send { message: Message::RequestVote(request), .. } = effect
            && request.last_log.index > Index::ZERO
        {
            request.last_log.index = request.last_log.index.next();
        }
    }
}

/// Counts a second copy of a vote as the vote of a server that has not voted.
fn counts_twice(moment: &Moment<'_>, outcome: Outcome<'_>) {
    let Input::Receive { from, message: Message::RequestVoteReply(reply) } = moment.input else {
        return;
    };
    let Role::Candidate { votes: before, .. } = &moment.before.role else {
        return;
    };
    let repeated =
        reply.granted && reply.term == moment.before.current_term && before.contains(from);
    let other = outcome.node.config.voters.iter().find(|voter| !before.contains(voter)).copied();
    if let (true, Some(other), Role::Candidate { votes, .. }) =
        (repeated, other, &mut outcome.node.role)
    {
        votes.insert(other);
    }
}

fn starts_over(moment: &Moment<'_>, outcome: Outcome<'_>) {
    if !moment.before.is_leader() && outcome.node.is_leader() {
        let own = outcome.node.log.last_index();
        let kept = moment.before.commit_index.next();
        if kept < own {
            outcome.node.log.truncate_from(own);
        }
    }
}

fn blank_entry_is_not_written(moment: &Moment<'_>, outcome: Outcome<'_>) {
    if let (false, Role::Leader(_), Some(Effect::Persist { write, .. })) =
        (moment.before.is_leader(), &outcome.node.role, outcome.effects.first_mut())
        && matches!(write.log, Some(LogWrite::Append { .. }))
    {
        write.log = None;
    }
}

fn sends_newer_state(moment: &Moment<'_>, outcome: Outcome<'_>) {
    let node: &Node = moment.before;
    let committed = usize::try_from(node.commit_index.0).unwrap_or(usize::MAX);
    let mut state = unfolded(&node.log);
    state.truncate(committed);
    for effect in outcome.effects {
        if let Effect::Send { message: Message::InstallSnapshot(request), .. } = effect {
            request.snapshot.handle = encode(&state);
        }
    }
}

fn applies_from_before(moment: &Moment<'_>, outcome: Outcome<'_>) {
    let installed = outcome.effects.iter().any(|effect| matches!(effect, Effect::Restore { .. }));
    if installed {
        outcome.node.apply_requested = moment.before.apply_requested;
    }
}

fn reads_what_is_applied(moment: &Moment<'_>, outcome: Outcome<'_>) {
    if let (Input::Read { id }, Role::Leader(leadership)) = (moment.input, &mut outcome.node.role)
        && let Some(read) = leadership.reads.back_mut().filter(|read| read.id == *id)
    {
        read.read_index = moment.before.last_applied;
    }
}

/// Changes a request so that it continues the receiver's log, wherever that log ends.
fn claims_agreement(node: &Node, mut input: Input) -> Input {
    if let Input::Receive { message: Message::AppendEntries(request), .. } = &mut input
        && request.prev_log.index > node.log.last_index()
        && request.term >= node.current_term
        && node.log.last().term <= request.prev_log.term
    {
        request.prev_log = node.log.last();
    }
    input
}
