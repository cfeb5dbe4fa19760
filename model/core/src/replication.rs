//! Log replication (paper, section 5.3): the leader's side.
//!
//! For each follower the leader keeps `match_index`, which the follower has confirmed, and
//! `next_index`, which is a guess. While the guess is unconfirmed, the leader *probes*: it sends
//! one message, and the answer decides where it tries next. Once an answer confirms the guess, the
//! leader *replicates*: it sends batches without waiting for the answers, until the window is full.
//! A lost message needs no timer of its own. The next heartbeat names `next_index - 1` as its
//! `prev_log` index, the follower refuses it, and the leader probes again.

use crate::effect::Effect;
use crate::effect::HaltReason;
use crate::log::{LogPosition, TermAt};
use crate::message::{
    AppendEntries, AppendEntriesReply, AppendOutcome, InstallOutcome, InstallSnapshot,
    InstallSnapshotReply, Message,
};
use crate::node::{Leadership, Pace, Progress, Role};
use crate::rules::{Rule, Rules};
use crate::step::Step;
use crate::types::{Bytes, Entry, Index, NodeId, Payload, ReadRound, Term};

impl<R: Rules> Step<'_, R> {
    /// Handles a proposal. Figure 2, Leaders: "If command received from client: append entry to
    /// local log".
    pub(crate) fn propose(&mut self, commands: Vec<Bytes>) {
        if !self.node.is_leader() {
            let leader = self.node.known_leader();
            self.effect(Effect::ProposalRefused { leader });
            return;
        }
        if commands.is_empty() {
            return;
        }
        let term = self.node.current_term;
        self.effect(Effect::Proposed { first: self.node.log.last_index().next(), term });
        let entry = |command| Entry { term, payload: Payload::Command(command) };
        self.append(commands.into_iter().map(entry).collect());
        self.broadcast(Self::send_ahead);
    }

    /// Sends heartbeats. Figure 2, Leaders: "send initial empty AppendEntries RPCs (heartbeat) ..
    /// repeat during idle periods".
    pub(crate) fn heartbeat(&mut self) {
        if self.node.is_leader() {
            self.broadcast(Self::send_heartbeat);
        }
    }

    /// Calls a function for each follower.
    pub(crate) fn broadcast(&mut self, to_each: fn(&mut Self, NodeId)) {
        for peer in self.node.peers().collect::<Vec<_>>() {
            to_each(self, peer);
        }
    }

    /// Sends a heartbeat, which tells the follower the leader and its commit index.
    pub(crate) fn send_heartbeat(&mut self, to: NodeId) {
        self.send_entries(to, 0);
    }

    /// Sends one batch, regardless of the pace.
    pub(crate) fn send_batch(&mut self, to: NodeId) {
        self.send_entries(to, self.node.config.limits.batch);
    }

    /// Sends batches to a follower whose log is known to agree, until nothing is left or the window
    /// is full.
    fn send_ahead(&mut self, to: NodeId) {
        let limits = self.node.config.limits;
        let last_index = self.node.log.last_index();
        while let Some(Progress { pace: Pace::Replicate, next_index, match_index, .. }) =
            self.progress(to).copied()
            && next_index <= last_index
        {
            let in_flight = next_index.prev().since(match_index);
            let room = (limits.window as u64).saturating_sub(in_flight);
            let batch = usize::try_from(room).unwrap_or(usize::MAX).min(limits.batch);
            if batch == 0 {
                return;
            }
            let sent = self.send_entries(to, batch);
            match self.progress(to) {
                Some(progress) if sent > 0 => progress.next_index = next_index.plus(sent),
                _ => return,
            }
        }
    }

    /// Sends at most `max` entries from the follower's `next_index` on, or the snapshot if the
    /// entry before them is compacted. Returns the number of entries sent.
    fn send_entries(&mut self, to: NodeId, max: usize) -> usize {
        let Role::Leader(Leadership { followers, read_round, .. }) = &self.node.role else {
            return 0;
        };
        let Some(next_index) = followers.get(&to).map(|progress| progress.next_index) else {
            return 0;
        };
        let (term, read_round, log) = (self.node.current_term, *read_round, &self.node.log);
        let prev_index = next_index.prev();
        let prev_term = log.term_at(prev_index);
        if self.holds(Rule::SendSnapshotIfCompacted, prev_term == TermAt::Compacted) {
            let snapshot = log.snapshot().clone();
            let request = InstallSnapshot { term, snapshot, read_round };
            self.send(to, Message::InstallSnapshot(request));
            return 0;
        }
        let prev_log = match prev_term {
            TermAt::Present(term) => LogPosition { term, index: prev_index },
            TermAt::Compacted => return 0,
            TermAt::Beyond => {
                self.halt(HaltReason::NextIndexBeyondLog);
                return 0;
            }
        };
        let entries = log.entries_from(next_index, max).to_vec();
        let sent = entries.len();
        let leader_commit = self.node.commit_index;
        let request = AppendEntries { term, prev_log, entries, leader_commit, read_round };
        self.send(to, Message::AppendEntries(request));
        sent
    }

    /// Handles the answer to AppendEntries (Figure 2, Leaders).
    pub(crate) fn append_entries_reply(&mut self, from: NodeId, reply: &AppendEntriesReply) {
        match reply.outcome {
            // The reply carries the follower's term, and this server may lead that term by now. But
            // the request was of an earlier term, so the reply proves and confirms nothing.
            AppendOutcome::StaleTerm => {}
            AppendOutcome::Matched { match_index } => {
                if self.follower_answers(from, reply.term, reply.read_round) {
                    let credited = self.value(Rule::MatchFromRequest, match_index.0);
                    self.follower_matches(from, Index(credited));
                }
            }
            AppendOutcome::Conflict { prev_log_index, hint } => {
                if self.follower_answers(from, reply.term, reply.read_round) {
                    self.follower_conflicts(from, prev_log_index, hint);
                }
            }
        }
        self.serve_reads();
    }

    /// Handles the answer to InstallSnapshot: the follower has everything that the snapshot covers.
    pub(crate) fn install_snapshot_reply(&mut self, from: NodeId, reply: &InstallSnapshotReply) {
        if let InstallOutcome::Covered { last_included_index } = reply.outcome
            && self.follower_answers(from, reply.term, reply.read_round)
        {
            let credited = self.value(Rule::SnapshotAckCoversBase, last_included_index.0);
            self.follower_matches(from, Index(credited));
            self.serve_reads();
        }
    }

    /// Decides whether an answer belongs to a request of this leadership. If it does, the follower
    /// still followed this leader when it answered, and the answer's read round is recorded.
    fn follower_answers(&mut self, from: NodeId, term: Term, read_round: ReadRound) -> bool {
        if !self.holds(Rule::RepliesOfThisTerm, term == self.node.current_term) {
            return false;
        }
        let Some(progress) = self.progress(from) else {
            return false;
        };
        progress.acked_round = progress.acked_round.max(read_round);
        true
    }

    /// Raises the follower's progress. Figure 2, Leaders: "If successful: update nextIndex and
    /// matchIndex for follower".
    fn follower_matches(&mut self, from: NodeId, index: Index) {
        let rules = self.rules;
        let Some(progress) = self.progress(from) else {
            return;
        };
        if rules.holds(Rule::MatchNeverDecreases, index > progress.match_index) {
            progress.match_index = index;
        }
        let proven = progress.match_index.next();
        if proven >= progress.next_index {
            progress.next_index = proven;
            progress.pace = Pace::Replicate;
        }
        self.advance_commit();
        self.send_ahead(from);
    }

    /// Moves `next_index` back after a refusal (section 5.3, last paragraphs). The follower names
    /// its last entry that can agree with this log, so `next_index` skips whole terms instead of
    /// single entries. Entries of this log up to that index cannot agree either if their term is
    /// later than that entry's term. If all entries that could agree are compacted, the follower
    /// needs the snapshot.
    fn follower_conflicts(&mut self, from: NodeId, prev_index: Index, hint: LogPosition) {
        let log = &self.node.log;
        let next = log.last_within(hint).map_or(log.base().index, |last| last.index.next());
        // The refused position does not agree, so the next one to try is before it, whatever the
        // hint says.
        let next = next.min(prev_index);

        let rules = self.rules;
        let Some(progress) = self.progress(from) else {
            return;
        };
        let late = match progress.pace {
            Pace::Probe => prev_index != progress.next_index.prev(),
            Pace::Replicate => prev_index >= progress.next_index,
        };
        if late || prev_index <= progress.match_index {
            return;
        }
        let lowest = rules.value(Rule::NextAboveMatch, progress.match_index.next().0);
        progress.next_index = next.max(Index(lowest));
        progress.pace = Pace::Probe;
        self.send_batch(from);
    }

    /// Returns the progress of a follower, if this node leads.
    fn progress(&mut self, follower: NodeId) -> Option<&mut Progress> {
        match &mut self.node.role {
            Role::Leader(leadership) => leadership.followers.get_mut(&follower),
            _ => None,
        }
    }
}
