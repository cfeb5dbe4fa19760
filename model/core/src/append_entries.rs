//! Log replication (paper, section 5.3): the follower's side, in the order of Figure 2.

use crate::effect::Effect;
use crate::log::{LogPosition, TermAt};
use crate::message::{AppendEntries, AppendEntriesReply, AppendOutcome, Message};
use crate::node::Role;
use crate::rules::{Rule, Rules};
use crate::step::Step;
use crate::types::{Entry, Index, NodeId};

impl<R: Rules> Step<'_, R> {
    /// Handles AppendEntries (Figure 2, AppendEntries RPC, "Receiver implementation").
    pub(crate) fn append_entries(&mut self, leader: NodeId, request: AppendEntries) {
        let AppendEntries { term, prev_log, entries, leader_commit, read_round } = request;
        if !self.holds(Rule::RefuseStaleLeader, term >= self.node.current_term) {
            self.reply_to_append(leader, AppendOutcome::StaleTerm, read_round);
            return;
        }
        if !self.follow(leader) {
            return;
        }
        let last_new = prev_log.index.plus(entries.len());
        let consistent = self.has_entry(prev_log);
        if consistent {
            self.store(prev_log.index, entries);
        }
        if self.holds(Rule::CommitIfConsistent, consistent) {
            let commit = self.value(Rule::FollowerCommit, leader_commit.min(last_new).0);
            self.raise_commit(Index(commit));
        }
        let outcome = if consistent {
            AppendOutcome::Matched { match_index: last_new }
        } else {
            self.conflict(prev_log)
        };
        self.reply_to_append(leader, outcome, read_round);
    }

    /// Accepts the sender as the leader of the current term.
    pub(crate) fn follow(&mut self, leader: NodeId) -> bool {
        if let Role::Candidate { .. } = self.node.role
            && !self.holds(Rule::CandidateYieldsToLeader, true)
        {
            return false;
        }
        self.become_follower(Some(leader));
        self.effect(Effect::ResetElectionTimer);
        true
    }

    /// Decides whether the log holds this entry. A compacted entry was committed, so the leader of
    /// this term holds the same entry.
    fn has_entry(&self, prev_log: LogPosition) -> bool {
        match self.node.log.term_at(prev_log.index) {
            TermAt::Compacted => true,
            TermAt::Present(term) => self.holds(Rule::PrevTermMatches, term == prev_log.term),
            TermAt::Beyond => !self.holds(Rule::PrevEntryPresent, true),
        }
    }

    /// Stores the entries of a request (Figure 2, AppendEntries 3 and 4). Entries that the log
    /// already holds stay, and so do the entries after them. From the first missing or conflicting
    /// entry on, the leader's entries replace the rest of the log.
    fn store(&mut self, prev_index: Index, mut entries: Vec<Entry>) {
        let log = &self.node.log;
        let is_here =
            |(offset, entry): &(usize, &Entry)| match log.term_at(prev_index.plus(offset + 1)) {
                TermAt::Compacted => self.holds(Rule::SkipCompacted, true),
                TermAt::Present(term) => term == entry.term,
                TermAt::Beyond => false,
            };
        let agreeing = entries.iter().enumerate().take_while(is_here).count();
        let missing = entries.split_off(agreeing);
        if missing.is_empty() && self.holds(Rule::KeepAgreeing, true) {
            return;
        }
        let first_missing = prev_index.plus(agreeing + 1);
        let conflict = first_missing <= self.node.log.last_index();
        if self.holds(Rule::TruncateConflict, conflict) {
            self.node.log.truncate_from(first_missing);
        }
        self.append(missing);
    }

    /// Returns a refusal that hints where the leader should look for agreement instead. In section
    /// 5.3 the reply names the term of the conflicting entry and the first index of that term. Here
    /// it names an entry that may agree. This saves a refusal if the log is short or has several
    /// terms that the leader lacks. Terms never decrease along a log, so an entry of a later term
    /// than the leader's entry at `prev_log_index` cannot agree. Compacted entries were committed,
    /// so they agree.
    fn conflict(&self, prev_log: LogPosition) -> AppendOutcome {
        let log = &self.node.log;
        let hint = log.last_within(prev_log).unwrap_or(log.base());
        AppendOutcome::Conflict { prev_log_index: prev_log.index, hint }
    }

    fn reply_to_append(
        &mut self,
        leader: NodeId,
        outcome: AppendOutcome,
        read_round: crate::types::ReadRound,
    ) {
        let term = self.node.current_term;
        let reply = AppendEntriesReply { term, outcome, read_round };
        self.reply(leader, Message::AppendEntriesReply(reply));
    }
}
