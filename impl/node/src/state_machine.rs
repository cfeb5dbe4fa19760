//! The state machine that a user of this library replicates.

use std::io::{Read, Write};

use raft_core::{Bytes, Entry, Index};

/// The reason why a state machine cannot continue. The node stops on such an error.
pub type StateMachineError = Box<dyn std::error::Error + Send + Sync>;

/// A deterministic state machine that reflects a prefix of the log.
///
/// The same entries must lead to the same state and the same answers on every server. So the state
/// must not depend on clocks, random numbers or anything else that is local. The node makes one
/// call at a time, in log order, without gaps or repetitions. The state on the disk may be older:
/// after a crash the node asks for [`applied`](StateMachine::applied), and applies the entries
/// after that index again.
pub trait StateMachine: Send + 'static {
    /// Returns the last index that the state reflects. After a restart, this is the last index that
    /// survived.
    fn applied(&self) -> Index;

    /// Applies consecutive entries and returns one answer for each. The first entry has index
    /// `first`, which is the one after [`applied`](StateMachine::applied). A blank entry
    /// ([`Payload::Noop`](raft_core::Payload::Noop)) changes nothing but `applied`, and its answer
    /// is ignored.
    ///
    /// An invalid command is *not* an error. Every server applies it without a change of the state,
    /// and the answer reports that.
    ///
    /// # Errors
    ///
    /// The state cannot be stored, for example because the disk is full. The node stops.
    fn apply(&mut self, first: Index, entries: &[Entry]) -> Result<Vec<Bytes>, StateMachineError>;

    /// Returns a view of the current state. The view does not change while later entries are
    /// applied.
    ///
    /// # Errors
    ///
    /// As for [`apply`](StateMachine::apply).
    fn snapshot(&self) -> Result<Box<dyn SnapshotView>, StateMachineError>;

    /// Replaces the state by the data that a [`SnapshotView`] wrote. The data reflects the log up
    /// to `index`. After a crash before the next [`sync`](StateMachine::sync), the state must be
    /// either the old or the new one. The node still has the snapshot.
    ///
    /// # Errors
    ///
    /// As for [`apply`](StateMachine::apply), or the data was not written by a view.
    fn restore(&mut self, index: Index, data: &mut dyn Read) -> Result<(), StateMachineError>;

    /// Makes the applied state durable. The node calls this from time to time and before a clean
    /// end. The log makes every entry durable anyway, so this only shortens the next start.
    ///
    /// # Errors
    ///
    /// As for [`apply`](StateMachine::apply).
    fn sync(&mut self) -> Result<(), StateMachineError>;
}

/// A view of a state, which no longer changes.
pub trait SnapshotView: Send {
    /// Returns the last index that the view reflects.
    fn index(&self) -> Index;

    /// Writes the state to `out`. Equal states must produce equal bytes, on every server.
    ///
    /// # Errors
    ///
    /// Any error of `out` or of the storage of the state.
    fn write_to(&self, out: &mut dyn Write) -> Result<(), StateMachineError>;
}
