//! Commitment (paper, sections 5.3 and 5.4.2), and handing committed entries to the state machine.

use crate::effect::{Effect, HaltReason};
use crate::log::TermAt;
use crate::node::Role;
use crate::quorum::{majority, reached_by};
use crate::rules::{Rule, Rules};
use crate::step::Step;
use crate::types::{Index, Mark};

impl<R: Rules> Step<'_, R> {
    /// Advances a leader's commit index. Figure 2, Leaders: "If there exists an N such that N >
    /// commitIndex, a majority of matchIndex[i] >= N, and log[N].term == currentTerm: set
    /// commitIndex = N".
    ///
    /// Terms never decrease along a log. So if the highest index on a majority is of an older term,
    /// no lower index is of the current term either.
    pub(crate) fn advance_commit(&mut self) {
        let Role::Leader(leadership) = &self.node.role else {
            return;
        };
        let own = Index(self.value(Rule::LeaderCountsItsDisk, self.node.durable_index().0));
        let others = leadership.followers.values().map(|progress| progress.match_index);
        let quorum = majority(self.node.config.voters.len()) as u64;
        let quorum = usize::try_from(self.value(Rule::CommitQuorum, quorum)).unwrap_or(usize::MAX);
        let on_majority = reached_by(quorum, others.chain([own]));

        let own_term = TermAt::Present(self.node.current_term);
        let is_own_term = self.node.log.term_at(on_majority) == own_term;
        if on_majority > self.node.commit_index && self.holds(Rule::CommitOwnTermOnly, is_own_term)
        {
            self.raise_commit(on_majority);
        }
    }

    /// Raises the commit index. Figure 2: "commitIndex .. increases monotonically".
    pub(crate) fn raise_commit(&mut self, index: Index) {
        if self.holds(Rule::CommitNeverDecreases, index > self.node.commit_index) {
            self.node.commit_index = index;
        }
        self.request_apply();
    }

    /// Asks the shell to apply committed entries. Figure 2, All Servers: "If commitIndex >
    /// lastApplied: .. apply log[lastApplied]". Entries that are not on this server's disk yet
    /// wait: after a crash the state machine must not be ahead of the log.
    pub(crate) fn request_apply(&mut self) {
        let node = &*self.node;
        let committed = Index(self.value(Rule::ApplyOnlyCommitted, node.commit_index.0));
        let durable = Index(self.value(Rule::ApplyOnlyDurable, node.durable_index().0));
        let first = node.apply_requested.next();
        let count = committed.min(durable).since(node.apply_requested);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let entries = node.log.entries_from(first, count).to_vec();
        if !entries.is_empty() {
            self.node.apply_requested = first.prev().plus(entries.len());
            self.effect(Effect::Apply { first, entries });
        }
    }

    /// Records that the state machine has applied the entries up to `index`, which may be a part of
    /// those requested.
    pub(crate) fn applied(&mut self, index: Index) {
        if index < self.node.last_applied || index > self.node.apply_requested {
            self.halt(HaltReason::AppliedUnrequested);
            return;
        }
        self.node.last_applied = index;
        self.serve_reads();
    }

    /// Records that a write and all earlier writes are durable, and continues with the votes, the
    /// commitment and the applications that waited for them.
    pub(crate) fn durable(&mut self, mark: Mark) {
        let disk = &mut self.node.disk;
        if mark > disk.issued {
            self.halt(HaltReason::DurableUnissued);
            return;
        }
        if mark <= disk.durable {
            return;
        }
        disk.durable = mark;
        disk.unsynced.retain(|part| part.mark > mark);
        self.count_own_vote();
        self.advance_commit();
        self.request_apply();
    }
}
