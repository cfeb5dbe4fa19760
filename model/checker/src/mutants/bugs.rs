//! Bugs that real systems have shipped, each as a change of one rule or two.

#![expect(clippy::needless_pass_by_value, reason = "one type of function for every change")]

use raft_core::{
    AppendEntries, AppendOutcome, Bytes, Effect, Index, Input, Log, LogPosition, LogWrite, Mark,
    Message, Node, Pace, Role, Rule, Snapshot, TermAt, Write,
};

use super::{Change, Moment, Mutant, Origin, Outcome, unfolded};
use crate::cluster::snapshot_data::encode;
use crate::properties::Property;

fn bug(id: &str, seen_in: &'static str, wrong: &'static str) -> Mutant {
    Mutant::new(Origin::Bug, id, seen_in, wrong)
}

/// Returns all bugs.
pub(super) fn all() -> Vec<Mutant> {
    let families = [elections(), replication(), commitment(), persistence(), snapshots(), reads()];
    families.into_iter().flatten().collect()
}

fn asked_vote<'a>(moment: &'a Moment<'_>) -> Option<&'a LogPosition> {
    match moment.input {
        Input::Receive { message: Message::RequestVote(request), .. } => Some(&request.last_log),
        _ => None,
    }
}

fn elections() -> Vec<Mutant> {
    let by_length = |moment: &Moment<'_>, answer| {
        asked_vote(moment).map_or(answer, |last| last.index >= moment.before.log.last().index)
    };
    let by_term = |moment: &Moment<'_>, answer| {
        asked_vote(moment).map_or(answer, |last| last.term >= moment.before.log.last().term)
    };
    let by_both = |moment: &Moment<'_>, answer| {
        let own = moment.before.log.last();
        asked_vote(moment).map_or(answer, |last| last.term >= own.term && last.index >= own.index)
    };
    let not_for_votes = |moment: &Moment<'_>, answer: bool| answer && asked_vote(moment).is_none();
    vec![
        bug("EL-01", "Xraft", "a candidate counts a vote of an older term")
            .without(Rule::CountVotesOfThisTerm)
            .breaks(Property::ElectionSafety)
            .on(&["election-3"]),
        bug("EL-02", "students", "voted_for is ignored when a vote is granted")
            .without(Rule::OneVotePerTerm)
            .breaks(Property::ElectionSafety)
            .on(&["election-3"]),
        bug("EL-04", "students", "no up-to-date check")
            .without(Rule::CandidateUpToDate)
            .breaks(Property::LeaderCompleteness)
            .on(&["replication-3"]),
        bug("EL-05", "students", "up-to-date by length only")
            .with(Change::Answer(Rule::CandidateUpToDate, by_length))
            .breaks(Property::LeaderCompleteness)
            .on(&["commit-3"]),
        bug("EL-06", "NATS", "up-to-date by last term only")
            .with(Change::Answer(Rule::CandidateUpToDate, by_term))
            .breaks(Property::LeaderCompleteness)
            .on(&["replication-3"]),
        bug("EL-07", "openraft", "log ids are compared component by component")
            .with(Change::Answer(Rule::CandidateUpToDate, by_both))
            .breaks(Property::CanRecover)
            .on(&["recover-3"]),
        bug("EL-08", "openraft", "a quorum is n/2")
            .without(Rule::ElectionQuorum)
            .breaks(Property::ElectionSafety)
            .on(&["election-2"]),
        bug("EL-08b", "family of EL-08", "2 * votes >= n is enough")
            .with(Change::Value(Rule::ElectionQuorum, |m, _| {
                m.before.config.voters.len().div_ceil(2) as u64
            }))
            .breaks(Property::ElectionSafety)
            .on(&["election-4"]),
        bug("EL-10", "etcd", "votes of an earlier candidacy are kept")
            .without(Rule::ForgetOldVotes)
            .breaks(Property::ElectionSafety)
            .on(&["election-4"]),
        bug("EL-12", "students", "a vote is granted without adopting the higher term first")
            .with(Change::Answer(Rule::AdoptHigherTerm, not_for_votes))
            .with(Change::After(answer_in_the_candidates_term))
            .breaks(Property::ElectionSafety)
            .on(&["election-3"]),
        bug("EL-17", "oraft", "a candidate ignores a same-term AppendEntries")
            .without(Rule::CandidateYieldsToLeader)
            .breaks(Property::CanRecover)
            .on(&["recover-3"]),
    ]
}

fn answer_in_the_candidates_term(moment: &Moment<'_>, outcome: Outcome<'_>) {
    let Input::Receive { message: Message::RequestVote(request), .. } = moment.input else {
        return;
    };
    for effect in outcome.effects {
        if let Effect::Send { message: Message::RequestVoteReply(reply), .. } = effect {
            reply.term = request.term;
        }
    }
}

fn replication() -> Vec<Mutant> {
    let refusal_is_success = |_: &Node, mut input| {
        if let Input::Receive { message: Message::AppendEntriesReply(reply), .. } = &mut input
            && let AppendOutcome::Conflict { prev_log_index, .. } = reply.outcome
        {
            reply.outcome = AppendOutcome::Matched { match_index: prev_log_index };
        }
        input
    };
    vec![
        bug("RE-01", "RaftOS, CCF, openraft, NATS", "truncates at prev_log_index unconditionally")
            .without(Rule::KeepAgreeing)
            .breaks(Property::CommittedOnMajority)
            .on(&["replication-3"]),
        bug("RE-02", "students", "prev_log_term is not compared")
            .without(Rule::PrevTermMatches)
            .breaks(Property::LogMatching)
            .on(&["commit-3"]),
        bug("RE-03", "students", "a conflicting suffix is not truncated")
            .without(Rule::TruncateConflict)
            .breaks(Property::CommittedOnMajority)
            .on(&["replication-3"]),
        bug("RE-06", "students", "match_index is taken from the leader's own log on success")
            .without(Rule::MatchFromRequest)
            .breaks(Property::CommittedOnMajority)
            .on(&["replication-3"]),
        bug("RE-07", "RaftOS, PySyncObj", "match_index is assigned, not maximised")
            .without(Rule::MatchNeverDecreases)
            .breaks(Property::Monotonic)
            .on(&["replication-3"]),
        bug("RE-08", "PySyncObj, WRaft, etcd", "a hint drives next_index to match_index or below")
            .without(Rule::NextAboveMatch)
            .breaks(Property::Monotonic)
            .on(&["replication-3", "replication-3-batches", "commit-3", "commit-3-commands"]),
        bug("RE-09", "students", "a success reply of an earlier leadership is counted")
            .without(Rule::RepliesOfThisTerm)
            .breaks(Property::LeaderCompleteness)
            .on(&["old-answer-5"]),
        bug("RE-10", "copycat", "match_index is not reset on election")
            .with(Change::After(match_survives))
            .breaks(Property::CommittedOnMajority)
            .on(&["old-match-5"]),
        bug("RE-11", "CCF", "a refusal is handled like a success")
            .with(Change::Input(refusal_is_success))
            .breaks(Property::CommittedOnMajority)
            .on(&["commit-3"]),
    ]
}

/// Keeps `match_index` across leaderships.
fn match_survives(moment: &Moment<'_>, outcome: Outcome<'_>) {
    match (&moment.before.role, &mut outcome.node.role) {
        (Role::Leader(_), Role::Leader(_)) => {}
        (Role::Leader(earlier), _) => {
            let known = earlier.followers.iter().map(|(id, f)| (*id, f.match_index));
            *outcome.memory = known.collect();
        }
        (_, Role::Leader(leadership)) => {
            for (follower, progress) in &mut leadership.followers {
                let last = outcome.node.log.last_index();
                let kept = outcome.memory.get(follower).copied().unwrap_or_default();
                progress.match_index = kept.min(last);
                progress.next_index = progress.next_index.max(progress.match_index.next());
            }
        }
        _ => {}
    }
}

fn commitment() -> Vec<Mutant> {
    let stops_at_older_term = |moment: &Moment<'_>, answer: bool| {
        let next = moment.before.log.term_at(moment.before.commit_index.next());
        answer && next == TermAt::Present(moment.before.current_term)
    };
    let figure_8 = "the leader commits an older term's entry by counting replicas (Figure 8)";
    vec![
        bug("CO-01", "LogCabin, PySyncObj, async-raft, NATS", figure_8)
            .without(Rule::CommitOwnTermOnly)
            .breaks(Property::OwnTermCommit)
            .on(&["commit-3"]),
        bug("CO-01b", "the same", "the same, to the lost entry")
            .with(Change::Answer(Rule::CommitOwnTermOnly, |_, _| true))
            .breaks(Property::LeaderCompleteness)
            .on(&["figure-8-end-3"]),
        bug("CO-03", "etcd, cockroach", "commits although the consistency check failed")
            .without(Rule::CommitIfConsistent)
            .breaks(Property::StateMachineSafety)
            .on(&["commit-3", "commit-3-commands"]),
        bug("CO-04", "PySyncObj, etcd", "a follower's commit_index may go down")
            .without(Rule::CommitNeverDecreases)
            .breaks(Property::Monotonic)
            .on(&["replication-3"]),
        bug("CO-05", "openraft", "the commit quorum is off by one, and the election quorum too")
            .without(Rule::CommitQuorum)
            .without(Rule::ElectionQuorum)
            .breaks(Property::CommittedOnMajority)
            .on(&["election-2"]),
        bug("CO-06", "RaftOS", "the commit scan stops at the first older-term entry")
            .with(Change::Answer(Rule::CommitOwnTermOnly, stops_at_older_term))
            .breaks(Property::CommitNotStalled)
            .on(&["replication-3"]),
    ]
}

fn persistence() -> Vec<Mutant> {
    let not_for_entries = |moment: &Moment<'_>, answer: bool| {
        let entries =
            matches!(moment.input, Input::Receive { message: Message::AppendEntries(_), .. });
        answer && !entries
    };
    vec![
        bug("PE-01", "hashicorp", "the term is durable, the vote is not")
            .without(Rule::PersistVote)
            .breaks(Property::ElectionSafety)
            .on(&["election-3"]),
        bug("PE-02", "PySyncObj", "term and vote are volatile")
            .without(Rule::PersistTerm)
            .breaks(Property::ElectionSafety)
            .on(&["election-3"]),
        bug("PE-03", "tikv, camunda, yugabyte", "acknowledges before the entry is durable")
            .with(Change::Answer(Rule::ReplyWaitsForItsWrite, not_for_entries))
            .breaks(Property::CommittedOnMajority)
            .on(&["persistence-3"]),
        bug("PE-04", "etcd", "the leader counts its own entry before it is durable")
            .without(Rule::LeaderCountsItsDisk)
            .breaks(Property::CommittedOnMajority)
            .on(&["persistence-3"]),
        bug(
            "PE-06+RE-01",
            "openraft",
            "truncates unconditionally, and not in one write with the append",
        )
        .with(Change::After(truncates_first))
        .without(Rule::KeepAgreeing)
        .breaks(Property::CommittedOnMajority)
        .on(&["persistence-2"]),
        bug(
            "PE-07",
            "hashicorp, openraft, redisraft",
            "the snapshot's base is not restored with the log",
        )
        .with(Change::Start(forgets_base))
        .breaks(Property::StateMachineSafety)
        .on(&["snapshot-crash-3"]),
        bug("PE-11", "etcd", "the write of an overwritten entry vouches for its index (ABA)")
            .without(Rule::DurableByMark)
            .breaks(Property::DiskIsFact)
            .on(&["persistence-3", "persistence-3-terms"]),
        bug(
            "PE-12",
            "derived from etcd",
            "RequestVote leaves before term and log tail are durable",
        )
        .without(Rule::RequestVoteWaitsForDisk)
        .breaks(Property::LeaderCompleteness)
        .on(&["persistence-3", "persistence-3-terms"]),
        bug("PE-13", "derived", "a repeated AppendEntries is acknowledged before the disk has it")
            .without(Rule::ReplyWaitsForEarlierWrites)
            .breaks(Property::CommittedOnMajority)
            .on(&["persistence-3", "persistence-3-repeats"]),
    ]
}

fn forgets_base(node: &mut Node) {
    if node.log.base().index > Index::ZERO {
        node.log = Log::new(Snapshot::none(), node.log.entries().to_vec());
        (node.commit_index, node.last_applied, node.apply_requested) = Default::default();
    }
}

/// Writes a truncation as a write of its own, before the entries that follow it.
pub(super) fn truncates_first(moment: &Moment<'_>, outcome: Outcome<'_>) {
    let Some(Effect::Persist { mark, write: Write { log: Some(log), .. } }) =
        outcome.effects.first_mut()
    else {
        return;
    };
    let LogWrite::Append { first, entries } = log else {
        return;
    };
    if *first > moment.before.log.last_index() {
        return;
    }
    let (first, old) = (*first, *mark);
    let write = LogWrite::Append { first, entries: std::mem::take(entries) };
    let mark = old.next();
    let raise = |other: &mut Mark| *other = if *other == old { mark } else { *other };
    outcome.node.disk.issued = mark;
    outcome.node.disk.unsynced.iter_mut().for_each(|part| raise(&mut part.mark));
    for effect in outcome.effects.iter_mut() {
        if let Effect::Send { after: Some(after), .. } = effect {
            raise(after);
        }
    }
    let write = Write { vote: None, log: Some(write) };
    outcome.effects.insert(1, Effect::Persist { mark, write });
}

fn snapshots() -> Vec<Mutant> {
    let any_entry = |moment: &Moment<'_>, answer: bool| match moment.input {
        Input::Receive { message: Message::InstallSnapshot(request), .. } => {
            let here = moment.before.log.term_at(request.snapshot.last_included_index);
            matches!(here, TermAt::Present(_))
        }
        _ => answer,
    };
    vec![
        bug("SN-01", "WRaft", "prev_log_index 0 is accepted though entries are compacted")
            .without(Rule::SkipCompacted)
            .breaks(Property::LogMatching)
            .on(&["snapshot-2"]),
        bug(
            "SN-02",
            "WRaft, RedisRaft, DaosRaft",
            "an empty AppendEntries instead of the snapshot",
        )
        .with(Change::After(empty_instead_of_snapshot))
        .breaks(Property::CanRecover)
        .on(&["recover-3-snapshot"]),
        bug("SN-02+SN-01", "WRaft", "the same, and its commit index is believed")
            .with(Change::After(empty_instead_of_snapshot))
            .without(Rule::SkipCompacted)
            .with(Change::Value(Rule::FollowerCommit, super::attacks::leader_commit))
            .breaks(Property::StateMachineSafety)
            .on(&["snapshot-3"]),
        bug("SN-03", "WRaft", "InstallSnapshot sets current_term to the snapshot's term")
            .with(Change::After(takes_the_snapshots_term))
            .breaks(Property::Monotonic)
            .on(&["snapshot-3"]),
        bug("SN-04", "openraft, NuRaft", "an older snapshot is installed over newer state")
            .without(Rule::IgnoreOldSnapshot)
            .breaks(Property::StateMachineSafety)
            .on(&["snapshot-3", "snapshot-3-two"]),
        bug(
            "SN-05",
            "hashicorp, openraft, WRaft",
            "a conflicting entry stays at last_included_index",
        )
        .with(Change::Answer(Rule::RetainAfterSnapshot, any_entry))
        .breaks(Property::SnapshotIsPrefix)
        .on(&["snapshot-3"]),
        bug("SN-07", "students", "compacts beyond what is committed")
            .with(Change::Input(snapshot_of_the_whole_log))
            .without(Rule::SnapshotOnlyApplied)
            .breaks(Property::Monotonic)
            .on(&["snapshot-3"]),
        bug("SN-08", "etcd", "a snapshot's acknowledgement credits the leader's last index")
            .without(Rule::SnapshotAckCoversBase)
            .breaks(Property::CommittedOnMajority)
            .on(&["snapshot-3"]),
        bug("SN-10", "etcd", "a follower stays in probe after a snapshot at the tip")
            .with(Change::After(stays_in_probe))
            .breaks(Property::CanRecover)
            .on(&["recover-3-snapshot"]),
    ]
}

fn empty_instead_of_snapshot(moment: &Moment<'_>, outcome: Outcome<'_>) {
    let leader_commit = moment.before.commit_index;
    for effect in outcome.effects {
        if let Effect::Send { message, .. } = effect
            && let Message::InstallSnapshot(request) = message
        {
            let (term, read_round) = (request.term, request.read_round);
            let (prev_log, entries) = (LogPosition::default(), Vec::new());
            let empty = AppendEntries { term, prev_log, entries, leader_commit, read_round };
            *message = Message::AppendEntries(empty);
        }
    }
}

fn takes_the_snapshots_term(moment: &Moment<'_>, outcome: Outcome<'_>) {
    let Input::Receive { message: Message::InstallSnapshot(request), .. } = moment.input else {
        return;
    };
    if outcome.node.log.base().index == moment.before.log.base().index {
        return;
    }
    outcome.node.current_term = request.snapshot.last_included_term;
    if let Some(Effect::Persist { write, .. }) = outcome.effects.first_mut() {
        let (current_term, voted_for) = (outcome.node.current_term, outcome.node.voted_for);
        write.vote = Some(raft_core::VoteRecord { current_term, voted_for });
    }
}

fn snapshot_of_the_whole_log(node: &Node, input: Input) -> Input {
    let Input::SnapshotTaken { .. } = input else {
        return input;
    };
    let handle: Bytes = encode(&unfolded(&node.log));
    Input::SnapshotTaken { index: node.log.last_index(), handle }
}

fn stays_in_probe(moment: &Moment<'_>, outcome: Outcome<'_>) {
    let Input::Receive { from, message } = moment.input else {
        return;
    };
    let after_snapshot = matches!(message, Message::InstallSnapshotReply(_));
    let (base, last) = (outcome.node.log.base().index, outcome.node.log.last_index());
    let (Role::Leader(earlier), Role::Leader(now)) = (&moment.before.role, &mut outcome.node.role)
    else {
        return;
    };
    let (Some(earlier), Some(now)) = (earlier.followers.get(from), now.followers.get_mut(from))
    else {
        return;
    };
    if after_snapshot && now.match_index == last {
        now.pace = Pace::Probe;
    } else if earlier.pace == Pace::Probe
        && now.match_index.next() == earlier.next_index
        && now.match_index == base
        && base > Index::ZERO
    {
        (now.pace, now.next_index) = (Pace::Probe, earlier.next_index);
        outcome.effects.retain(|effect| !matches!(effect, Effect::Send { to, .. } if to == from));
    }
}

fn reads() -> Vec<Mutant> {
    vec![
        bug("RD-01", "Xraft-KV, etcd, consul", "reads are answered without confirming leadership")
            .without(Rule::ReadNeedsQuorum)
            .breaks(Property::Reads)
            .on(&["reads-3"]),
        bug("RD-02", "etcd, tikv, redisraft", "reads before the leader's first own-term commit")
            .without(Rule::ReadNeedsOwnCommit)
            .breaks(Property::Reads)
            .on(&["reads-3"]),
        bug("RD-03", "etcd", "acknowledgements of an earlier round count for a read")
            .without(Rule::ReadNeedsLaterRound)
            .breaks(Property::Reads)
            .on(&["reads-3"]),
        bug("RD-11", "etcd, tikv", "a read is answered before its index is applied")
            .without(Rule::ReadWaitsForApply)
            .breaks(Property::Reads)
            .on(&["reads-3"]),
        bug("RD-12", "", "a read that arrives while others wait shares their round")
            .with(Change::After(reads_share_a_round))
            .breaks(Property::Reads)
            .on(&["reads-3-rounds"])
            .over_any_network(),
    ]
}

/// Begins a new round only if no read waits. An answer that is older than a read then proves for it
/// that its leader still leads.
fn reads_share_a_round(moment: &Moment<'_>, outcome: Outcome<'_>) {
    let (Role::Leader(before), Role::Leader(after)) = (&moment.before.role, &mut outcome.node.role)
    else {
        return;
    };
    if before.reads.is_empty() || after.reads.len() <= before.reads.len() {
        return;
    }
    after.read_round = before.read_round;
    if let Some(read) = after.reads.back_mut() {
        read.round = before.read_round;
    }
    for effect in outcome.effects {
        match effect {
            Effect::Send { message: Message::AppendEntries(request), .. } => {
                request.read_round = before.read_round;
            }
            Effect::Send { message: Message::InstallSnapshot(request), .. } => {
                request.read_round = before.read_round;
            }
            _ => {}
        }
    }
}
