//! Runs the state machine's tasks in order, one call at a time.

use std::time::Instant;

use raft_core::{Bytes, Index};

use crate::metrics::SnapshotOperation;
use crate::shell::Task;
use crate::snapshot_store::{SnapshotError, SnapshotName, SnapshotStore};
use crate::state_machine::{SnapshotView, StateMachine, StateMachineError};

/// The maximum number of entries in one task that was joined from several.
const ENTRIES_AT_ONCE: usize = 1024;

/// The result of a completed task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The last index that the state machine reflects.
    pub index: Index,
    /// The answers to the applied entries, the last of which has this index. Empty after a restore.
    pub answers: Vec<Bytes>,
}

/// The reason why the state machine cannot continue.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The state machine returned an error.
    #[error("the state machine failed: {0}")]
    StateMachine(StateMachineError),
    /// The snapshot to restore cannot be read.
    #[error("a snapshot cannot be restored: {0}")]
    Snapshot(#[from] SnapshotError),
    /// The state machine violated the contract of [`StateMachine`].
    #[error("the state machine gave {answers} answers to {entries} entries, or reflects {applied}")]
    Contract {
        /// The number of answers that it returned.
        answers: usize,
        /// The number of entries that it was given.
        entries: usize,
        /// The last index that it claims to reflect.
        applied: Index,
    },
}

/// A state machine, and the store of the snapshots that it can restore.
pub struct Applier {
    machine: Box<dyn StateMachine>,
    snapshots: SnapshotStore,
}

impl Applier {
    /// Creates an applier for a state machine and the store of its snapshots.
    pub fn new(machine: Box<dyn StateMachine>, snapshots: SnapshotStore) -> Applier {
        Applier { machine, snapshots }
    }

    /// Returns the last index that the state machine reflects.
    pub fn applied(&self) -> Index {
        self.machine.applied()
    }

    /// Runs one task.
    ///
    /// # Errors
    ///
    /// After any error the node has to stop.
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

    /// Restores the state machine from a snapshot, without a rate limit. The checksum of the file
    /// is verified first, so that a damaged file never replaces the state.
    ///
    /// # Errors
    ///
    /// The file cannot be read or is damaged, or the state machine fails.
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

    /// Returns a view of the current state.
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

/// Appends the entries of `later` to `earlier`, if both tasks apply entries and the result is not
/// too long. Otherwise returns `later`.
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
