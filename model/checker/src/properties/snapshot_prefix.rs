//! **Snapshot = prefix** (paper, section 7 and Figure 13): a snapshot stands for exactly the prefix
//! of the log that it replaces.
//!
//! Exactly: after a server accepts an InstallSnapshot (one that reaches beyond its commit index),
//! the term at the last included index is the snapshot's. And a snapshot at the base of a log on a
//! disk, or one from which a state machine is restored, is the result of applying exactly the
//! entries up to its last included index.
//!
//! Witness: a follower replaced its log by a snapshot.

use raft_core::{Index, Log, Message, Node, Snapshot, TermAt};
use raft_trace::{Action, Envelope};

use crate::cluster::snapshot_data::decode;

/// Returns whether an accepted snapshot left another term at its last index.
pub fn broken_by_install(offered: &Snapshot, commit_before: Index, after: &Node) -> bool {
    let index = offered.last_included_index;
    let accepted = index > commit_before && after.commit_index >= index;
    accepted && after.log.term_at(index) != TermAt::Present(offered.last_included_term)
}

/// Returns whether a snapshot's data does not fit its last included index and term.
pub fn broken_by_contents(snapshot: &Snapshot) -> bool {
    let state_machine = decode(&snapshot.handle);
    state_machine.len() as u64 != snapshot.last_included_index.0
        || state_machine.last().map(|entry| entry.term) != Some(snapshot.last_included_term)
}

/// Returns whether the data of the snapshot at the base of a log does not fit its last included
/// index and term.
pub fn broken_at_base(log: &Log) -> bool {
    log.base().index > Index::ZERO && broken_by_contents(log.snapshot())
}

/// Returns whether a snapshot from the leader became the base of the log.
pub fn witnessed(before: &Node, after: &Node, action: &Action) -> bool {
    let is_install = |envelope: &Envelope| matches!(envelope.message, Message::InstallSnapshot(_));
    matches!(action, Action::Deliver(envelope) if is_install(envelope))
        && after.log.base().index > before.log.base().index
}
