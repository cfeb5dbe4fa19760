//! The removal of each rule, as if its line were not in the code.

use raft_core::Rule;

use super::{Change, Moment, Mutant, Origin};

/// Returns the change that removes a rule. A rule that permits something then permits everything, a
/// rule that does something does nothing, and a rule that prescribes a number lets the nearest
/// naive number through.
pub(crate) fn of(rule: Rule) -> Change {
    const YES: fn(&Moment<'_>, bool) -> bool = |_, _| true;
    const NO: fn(&Moment<'_>, bool) -> bool = |_, _| false;
    const LAST_INDEX: fn(&Moment<'_>, u64) -> u64 = |moment, _| moment.before.log.last_index().0;
    const HALF: fn(&Moment<'_>, u64) -> u64 =
        |moment, _| moment.before.config.voters.len() as u64 / 2;
    const EVERYTHING: fn(&Moment<'_>, u64) -> u64 = |_, _| u64::MAX;
    const NOTHING: fn(&Moment<'_>, u64) -> u64 = |_, _| 0;
    const LEADER_COMMIT: fn(&Moment<'_>, u64) -> u64 = super::attacks::leader_commit;
    match rule {
        Rule::RefuseStaleCandidate
        | Rule::OneVotePerTerm
        | Rule::CandidateUpToDate
        | Rule::CountVotesOfThisTerm
        | Rule::RefuseStaleLeader
        | Rule::PrevTermMatches
        | Rule::CommitIfConsistent
        | Rule::CommitNeverDecreases
        | Rule::RepliesOfThisTerm
        | Rule::MatchNeverDecreases
        | Rule::CommitOwnTermOnly
        | Rule::SnapshotOnlyApplied
        | Rule::ReadNeedsOwnCommit
        | Rule::ReadNeedsQuorum
        | Rule::ReadWaitsForApply => Change::Answer(rule, YES),
        Rule::AdoptHigherTerm
        | Rule::ForgetOldVotes
        | Rule::CandidateYieldsToLeader
        | Rule::NoopAtTermStart
        | Rule::PrevEntryPresent
        | Rule::SkipCompacted
        | Rule::TruncateConflict
        | Rule::KeepAgreeing
        | Rule::PersistTerm
        | Rule::PersistVote
        | Rule::OwnVoteWaitsForDisk
        | Rule::RequestVoteWaitsForDisk
        | Rule::ReplyWaitsForItsWrite
        | Rule::ReplyWaitsForEarlierWrites
        | Rule::DurableByMark
        | Rule::AppliedIsCommitted
        | Rule::OwnSnapshotNeverBack
        | Rule::SendSnapshotIfCompacted
        | Rule::IgnoreOldSnapshot
        | Rule::RetainAfterSnapshot
        | Rule::RestoreFromSnapshot
        | Rule::ReadsEndWithLeadership => Change::Answer(rule, NO),
        Rule::ElectionQuorum | Rule::CommitQuorum => Change::Value(rule, HALF),
        Rule::ResetProgress
        | Rule::MatchFromRequest
        | Rule::LeaderCountsItsDisk
        | Rule::SnapshotAckCoversBase => Change::Value(rule, LAST_INDEX),
        Rule::ApplyOnlyCommitted | Rule::ApplyOnlyDurable => Change::Value(rule, EVERYTHING),
        Rule::NextAboveMatch | Rule::ReadNeedsLaterRound => Change::Value(rule, NOTHING),
        Rule::FollowerCommit => Change::Value(rule, LEADER_COMMIT),
    }
}

/// Returns the removals of all rules.
pub(super) fn all() -> Vec<Mutant> {
    Rule::ALL.iter().map(|rule| of_rule(*rule)).collect()
}

fn of_rule(rule: Rule) -> Mutant {
    let (name, sentence) = (rule.name(), rule.text().sentence);
    let mutant = Mutant::new(Origin::Removal, &name, "", sentence).without(rule);
    let mutant = mutant.on(configs(rule));
    match reason_to_survive(rule) {
        Some(reason) => mutant.survives(reason),
        None => mutant,
    }
}

/// Returns the configurations in which the removal of a rule should show.
fn configs(rule: Rule) -> &'static [&'static str] {
    match rule {
        Rule::AppliedIsCommitted | Rule::RestoreFromSnapshot => {
            &["snapshot-crash-3", "recover-3-snapshot"]
        }
        Rule::SendSnapshotIfCompacted | Rule::RetainAfterSnapshot => {
            &["snapshot-3", "recover-3-snapshot", "snapshot-crash-3"]
        }
        Rule::SnapshotOnlyApplied => &["snapshot-crash-3"],
        Rule::ReadsEndWithLeadership => &["reads-3"],
        Rule::OwnVoteWaitsForDisk => &["persistence-3"],
        Rule::ApplyOnlyDurable => &["snapshot-queue-3"],
        Rule::OwnSnapshotNeverBack => &["snapshot-late-3"],
        Rule::PrevEntryPresent | Rule::FollowerCommit | Rule::ApplyOnlyCommitted => {
            &["replication-3"]
        }
        Rule::NoopAtTermStart => &["recover-3"],
        _ => &["election-3", "commit-3", "replication-3", "recover-3"],
    }
}

fn reason_to_survive(rule: Rule) -> Option<&'static str> {
    match rule {
        Rule::SnapshotOnlyApplied => Some(
            "guards against the caller: the model's state machine takes snapshots of what it has \
             applied and of nothing else (SN-07 breaks both)",
        ),
        _ => None,
    }
}
