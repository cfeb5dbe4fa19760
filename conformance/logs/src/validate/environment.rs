//! The environment of one server: which reports its disk and its state machine can make, and from
//! which states it can restart. It is the environment of the model (`cluster::server` of
//! raft-checker), but it makes no choices.
//!
//! The disk takes writes in the order in which they were issued. After a crash, the disk holds all
//! writes that were reported durable, and any number of the oldest later ones. The state machine
//! does its tasks in the order in which they were given. After a crash, it reflects at least the
//! snapshot at the base of the log, and at most the tasks that it was given.

use std::collections::VecDeque;

use raft_core::{Effect, Index, Input, Mark, PersistentState, Write};

use super::difference::first_difference;

/// A rule of the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvironmentRule {
    /// About a log's first start.
    FirstStartIsBlank,
    /// About the servers of a cluster.
    SameCluster,
    /// About a start's `state`.
    RestartFromDisk,
    /// About a start's `applied`.
    RestartApplied,
    /// About the states from which a server can start.
    RestartIsSound,
    /// About `durable`.
    DurableWasIssued,
    /// About `applied`.
    AppliedWasAsked,
    /// About `snapshot_taken`.
    SnapshotOfApplied,
    /// About a server that has halted.
    HaltedStops,
}

impl EnvironmentRule {
    /// Returns the name of the rule in reports.
    pub const fn name(self) -> &'static str {
        match self {
            EnvironmentRule::FirstStartIsBlank => "first-start-is-blank",
            EnvironmentRule::SameCluster => "same-cluster",
            EnvironmentRule::RestartFromDisk => "restart-from-disk",
            EnvironmentRule::RestartApplied => "restart-applied",
            EnvironmentRule::RestartIsSound => "restart-is-sound",
            EnvironmentRule::DurableWasIssued => "durable-was-issued",
            EnvironmentRule::AppliedWasAsked => "applied-was-asked",
            EnvironmentRule::SnapshotOfApplied => "snapshot-of-applied",
            EnvironmentRule::HaltedStops => "halted-stops",
        }
    }

    /// Returns the rule as a sentence.
    pub const fn sentence(self) -> &'static str {
        match self {
            EnvironmentRule::FirstStartIsBlank => {
                "A server that starts for the first time has a blank disk and a blank state machine."
            }
            EnvironmentRule::SameCluster => {
                "A server keeps its id, and all servers have the same voters, at every start."
            }
            EnvironmentRule::RestartFromDisk => {
                "A server restarts from what its disk holds: all writes that were reported durable, \
                 and of those after them any number of the oldest."
            }
            EnvironmentRule::RestartApplied => {
                "At a restart the state machine reflects at least the snapshot at the base of the \
                 log, and at most what it was asked to apply before."
            }
            EnvironmentRule::RestartIsSound => {
                "A server does not start from a disk or a state machine that contradicts itself."
            }
            EnvironmentRule::DurableWasIssued => {
                "The disk reports writes that were issued, in that order, and each once."
            }
            EnvironmentRule::AppliedWasAsked => {
                "The state machine reports what it was asked to do, in that order, and each index \
                 once; a snapshot is not restored before it is the durable base of the log."
            }
            EnvironmentRule::SnapshotOfApplied => {
                "A snapshot is taken of a state that the state machine has reached."
            }
            EnvironmentRule::HaltedStops => "A server that has halted does nothing any more.",
        }
    }
}

/// A rule of the environment that was broken, with details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BrokenRule {
    pub(super) rule: EnvironmentRule,
    pub(super) detail: String,
}

fn refuse<T>(rule: EnvironmentRule, detail: String) -> Result<T, BrokenRule> {
    Err(BrokenRule { rule, detail })
}

/// A task of the state machine.
#[derive(Clone, Copy, Debug)]
enum Task {
    /// Apply the entries from the first index to the last.
    Apply(Index, Index),
    /// Restore a snapshot up to this index, once the write is durable.
    Restore(Index, Mark),
}

/// The disk and the state machine of one server.
#[derive(Debug, Default)]
pub(super) struct Environment {
    /// The durable state of the disk.
    disk: PersistentState,
    durable: Mark,
    /// Writes that are not durable yet, oldest first.
    writes: VecDeque<(Mark, Write)>,
    /// The last index that the state machine is known to reflect.
    applied: Index,
    /// The tasks that the state machine was given and has not reported as done, oldest first.
    tasks: VecDeque<Task>,
}

impl Environment {
    /// Returns the durable state of the disk.
    pub(super) fn disk(&self) -> &PersistentState {
        &self.disk
    }

    /// Returns the newest write that was reported durable.
    pub(super) fn durable(&self) -> Mark {
        self.durable
    }

    /// Returns the number of writes that are not durable yet.
    pub(super) fn under_way(&self) -> usize {
        self.writes.len()
    }

    /// Checks a report of the disk or of the state machine, and records it.
    pub(super) fn hear(&mut self, input: &Input) -> Result<(), BrokenRule> {
        match input {
            Input::Durable { mark } => self.hear_durable(*mark),
            Input::Applied { index } => self.hear_applied(*index),
            Input::SnapshotTaken { index, .. } if *index > self.applied => {
                let detail = format!("of index {index}; {} is applied", self.applied);
                refuse(EnvironmentRule::SnapshotOfApplied, detail)
            }
            _ => Ok(()),
        }
    }

    fn hear_durable(&mut self, mark: Mark) -> Result<(), BrokenRule> {
        let issued = self.writes.back().map_or(self.durable, |(mark, _)| *mark);
        if mark <= self.durable || mark > issued {
            let (durable, mark) = (self.durable.0, mark.0);
            let detail = format!("write {mark}; {durable} is durable, {} is issued", issued.0);
            return refuse(EnvironmentRule::DurableWasIssued, detail);
        }
        while let Some((_, write)) = self.writes.pop_front_if(|(waiting, _)| *waiting <= mark) {
            self.disk.write(&write);
        }
        self.durable = mark;
        Ok(())
    }

    fn hear_applied(&mut self, index: Index) -> Result<(), BrokenRule> {
        let asked = self.tasks.iter().map_while(|task| match task {
            Task::Apply(first, last) => Some((*first, *last)),
            Task::Restore(base, after) => (*after <= self.durable).then_some((*base, *base)),
        });
        let fits = |(first, last): (Index, Index)| first <= index && index <= last;
        if index <= self.applied || !asked.clone().any(fits) {
            let last = asked.last().map_or(self.applied, |(_, last)| last);
            let detail =
                format!("index {index}; {} is applied, asked for is up to {last}", self.applied);
            return refuse(EnvironmentRule::AppliedWasAsked, detail);
        }
        let is_done = |task: &mut Task| match task {
            Task::Apply(_, last) | Task::Restore(last, _) => *last <= index,
        };
        while self.tasks.pop_front_if(is_done).is_some() {}
        self.applied = index;
        Ok(())
    }

    /// Records the write or the task that a step asks for.
    pub(super) fn ask(&mut self, effect: &Effect) {
        match effect {
            Effect::Persist { mark, write } => self.writes.push_back((*mark, write.clone())),
            Effect::Apply { first, entries } => {
                self.tasks.push_back(Task::Apply(*first, first.prev().plus(entries.len())));
            }
            Effect::Restore { snapshot, after } => {
                self.tasks.push_back(Task::Restore(snapshot.last_included_index, *after));
            }
            _ => {}
        }
    }

    /// Restarts the server from `state` and `applied`, if a kill or a stop can have left them
    /// behind. Returns the number of writes that had reached the disk without being reported.
    pub(super) fn restart(
        &mut self,
        state: &PersistentState,
        applied: Index,
    ) -> Result<usize, BrokenRule> {
        let mut image = self.disk.clone();
        let mut kept = (image == *state).then_some(0);
        for (place, (_, write)) in self.writes.iter().enumerate() {
            image.write(write);
            if image == *state {
                kept = Some(place + 1);
            }
        }
        let Some(kept) = kept else {
            let detail = match first_difference("state", &self.disk, state) {
                Some(difference) => format!(
                    "{difference}; nor does any of the {} writes that were under way lead to it",
                    self.writes.len()
                ),
                None => "it differs".to_owned(),
            };
            return refuse(EnvironmentRule::RestartFromDisk, detail);
        };
        let reached = kept.checked_sub(1).map_or(self.durable, |last| self.writes[last].0);
        let base = state.log.base().index;
        let asked = self.tasks.iter().map_while(|task| match task {
            Task::Apply(_, last) => Some(*last),
            Task::Restore(base, after) => (*after <= reached).then_some(*base),
        });
        let most = asked.last().unwrap_or(self.applied).max(base);
        if applied < base || applied > most {
            let detail = format!("{applied}; it is between {base} and {most}");
            return refuse(EnvironmentRule::RestartApplied, detail);
        }
        *self = Environment::of(state.clone(), applied);
        Ok(kept)
    }

    /// Creates an environment without pending writes or tasks.
    pub(super) fn of(disk: PersistentState, applied: Index) -> Environment {
        Environment { disk, applied, ..Environment::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::{Bytes, Entry, LogWrite, Payload, Snapshot, Term, VoteRecord};

    fn entries(count: usize) -> Vec<Entry> {
        vec![Entry { term: Term(1), payload: Payload::Noop }; count]
    }

    /// Returns an environment in which the writes of terms 1, 2 and 3 were issued, one after the
    /// other.
    fn three_writes() -> Environment {
        let mut world = Environment::default();
        for term in 1..=3 {
            let vote = Some(VoteRecord { current_term: Term(term), voted_for: None });
            let write = Write { vote, log: None };
            world.ask(&Effect::Persist { mark: Mark(term), write });
        }
        world
    }

    fn durable(world: &mut Environment, mark: u64) -> Result<(), EnvironmentRule> {
        world.hear(&Input::Durable { mark: Mark(mark) }).map_err(|refused| refused.rule)
    }

    fn applied(world: &mut Environment, index: u64) -> Result<(), EnvironmentRule> {
        world.hear(&Input::Applied { index: Index(index) }).map_err(|refused| refused.rule)
    }

    fn state(term: u64) -> PersistentState {
        PersistentState { current_term: Term(term), ..PersistentState::default() }
    }

    #[test]
    fn writes_become_durable_in_order_and_once() {
        let mut world = three_writes();
        assert_eq!(durable(&mut world, 0), Err(EnvironmentRule::DurableWasIssued));
        assert_eq!(durable(&mut world, 4), Err(EnvironmentRule::DurableWasIssued));
        assert_eq!(durable(&mut world, 2), Ok(()));
        assert_eq!(world.disk().current_term, Term(2));
        assert_eq!(durable(&mut world, 2), Err(EnvironmentRule::DurableWasIssued));
        assert_eq!(durable(&mut world, 1), Err(EnvironmentRule::DurableWasIssued));
        assert_eq!(durable(&mut world, 3), Ok(()));
    }

    #[test]
    fn a_restart_finds_what_was_durable_and_a_prefix_of_the_rest() {
        for (term, kept) in [(1, Ok(0)), (2, Ok(1)), (3, Ok(2)), (0, Err(())), (4, Err(()))] {
            let mut world = three_writes();
            durable(&mut world, 1).expect("it was issued");
            let restarted = world.restart(&state(term), Index::ZERO).map_err(|_| ());
            assert_eq!(restarted, kept, "term {term}");
        }
    }

    #[test]
    fn entries_are_applied_in_order_and_once() {
        let mut world = Environment::default();
        world.ask(&Effect::Apply { first: Index(1), entries: entries(3) });
        assert_eq!(applied(&mut world, 4), Err(EnvironmentRule::AppliedWasAsked));
        assert_eq!(applied(&mut world, 2), Ok(()));
        assert_eq!(applied(&mut world, 2), Err(EnvironmentRule::AppliedWasAsked));
        assert_eq!(applied(&mut world, 1), Err(EnvironmentRule::AppliedWasAsked));
        world.ask(&Effect::Apply { first: Index(4), entries: entries(2) });
        assert_eq!(applied(&mut world, 5), Ok(()));
        assert_eq!(applied(&mut world, 6), Err(EnvironmentRule::AppliedWasAsked));
    }

    /// Returns an environment with three tasks: apply entry 1, restore a snapshot up to 5, apply
    /// entry 6.
    fn restoring() -> Environment {
        let mut world = three_writes();
        let snapshot = Snapshot {
            last_included_index: Index(5),
            last_included_term: Term(1),
            handle: Bytes::empty(),
        };
        world.ask(&Effect::Apply { first: Index(1), entries: entries(1) });
        world.ask(&Effect::Restore { snapshot, after: Mark(2) });
        world.ask(&Effect::Apply { first: Index(6), entries: entries(1) });
        world
    }

    #[test]
    fn a_snapshot_is_restored_whole_and_when_it_is_durable() {
        let mut world = restoring();
        assert_eq!(applied(&mut world, 5), Err(EnvironmentRule::AppliedWasAsked));
        durable(&mut world, 2).expect("it was issued");
        assert_eq!(applied(&mut world, 3), Err(EnvironmentRule::AppliedWasAsked));
        assert_eq!(applied(&mut world, 5), Ok(()));
        assert_eq!(applied(&mut world, 6), Ok(()));
    }

    #[test]
    fn a_restarted_state_machine_may_have_done_what_it_has_not_reported() {
        let restart = |kept: u64, applied: u64| {
            let mut world = restoring();
            world.restart(&state(kept), Index(applied)).map_err(|refused| refused.rule)
        };
        assert_eq!(restart(1, 1), Ok(1));
        assert_eq!(restart(1, 5), Err(EnvironmentRule::RestartApplied));
        assert_eq!(restart(2, 5), Ok(2));
        assert_eq!(restart(2, 6), Ok(2));
        assert_eq!(restart(2, 7), Err(EnvironmentRule::RestartApplied));
    }

    #[test]
    fn a_restarted_state_machine_has_at_least_the_snapshot() {
        let restart = |applied: u64| {
            let mut world = Environment::default();
            let snapshot = Snapshot {
                last_included_index: Index(5),
                last_included_term: Term(1),
                handle: Bytes::empty(),
            };
            let log = Some(LogWrite::Install(snapshot));
            let write = Write { vote: None, log };
            world.ask(&Effect::Persist { mark: Mark(1), write });
            durable(&mut world, 1).expect("it was issued");
            let state = world.disk().clone();
            world.restart(&state, Index(applied)).map_err(|refused| refused.rule)
        };
        assert_eq!(restart(4), Err(EnvironmentRule::RestartApplied));
        assert_eq!(restart(5), Ok(0));
        assert_eq!(restart(6), Err(EnvironmentRule::RestartApplied));
    }

    #[test]
    fn a_snapshot_is_taken_of_what_was_applied() {
        let mut world = Environment::default();
        world.ask(&Effect::Apply { first: Index(1), entries: entries(3) });
        applied(&mut world, 2).expect("it was asked for");
        let taken = |index| Input::SnapshotTaken { index: Index(index), handle: Bytes::empty() };
        assert!(world.hear(&taken(2)).is_ok());
        let refused = world.hear(&taken(3)).expect_err("it is not applied");
        assert_eq!(refused.rule, EnvironmentRule::SnapshotOfApplied);
    }
}
