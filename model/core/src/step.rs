//! One step, and the operations that all handlers share. Each handler is a method of [`Step`], in
//! the file of its topic in the paper.

use crate::effect::{Effect, HaltReason, Input, LogWrite, ReadRefusal, VoteRecord, Write};
use crate::message::Message;
use crate::message_validation;
use crate::node::{Node, Role, Unsynced};
use crate::rules::{Rule, Rules};
use crate::types::{Entry, Mark, NodeId, Term};

/// Handles one input: changes the node and appends the resulting actions to `effects`.
///
/// The function is total and deterministic. It returns for every node and every input, it never
/// panics on data from a peer, a client or a disk, and it depends on nothing but its arguments. A
/// wrong message has the single effect [`Effect::Rejected`] and changes nothing.
pub fn step<R: Rules>(rules: &R, node: &mut Node, input: Input, effects: &mut Vec<Effect>) {
    let mut step = Step { rules, node, first_effect: effects.len(), effects, write: None };
    match input {
        Input::ElectionTimeout => step.election_timeout(),
        Input::Heartbeat => step.heartbeat(),
        Input::Propose { commands } => step.propose(commands),
        Input::Read { id } => step.read(id),
        Input::Receive { from, message } => step.receive(from, message),
        Input::Durable { mark } => step.durable(mark),
        Input::Applied { index } => step.applied(index),
        Input::SnapshotTaken { index, handle } => step.snapshot_taken(index, handle),
    }
    step.issue_write();
}

/// A step in progress.
pub(crate) struct Step<'a, R: Rules> {
    pub(crate) rules: &'a R,
    pub(crate) node: &'a mut Node,
    effects: &'a mut Vec<Effect>,
    /// The place in `effects` where this step's effects begin.
    first_effect: usize,
    /// The write of this step, if it writes anything. It becomes durable as a whole or not at all.
    write: Option<Write>,
}

impl<R: Rules> Step<'_, R> {
    pub(crate) fn holds(&self, rule: Rule, answer: bool) -> bool {
        self.rules.holds(rule, answer)
    }

    pub(crate) fn value(&self, rule: Rule, value: u64) -> u64 {
        self.rules.value(rule, value)
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(crate) fn halt(&mut self, reason: HaltReason) {
        self.effect(Effect::Halt(reason));
    }

    /// Applies Figure 2, "Rules for Servers", and then calls the handler of the message.
    fn receive(&mut self, from: NodeId, message: Message) {
        if let Err(rejection) = message_validation::check(self.node, from, &message) {
            self.effect(Effect::Rejected(rejection));
            return;
        }
        if self.holds(Rule::AdoptHigherTerm, message.term() > self.node.current_term) {
            self.adopt_term(message.term());
        }
        match message {
            Message::RequestVote(request) => self.request_vote(from, &request),
            Message::RequestVoteReply(reply) => self.request_vote_reply(from, &reply),
            Message::AppendEntries(request) => self.append_entries(from, request),
            Message::AppendEntriesReply(reply) => self.append_entries_reply(from, &reply),
            Message::InstallSnapshot(request) => self.install_snapshot(from, request),
            Message::InstallSnapshotReply(reply) => self.install_snapshot_reply(from, &reply),
        }
    }

    /// Enters a term that another server has begun, without a vote in it.
    fn adopt_term(&mut self, term: Term) {
        self.become_follower(None);
        self.node.current_term = term;
        self.node.voted_for = None;
        self.write_vote();
    }

    /// Makes the node a follower. A leader has no election timer, so a deposed leader starts one,
    /// and the reads that wait are refused.
    pub(crate) fn become_follower(&mut self, leader: Option<NodeId>) {
        let before = std::mem::replace(&mut self.node.role, Role::Follower { leader });
        let Role::Leader(leadership) = before else { return };
        self.effect(Effect::ResetElectionTimer);
        if self.holds(Rule::ReadsEndWithLeadership, true) {
            for read in leadership.reads {
                let reason = ReadRefusal::NotLeader { leader };
                self.effect(Effect::ReadRefused { id: read.id, reason });
            }
        }
    }

    /// Sends a request that need not wait for the disk (thesis, section 10.2.1).
    pub(crate) fn send(&mut self, to: NodeId, message: Message) {
        self.effect(Effect::Send { to, message, after: None });
    }

    /// Sends a message that confirms or advertises state which this node has written. The message
    /// waits for the newest write issued so far, even if an earlier step issued it.
    pub(crate) fn send_durable(&mut self, to: NodeId, message: Message, waits: bool) {
        let mark = self.node.disk.issued;
        let after = (waits && mark > self.node.disk.durable).then_some(mark);
        self.effect(Effect::Send { to, message, after });
    }

    /// Answers a request.
    pub(crate) fn reply(&mut self, to: NodeId, message: Message) {
        let waits = if self.write.is_some() {
            self.holds(Rule::ReplyWaitsForItsWrite, true)
        } else {
            let pending = self.node.disk.issued > self.node.disk.durable;
            self.holds(Rule::ReplyWaitsForEarlierWrites, pending)
        };
        self.send_durable(to, message, waits);
    }

    /// Adds the current term and vote to this step's write.
    pub(crate) fn write_vote(&mut self) {
        if !self.holds(Rule::PersistTerm, true) {
            return;
        }
        let voted_for = self.node.voted_for;
        let voted_for =
            if self.holds(Rule::PersistVote, voted_for.is_some()) { voted_for } else { None };
        let current_term = self.node.current_term;
        self.current_write().vote = Some(VoteRecord { current_term, voted_for });
    }

    /// Appends entries to the log and adds them to this step's write. They replace any earlier
    /// entries at the same indexes.
    pub(crate) fn append(&mut self, entries: Vec<Entry>) {
        let first = self.node.log.last_index().next();
        self.node.log.append(entries.iter().cloned());
        let mark = self.write_log(LogWrite::Append { first, entries });

        let unsynced = &mut self.node.disk.unsynced;
        let overwritten = unsynced.back().is_some_and(|part| part.first >= first);
        if self.rules.holds(Rule::DurableByMark, overwritten) {
            unsynced.retain(|part| part.first < first);
        }
        if unsynced.back().is_none_or(|part| part.first < first) {
            unsynced.push_back(Unsynced { first, mark });
        }
    }

    /// Adds a change of the log to this step's write. No step changes the log twice.
    pub(crate) fn write_log(&mut self, write: LogWrite) -> Mark {
        self.current_write().log = Some(write);
        self.node.disk.issued
    }

    /// Returns this step's write. The first use issues the next mark.
    fn current_write(&mut self) -> &mut Write {
        if self.write.is_none() {
            self.node.disk.issued = self.node.disk.issued.next();
        }
        self.write.get_or_insert_default()
    }

    /// Puts this step's write before its other effects.
    fn issue_write(self) {
        if let Some(write) = self.write {
            let persist = Effect::Persist { mark: self.node.disk.issued, write };
            self.effects.insert(self.first_effect, persist);
        }
    }
}
