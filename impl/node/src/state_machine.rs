//! What a user of this library replicates.

use std::io::{Read, Write};

use raft_core::{Bytes, Entry, Index};

/// Why a state machine cannot go on. The node stops when it sees one.
pub type StateMachineError = Box<dyn std::error::Error + Send + Sync>;

/// A deterministic state machine that reflects a prefix of the log.
///
/// The same entries must lead to the same state and the same answers on every server: no clock, no
/// randomness, nothing local. The node calls it from one thread, in log order, without gap or
/// repetition. What it keeps on disk may lag behind: after a crash it is asked where it stands, and
/// given the entries from there on again.
pub trait StateMachine: Send + 'static {
    /// The last index whose entry the state reflects; after a restart, the last one that survived.
    fn applied(&self) -> Index;

    /// Applies consecutive entries and answers each of them. The first entry has index `first`,
    /// which is the one after [`applied`](StateMachine::applied). A blank entry
    /// ([`Payload::Noop`](raft_core::Payload::Noop)) changes nothing but `applied`; its answer is
    /// ignored.
    ///
    /// A command that makes no sense is *not* an error: it is applied, as nothing, on every server
    /// alike, and the answer says so.
    ///
    /// # Errors
    ///
    /// The state cannot be kept, for example because the disk is full. The node stops.
    fn apply(&mut self, first: Index, entries: &[Entry]) -> Result<Vec<Bytes>, StateMachineError>;

    /// A view of the state as it is now, which stays as it is while later entries are applied.
    ///
    /// # Errors
    ///
    /// As for [`apply`](StateMachine::apply).
    fn snapshot(&self) -> Result<Box<dyn SnapshotView>, StateMachineError>;

    /// Replaces the state by what a [`SnapshotView`] wrote, which reflects the log up to `index`.
    /// A crash before the next [`sync`](StateMachine::sync) leaves either the old or the new state;
    /// the node has the snapshot still.
    ///
    /// # Errors
    ///
    /// As for [`apply`](StateMachine::apply), or the data is not what a view writes.
    fn restore(&mut self, index: Index, data: &mut dyn Read) -> Result<(), StateMachineError>;

    /// Makes the state durable, as far as it is applied. Called now and then and before a clean
    /// end; the log makes every entry durable anyway, so this only shortens the next start.
    ///
    /// # Errors
    ///
    /// As for [`apply`](StateMachine::apply).
    fn sync(&mut self) -> Result<(), StateMachineError>;
}

/// A state that no longer changes.
pub trait SnapshotView: Send {
    /// The last index whose entry it reflects.
    fn index(&self) -> Index;

    /// Writes it out. Equal states write equal bytes, on every server.
    ///
    /// # Errors
    ///
    /// Whatever `out` or the storage of the state report.
    fn write_to(&self, out: &mut dyn Write) -> Result<(), StateMachineError>;
}
