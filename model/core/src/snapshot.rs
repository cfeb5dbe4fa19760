//! Log compaction (paper, section 7).
//!
//! A snapshot is part of the log's state: `last_included_index` and its term, with a handle to the
//! data, at the base of the log. The transport cuts the data into chunks (Figure 13, steps 2 to 4).

use crate::effect::{Effect, HaltReason, LogWrite};
use crate::log::{Snapshot, TermAt};
use crate::message::{InstallOutcome, InstallSnapshot, InstallSnapshotReply, Message};
use crate::node::Unsynced;
use crate::rules::{Rule, Rules};
use crate::step::Step;
use crate::types::{Bytes, Index, NodeId};

impl<R: Rules> Step<'_, R> {
    /// Compacts the log up to a snapshot that the shell has stored of its own state machine.
    pub(crate) fn snapshot_taken(&mut self, index: Index, handle: Bytes) {
        let overtaken = index <= self.node.log.base().index;
        if self.holds(Rule::OwnSnapshotNeverBack, overtaken) {
            return;
        }
        let applied = index <= self.node.last_applied;
        let TermAt::Present(last_included_term) = self.node.log.term_at(index) else {
            self.halt(HaltReason::SnapshotUnapplied);
            return;
        };
        if !self.holds(Rule::SnapshotOnlyApplied, applied) {
            self.halt(HaltReason::SnapshotUnapplied);
            return;
        }
        let snapshot = Snapshot { last_included_index: index, last_included_term, handle };
        self.node.log.compact(snapshot.clone());
        self.write_log(LogWrite::Compact(snapshot));
    }

    /// Handles InstallSnapshot (Figure 13, "Receiver implementation"), with the whole snapshot in
    /// one message.
    pub(crate) fn install_snapshot(&mut self, leader: NodeId, request: InstallSnapshot) {
        let InstallSnapshot { term, snapshot, read_round } = request;
        let last_included_index = snapshot.last_included_index;
        let mut outcome = InstallOutcome::StaleTerm;
        if self.holds(Rule::RefuseStaleLeader, term >= self.node.current_term) {
            if !self.follow(leader) {
                return;
            }
            self.accept_snapshot(snapshot);
            outcome = InstallOutcome::Covered { last_included_index };
        }
        let term = self.node.current_term;
        let reply = InstallSnapshotReply { term, outcome, read_round };
        self.reply(leader, Message::InstallSnapshotReply(reply));
    }

    /// Does steps 5 to 8 of Figure 13.
    fn accept_snapshot(&mut self, snapshot: Snapshot) {
        let base = snapshot.last_included_index;
        if self.holds(Rule::IgnoreOldSnapshot, base <= self.node.commit_index) {
            return;
        }
        let agrees = self.node.log.term_at(base) == TermAt::Present(snapshot.last_included_term);
        if !self.holds(Rule::RetainAfterSnapshot, agrees) {
            self.node.log.install(snapshot.clone());
            let mark = self.write_log(LogWrite::Install(snapshot.clone()));
            // The log consists of the snapshot now. It is durable when the snapshot is.
            self.node.disk.unsynced = [Unsynced { first: base, mark }].into();
            self.node.apply_requested = base;
            if self.holds(Rule::RestoreFromSnapshot, true) {
                self.effect(Effect::Restore { snapshot, after: mark });
            }
        }
        self.raise_commit(base);
    }
}
