//! Linearizable reads without writing to the log (paper, section 8; thesis, section 6.4).
//!
//! The leader notes its commit index, proves that it still led *after* the read arrived, waits
//! until the state machine has applied that index, and serves the read from the state machine. The
//! proof is a round. Each read gets the next [`ReadRound`], and every message to a follower carries
//! the newest round. So an answer that returns a round answers a message that was sent after the
//! read of that round was registered.

use crate::effect::{Effect, ReadRefusal};
use crate::log::TermAt;
use crate::node::{PendingRead, Role};
use crate::quorum::majority;
use crate::rules::{Rule, Rules};
use crate::step::Step;
use crate::types::{ReadId, ReadRound};

impl<R: Rules> Step<'_, R> {
    /// Handles a client's read.
    pub(crate) fn read(&mut self, id: ReadId) {
        match self.register_read(id) {
            Ok(()) => {
                self.broadcast(Self::send_heartbeat);
                self.serve_reads();
            }
            Err(reason) => self.effect(Effect::ReadRefused { id, reason }),
        }
    }

    fn register_read(&mut self, id: ReadId) -> Result<(), ReadRefusal> {
        let read_index = self.node.commit_index;
        let own_term = TermAt::Present(self.node.current_term);
        let own_commit = self.node.log.term_at(read_index) == own_term;
        let leader = self.node.known_leader();
        let Role::Leader(leadership) = &mut self.node.role else {
            return Err(ReadRefusal::NotLeader { leader });
        };
        if !self.rules.holds(Rule::ReadNeedsOwnCommit, own_commit) {
            return Err(ReadRefusal::NothingCommittedInTerm);
        }
        if leadership.reads.len() >= self.node.config.limits.reads {
            return Err(ReadRefusal::TooManyReads);
        }
        let round = ReadRound(leadership.read_round.0.saturating_add(1));
        leadership.read_round = round;
        leadership.reads.push_back(PendingRead { id, read_index, round });
        Ok(())
    }

    /// Serves the reads whose proof is complete and whose index is applied. Later reads have later
    /// rounds and higher indexes, so they cannot be ready before the first one.
    pub(crate) fn serve_reads(&mut self) {
        let majority = majority(self.node.config.voters.len());
        while let Role::Leader(leadership) = &self.node.role
            && let Some(read) = leadership.reads.front().copied()
        {
            let round = ReadRound(self.value(Rule::ReadNeedsLaterRound, read.round.0));
            let acked = leadership.followers.values().filter(|f| f.acked_round >= round).count();
            let applied = self.node.last_applied >= read.read_index;
            if !self.holds(Rule::ReadNeedsQuorum, acked + 1 >= majority)
                || !self.holds(Rule::ReadWaitsForApply, applied)
            {
                return;
            }
            if let Role::Leader(leadership) = &mut self.node.role {
                leadership.reads.pop_front();
            }
            self.effect(Effect::ReadReady { id: read.id, read_index: read.read_index });
        }
    }
}
