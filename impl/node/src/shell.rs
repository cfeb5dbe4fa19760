//! The layer between raft-core's step function and its environment. It uses no thread, no clock, no
//! file and no socket.
//!
//! A [`Shell`] owns the [`Node`]. It passes inputs to the node, and keeps the resulting effects in
//! four queues. The caller empties the queues in any order and at any pace:
//!
//! - [`take_writes`](Shell::take_writes): writes for the disk, as one transaction. The caller then
//!   passes the input [`Input::Durable`];
//! - [`take_sends`](Shell::take_sends): messages that may be sent *now*. A message that confirms a
//!   write is not among them before that write is durable;
//! - [`take_task`](Shell::take_task): the next task of the state machine. The caller then calls
//!   [`answer_applied`](Shell::answer_applied) and passes the input [`Input::Applied`];
//! - [`take_answers`](Shell::take_answers): answers for clients.
//!
//! So a leader sends its entries while its own disk is still writing them, and one transaction
//! contains all writes that arrived meanwhile. No caller can send a message too early, because the
//! shell enforces this rule, and all callers, in production and in tests, run the node through the
//! shell.

use std::collections::{BTreeMap, VecDeque};

use raft_core::{
    Bytes, Effect, Entry, HaltReason, Index, Input, LogWrite, Mark, Message, Node, NodeId, Paper,
    ReadId, ReadRefusal, Rejection, Role, Snapshot, Term, TermAt, Write, step,
};

/// The caller's id for a command that a client proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProposalId(pub u64);

/// A task for the state machine. Tasks must be run in the order in which they are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Apply committed entries.
    Apply {
        /// The index of the first.
        first: Index,
        /// The entries.
        entries: Vec<Entry>,
    },
    /// Restore the state from a snapshot.
    Restore(Snapshot),
}

/// The answer to a client's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The command was committed and applied. Contains the answer of the state machine.
    Applied(ProposalId, Bytes),
    /// The command was not appended, and will never be. Contains the leader, if this server knows
    /// it.
    NotLeader(ProposalId, Option<NodeId>),
    /// Another entry is committed in place of the command's entry, or in place of an entry before
    /// it. The command will never be applied.
    Superseded(ProposalId),
    /// This server can no longer tell whether the command was or will be applied.
    Unknown(ProposalId),
    /// The read may be served from the current state of the state machine, or from a later one.
    ReadReady(ReadId, Index),
    /// This server cannot serve the read.
    ReadRefused(ReadId, ReadRefusal),
}

/// A node with its queues.
#[derive(Clone, Debug)]
pub struct Shell {
    node: Node,
    effects: Vec<Effect>,
    /// Writes that were issued and not yet taken.
    writes: Vec<Write>,
    /// The mark of the newest issued write.
    issued: Mark,
    /// Messages that wait for a write, in the order of the writes.
    waiting: VecDeque<(Mark, NodeId, Message)>,
    sends: Vec<(NodeId, Message)>,
    tasks: VecDeque<(Option<Mark>, Task)>,
    /// Commands whose entries are in this server's log and are not yet committed, by the index of
    /// the entry and with its term.
    proposed: BTreeMap<Index, (Term, ProposalId)>,
    /// Commands that are committed and are being applied.
    applying: BTreeMap<Index, ProposalId>,
    answers: Vec<Answer>,
    election_timer_reset: bool,
    rejections: Vec<(NodeId, Rejection)>,
    halted: Option<HaltReason>,
}

/// The contents of the queues of a shell.
#[derive(Clone, Debug)]
pub struct Queues<'s> {
    /// Writes that were not taken yet, the newest issued last.
    pub writes: &'s [Write],
    /// Messages that wait for a write.
    pub waiting: &'s VecDeque<(Mark, NodeId, Message)>,
    /// Tasks that were not taken yet, with the write for which each has to wait.
    pub tasks: Vec<(Option<Mark>, &'s Task)>,
}

/// An observer of every step.
pub trait Observe {
    /// Called after each step, with the input, the resulting effects, and the node as it is now.
    fn step(&mut self, input: &Input, effects: &[Effect], node: &Node);
}

impl Shell {
    /// Creates a shell around a node that was started from its disk.
    pub fn new(node: Node) -> Shell {
        Shell {
            node,
            effects: Vec::new(),
            writes: Vec::new(),
            issued: Mark::default(),
            waiting: VecDeque::new(),
            sends: Vec::new(),
            tasks: VecDeque::new(),
            proposed: BTreeMap::new(),
            applying: BTreeMap::new(),
            answers: Vec::new(),
            election_timer_reset: false,
            rejections: Vec::new(),
            halted: None,
        }
    }

    /// Returns the node, for inspection.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Returns the queues, for inspection.
    pub fn queues(&self) -> Queues<'_> {
        Queues {
            writes: &self.writes,
            waiting: &self.waiting,
            tasks: self.tasks.iter().map(|(after, task)| (*after, task)).collect(),
        }
    }

    /// Returns the number of commands that wait for their answer.
    pub fn unanswered(&self) -> usize {
        self.proposed.len() + self.applying.len()
    }

    /// Passes an input to the node and queues the resulting effects. After a halt, inputs have no
    /// effect.
    pub fn input(&mut self, input: Input, observe: Option<&mut dyn Observe>) {
        if self.halted.is_some() {
            return;
        }
        let sender = match &input {
            Input::Receive { from, .. } => *from,
            _ => self.node.id(),
        };
        let kept = observe.as_ref().map(|_| input.clone());
        let mut effects = std::mem::take(&mut self.effects);
        step(&Paper, &mut self.node, input, &mut effects);
        if let (Some(observe), Some(input)) = (observe, kept) {
            observe.step(&input, &effects, &self.node);
        }
        for effect in effects.drain(..) {
            self.execute(effect, sender);
        }
        self.effects = effects;
        self.release();
    }

    /// Proposes the commands of clients, in this order.
    pub fn propose(
        &mut self,
        commands: Vec<(ProposalId, Bytes)>,
        observe: Option<&mut dyn Observe>,
    ) {
        let (ids, commands): (Vec<_>, Vec<_>) = commands.into_iter().unzip();
        let leads = self.node.is_leader() && self.halted.is_none();
        if !leads {
            let leader = self.node.known_leader();
            self.answers.extend(ids.into_iter().map(|id| Answer::NotLeader(id, leader)));
            return;
        }
        let (first, term) = (self.node.log.last_index().next(), self.node.current_term);
        let indexes = (first.0..).map(Index);
        self.proposed.extend(indexes.zip(ids).map(|(index, id)| (index, (term, id))));
        self.input(Input::Propose { commands }, observe);
    }

    /// Takes the answers of the state machine to consecutive entries, the last of which has index
    /// `index`. The caller must also pass the input [`Input::Applied`].
    pub fn answer_applied(&mut self, index: Index, answers: Vec<Bytes>) {
        let first = (index.0 + 1).saturating_sub(answers.len() as u64);
        for (index, answer) in (first..).zip(answers) {
            if let Some(id) = self.applying.remove(&Index(index)) {
                self.answers.push(Answer::Applied(id, answer));
            }
        }
    }

    fn execute(&mut self, effect: Effect, sender: NodeId) {
        match effect {
            Effect::Persist { mark, write } => {
                debug_assert!(mark == self.issued.next(), "writes are numbered one by one");
                self.issued = mark;
                match &write.log {
                    Some(LogWrite::Append { first, .. }) => self.answer_truncated(*first),
                    Some(LogWrite::Install(_)) => self.answer_replaced(),
                    Some(LogWrite::Compact(_)) | None => {}
                }
                self.writes.push(write);
            }
            Effect::Send { to, message, after } => match after {
                Some(mark) if mark > self.node.disk.durable => {
                    self.waiting.push_back((mark, to, message));
                }
                _ => self.sends.push((to, message)),
            },
            Effect::Apply { first, entries } => {
                self.begin_applying(first.plus(entries.len()));
                self.tasks.push_back((None, Task::Apply { first, entries }));
            }
            Effect::Restore { snapshot, after } => {
                self.tasks.push_back((Some(after), Task::Restore(snapshot)));
            }
            Effect::ResetElectionTimer => self.election_timer_reset = true,
            Effect::ReadReady { id, read_index } => {
                self.answers.push(Answer::ReadReady(id, read_index));
            }
            Effect::ReadRefused { id, reason } => {
                self.answers.push(Answer::ReadRefused(id, reason));
            }
            Effect::Rejected(rejection) => self.rejections.push((sender, rejection)),
            Effect::Halt(reason) => self.halted = Some(reason),
            // `propose` has checked before that this server leads.
            Effect::Proposed { .. } | Effect::ProposalRefused { .. } => {}
        }
    }

    /// Marks the commands whose entries are before `end` as being applied: these entries are
    /// committed.
    fn begin_applying(&mut self, end: Index) {
        let later = self.proposed.split_off(&end);
        let committed = std::mem::replace(&mut self.proposed, later);
        self.applying.extend(committed.into_iter().map(|(index, (_, id))| (index, id)));
    }

    /// Answers the commands whose entries were removed when the log was overwritten from `first`
    /// on. So each of them has its answer before its index is used again.
    ///
    /// An entry that is removed from this log may still be in the logs of other servers, and one of
    /// these servers may become leader later and commit it (paper, Figure 8). For example, in a
    /// cluster of five servers, server 1 appends x in term 2 and replicates it to server 2. Server
    /// 3, elected in term 3 by 3, 4 and 5, overwrites x on server 1. Server 2, elected in term 4 by
    /// 2, 4 and 5, commits x after all. So the outcome is unknown, unless the new entry at `first`
    /// is committed. In that case every later leader has the new entry, and no log with the new
    /// entry contains the command's entry (Log Matching).
    fn answer_truncated(&mut self, first: Index) {
        let committed = self.node.commit_index >= first;
        for (index, (term, id)) in self.proposed.split_off(&first) {
            if self.node.log.term_at(index) == TermAt::Present(term) {
                // The command's entry was appended by this write.
                self.proposed.insert(index, (term, id));
            } else if committed {
                self.answers.push(Answer::Superseded(id));
            } else {
                self.answers.push(Answer::Unknown(id));
            }
        }
    }

    /// Answers all waiting commands after a snapshot has replaced the whole log. The snapshot may
    /// or may not reflect the commands.
    fn answer_replaced(&mut self) {
        let gone = std::mem::take(&mut self.proposed);
        self.answers.extend(gone.into_values().map(|(_, id)| Answer::Unknown(id)));
    }

    /// Releases the messages whose write is durable.
    fn release(&mut self) {
        let durable = self.node.disk.durable;
        while self.waiting.front().is_some_and(|(mark, _, _)| *mark <= durable) {
            if let Some((_, to, message)) = self.waiting.pop_front() {
                self.sends.push((to, message));
            }
        }
    }

    /// Returns all writes that were issued and not yet taken, and the mark to report when they are
    /// on the disk. They must be written after all writes that were taken earlier.
    pub fn take_writes(&mut self) -> Option<(Mark, Vec<Write>)> {
        if self.writes.is_empty() {
            return None;
        }
        Some((self.issued, std::mem::take(&mut self.writes)))
    }

    /// Returns the messages that may be sent now, in order.
    pub fn take_sends(&mut self) -> Vec<(NodeId, Message)> {
        std::mem::take(&mut self.sends)
    }

    /// Returns the next task of the state machine, if it may begin. A snapshot may be restored only
    /// after it is the durable base of the log.
    pub fn take_task(&mut self) -> Option<Task> {
        if self.has_task() { self.tasks.pop_front().map(|(_, task)| task) } else { None }
    }

    /// Returns whether [`take_task`](Shell::take_task) has a task to return.
    pub fn has_task(&self) -> bool {
        let durable = self.node.disk.durable;
        self.tasks.front().is_some_and(|(after, _)| after.is_none_or(|mark| mark <= durable))
    }

    /// Puts back the task that was taken last and has not begun.
    pub fn put_back(&mut self, task: Task) {
        self.tasks.push_front((None, task));
    }

    /// Returns the answers for clients.
    pub fn take_answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.answers)
    }

    /// Returns whether the election timer has to be reset, and clears this flag.
    pub fn take_timer_reset(&mut self) -> bool {
        std::mem::take(&mut self.election_timer_reset)
    }

    /// Returns the rejections of messages since the last call, each with the sender.
    pub fn take_rejections(&mut self) -> Vec<(NodeId, Rejection)> {
        std::mem::take(&mut self.rejections)
    }

    /// Returns the reason why the node has halted, if it has. The outcome of all unanswered
    /// commands is then unknown.
    pub fn halted(&self) -> Option<HaltReason> {
        self.halted
    }

    /// Returns whether a message in which server `from` claims to lead `term` may reset the
    /// election timer. Such a message has no other effect.
    pub fn heeds_leader(&self, from: NodeId, term: Term) -> bool {
        let known = match self.node.role {
            Role::Follower { leader } => leader,
            Role::Candidate { .. } | Role::Leader(_) => None,
        };
        match term.cmp(&self.node.current_term) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => known.is_none_or(|leader| leader == from),
            std::cmp::Ordering::Greater => true,
        }
    }
}
