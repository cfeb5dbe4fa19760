//! Leader election (paper, section 5.2) and its restriction (section 5.4.1).
//!
//! A server whose election timer runs out enters a new term, votes for itself and asks all other
//! servers for their votes. Each server grants at most one vote in a term, and only to a candidate
//! whose log is at least as up-to-date as its own. Any two majorities share a server, so a term has
//! at most one leader, and the leader's log holds everything that was committed before.
//!
//! A vote, the candidate's own included, counts only when it is durable. RequestVote leaves only
//! when the term and the log tail that it advertises are durable. Otherwise the candidate could
//! crash, lose the tail, start another election in the same term, and win with votes that were
//! granted to a log that it no longer has.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::effect::Effect;
use crate::message::{Message, RequestVote, RequestVoteReply};
use crate::node::{Leadership, Pace, Progress, Role};
use crate::quorum::majority;
use crate::rules::{Rule, Rules};
use crate::step::Step;
use crate::types::{Entry, Index, NodeId, Payload, ReadRound};

impl<R: Rules> Step<'_, R> {
    /// Starts an election. Figure 2, Candidates: "On conversion to candidate, start election".
    pub(crate) fn election_timeout(&mut self) {
        if self.node.is_leader() {
            return;
        }
        let id = self.node.id();
        let votes = match std::mem::replace(&mut self.node.role, Role::Follower { leader: None }) {
            Role::Candidate { votes, .. } if !self.holds(Rule::ForgetOldVotes, true) => votes,
            _ => BTreeSet::new(),
        };
        self.node.current_term = self.node.current_term.next();
        self.node.voted_for = Some(id);
        self.write_vote();
        self.node.role = Role::Candidate { votes, own_vote: Some(self.node.disk.issued) };
        self.effect(Effect::ResetElectionTimer);

        let term = self.node.current_term;
        let request = RequestVote { term, last_log: self.node.log.last() };
        let waits = self.holds(Rule::RequestVoteWaitsForDisk, true);
        for peer in self.node.peers().collect::<Vec<_>>() {
            self.send_durable(peer, Message::RequestVote(request.clone()), waits);
        }
        self.count_own_vote();
    }

    /// Counts the candidate's vote for itself, if that vote is durable.
    pub(crate) fn count_own_vote(&mut self) {
        let durable = self.node.disk.durable;
        let id = self.node.id();
        let Role::Candidate { votes, own_vote } = &mut self.node.role else {
            return;
        };
        if own_vote.is_some_and(|mark| !self.rules.holds(Rule::OwnVoteWaitsForDisk, mark > durable))
        {
            *own_vote = None;
            votes.insert(id);
            self.count_votes();
        }
    }

    /// Handles RequestVote (Figure 2, RequestVote RPC, "Receiver implementation").
    pub(crate) fn request_vote(&mut self, candidate: NodeId, request: &RequestVote) {
        let granted = self.grants_vote(candidate, request);
        if granted {
            self.effect(Effect::ResetElectionTimer);
            if self.node.voted_for != Some(candidate) {
                self.node.voted_for = Some(candidate);
                self.write_vote();
            }
        }
        let reply = RequestVoteReply { term: self.node.current_term, granted };
        self.reply(candidate, Message::RequestVoteReply(reply));
    }

    fn grants_vote(&self, candidate: NodeId, request: &RequestVote) -> bool {
        let node = &*self.node;
        let free = node.voted_for.is_none_or(|voted_for| voted_for == candidate);
        self.holds(Rule::RefuseStaleCandidate, request.term >= node.current_term)
            && self.holds(Rule::OneVotePerTerm, free)
            && self.holds(Rule::CandidateUpToDate, request.last_log >= node.log.last())
    }

    /// Handles a vote, or a refusal, for a candidacy of this node.
    pub(crate) fn request_vote_reply(&mut self, voter: NodeId, reply: &RequestVoteReply) {
        if !self.holds(Rule::CountVotesOfThisTerm, reply.term == self.node.current_term) {
            return;
        }
        if let Role::Candidate { votes, .. } = &mut self.node.role
            && reply.granted
        {
            votes.insert(voter);
            self.count_votes();
        }
    }

    /// Becomes leader if the votes suffice. Figure 2, Candidates: "If votes received from majority
    /// of servers: become leader".
    fn count_votes(&mut self) {
        let Role::Candidate { votes, .. } = &self.node.role else {
            return;
        };
        let quorum = majority(self.node.config.voters.len()) as u64;
        if votes.len() as u64 >= self.value(Rule::ElectionQuorum, quorum) {
            self.become_leader();
        }
    }

    /// Becomes leader. Figure 2, "Volatile state on leaders: Reinitialized after election". The
    /// leader appends a blank entry at the start of its term (section 8). Without that entry it
    /// could not commit entries of older terms.
    fn become_leader(&mut self) {
        let progress = Progress {
            next_index: self.node.log.last_index().next(),
            match_index: Index(self.value(Rule::ResetProgress, 0)),
            pace: Pace::Probe,
            acked_round: ReadRound(0),
        };
        let followers: BTreeMap<_, _> = self.node.peers().map(|peer| (peer, progress)).collect();
        let read_round = ReadRound(0);
        self.node.role = Role::Leader(Leadership { followers, read_round, reads: VecDeque::new() });
        if self.holds(Rule::NoopAtTermStart, true) {
            self.append(vec![Entry { term: self.node.current_term, payload: Payload::Noop }]);
        }
        self.broadcast(Self::send_batch);
    }
}
