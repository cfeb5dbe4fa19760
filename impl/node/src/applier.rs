//! The state machine's side: does its tasks in order, one call at a time.

use std::time::Instant;

use raft_core::{Bytes, Index};

use crate::metrics::SnapshotOperation;
use crate::shell::Task;
use crate::snapshot_store::{SnapshotError, SnapshotName, SnapshotStore};
use crate::state_machine::{SnapshotView, StateMachine, StateMachineError};

/// How many entries one call to the state machine brings at most, where tasks are joined.
const ENTRIES_AT_ONCE: usize = 1024;

/// What the state machine has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The last index that it reflects.
    pub index: Index,
    /// The answers to the entries that end there; none after a restore.
    pub answers: Vec<Bytes>,
}

/// Why the state machine cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It says so itself.
    #[error("the state machine failed: {0}")]
    StateMachine(StateMachineError),
    /// The snapshot that it should become cannot be read.
    #[error("a snapshot cannot be restored: {0}")]
    Snapshot(#[from] SnapshotError),
    /// It broke its contract.
    #[error("the state machine gave {answers} answers to {entries} entries, or reflects {applied}")]
    Contract {
        /// How many it gave.
        answers: usize,
        /// How many it should have given.
        entries: usize,
        /// What it says it reflects.
        applied: Index,
    },
}

/// A state machine and the snapshots that it can become.
pub struct Applier {
    machine: Box<dyn StateMachine>,
    snapshots: SnapshotStore,
}

impl Applier {
    /// A state machine beside the directory of its snapshots.
    pub fn new(machine: Box<dyn StateMachine>, snapshots: SnapshotStore) -> Applier {
        Applier { machine, snapshots }
    }

    /// The last index that the state machine reflects.
    pub fn applied(&self) -> Index {
        self.machine.applied()
    }

    /// Does one task.
    ///
    /// # Errors
    ///
    /// The node has to stop.
    pub fn run(&mut self, task: Task) -> Result<Done, ApplyError> {
        match task {
            Task::Apply { first, entries } => {
                let answers =
                    self.machine.apply(first, &entries).map_err(ApplyError::StateMachine)?;
                let (index, applied) = (first.prev().plus(entries.len()), self.machine.applied());
                if answers.len() != entries.len() || applied != index {
                    let (answers, entries) = (answers.len(), entries.len());
                    return Err(ApplyError::Contract { answers, entries, applied });
                }
                Ok(Done { index, answers })
            }
            Task::Restore(snapshot) => {
                let name = SnapshotName::of(&snapshot)?;
                self.verify_and_restore(name, true)?;
                Ok(Done { index: snapshot.last_included_index, answers: Vec::new() })
            }
        }
    }

    /// Becomes what a snapshot says, as fast as possible. The file is compared with its checksum
    /// first, so that a damaged one never replaces anything.
    ///
    /// # Errors
    ///
    /// The file or the state machine fail.
    pub fn restore(&mut self, name: SnapshotName) -> Result<(), ApplyError> {
        self.verify_and_restore(name, false)
    }

    fn verify_and_restore(&mut self, name: SnapshotName, paced: bool) -> Result<(), ApplyError> {
        let began = Instant::now();
        self.snapshots.verify(name)?;
        let data = self.snapshots.read(name)?;
        let mut data = if paced { data.paced(&self.snapshots) } else { data };
        let index = name.last_included.index;
        self.machine.restore(index, &mut data).map_err(ApplyError::StateMachine)?;
        SnapshotOperation::Restore.done(began, name.length);
        Ok(())
    }

    /// A view of the state as it is.
    ///
    /// # Errors
    ///
    /// The state machine fails.
    pub fn view(&self) -> Result<Box<dyn SnapshotView>, ApplyError> {
        self.machine.snapshot().map_err(ApplyError::StateMachine)
    }

    /// Makes the state durable.
    ///
    /// # Errors
    ///
    /// The state machine fails.
    pub fn sync(&mut self) -> Result<(), ApplyError> {
        self.machine.sync().map_err(ApplyError::StateMachine)
    }
}

/// Joins a task to the one before it, if both apply entries and the result is not too long.
pub fn join(earlier: &mut Task, later: Task) -> Option<Task> {
    if let Task::Apply { entries, .. } = earlier
        && let Task::Apply { entries: more, .. } = &later
        && entries.len() + more.len() <= ENTRIES_AT_ONCE
    {
        entries.extend(more.iter().cloned());
        return None;
    }
    Some(later)
}
