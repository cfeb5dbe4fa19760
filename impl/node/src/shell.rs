//! What stands between raft-core's step function and the world, without the world: no thread, no
//! clock, no file, no socket.
//!
//! A [`Shell`] owns the [`Node`]. It takes inputs, and keeps what they ask for in four queues that
//! the caller empties in any order and at any pace:
//!
//! - [`take_writes`](Shell::take_writes): what to put on the disk, as one transaction; then say
//!   [`Input::Durable`];
//! - [`take_sends`](Shell::take_sends): messages that may leave *now*. A message that confirms a
//!   write is not among them before that write is durable;
//! - [`take_task`](Shell::take_task): what the state machine has to do next; then say
//!   [`answer_applied`](Shell::answer_applied) and [`Input::Applied`];
//! - [`take_answers`](Shell::take_answers): what to tell clients.
//!
//! So a leader's entries go out while its own disk is still busy with them, one transaction serves
//! everything that came in meanwhile, and nobody can send too early: the rule is in here, and all
//! who run a node, in production and in tests, run it through here.

use std::collections::{BTreeMap, VecDeque};

use raft_core::{
    Bytes, Effect, Entry, HaltReason, Index, Input, LogWrite, Mark, Message, Node, NodeId, Paper,
    ReadId, ReadRefusal, Rejection, Role, Snapshot, Term, TermAt, Write, step,
};

/// The caller's name for a command that a client proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProposalId(pub u64);

/// What the state machine is asked to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Apply committed entries.
    Apply {
        /// The index of the first.
        first: Index,
        /// The entries.
        entries: Vec<Entry>,
    },
    /// Become what the snapshot says.
    Restore(Snapshot),
}

/// What became of a client's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The command was committed and applied; this is what the state machine says.
    Applied(ProposalId, Bytes),
    /// The command was not appended, and will never be.
    NotLeader(ProposalId, Option<NodeId>),
    /// Another entry is committed in the command's place, or in that of an entry before it: it will
    /// never be applied.
    Superseded(ProposalId),
    /// Nobody here can tell any more whether the command is or will be applied.
    Unknown(ProposalId),
    /// The read may be served from the state machine as it is now, or later.
    ReadReady(ReadId, Index),
    /// The read cannot be served here.
    ReadRefused(ReadId, ReadRefusal),
}

/// A node with its queues.
#[derive(Clone, Debug)]
pub struct Shell {
    node: Node,
    effects: Vec<Effect>,
    /// Issued and not yet taken.
    writes: Vec<Write>,
    /// The newest write that was issued.
    issued: Mark,
    /// Messages that wait for a write, in the order of the writes.
    waiting: VecDeque<(Mark, NodeId, Message)>,
    sends: Vec<(NodeId, Message)>,
    tasks: VecDeque<(Option<Mark>, Task)>,
    /// Commands that wait for their entry in this server's log to be committed: there is such an
    /// entry, at that index and of that term, for each of them.
    proposed: BTreeMap<Index, (Term, ProposalId)>,
    /// Commands that are committed and being applied.
    applying: BTreeMap<Index, ProposalId>,
    answers: Vec<Answer>,
    election_timer_reset: bool,
    rejections: Vec<(NodeId, Rejection)>,
    halted: Option<HaltReason>,
}

/// What waits in a shell.
#[derive(Clone, Debug)]
pub struct Queues<'s> {
    /// Writes that were not taken yet, the newest issued last.
    pub writes: &'s [Write],
    /// Messages that wait for a write.
    pub waiting: &'s VecDeque<(Mark, NodeId, Message)>,
    /// Tasks that were not taken yet, with the write for which each has to wait.
    pub tasks: Vec<(Option<Mark>, &'s Task)>,
}

/// Somebody who looks at every step.
pub trait Observe {
    /// The node was given `input`, asked for `effects`, and is now as it is.
    fn step(&mut self, input: &Input, effects: &[Effect], node: &Node);
}

impl Shell {
    /// A shell around a node that was started from its disk.
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

    /// The node, for looking at.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The queues, for looking at.
    pub fn queues(&self) -> Queues<'_> {
        Queues {
            writes: &self.writes,
            waiting: &self.waiting,
            tasks: self.tasks.iter().map(|(after, task)| (*after, task)).collect(),
        }
    }

    /// How many commands wait for their answer.
    pub fn unanswered(&self) -> usize {
        self.proposed.len() + self.applying.len()
    }

    /// Gives the node an input and queues what it asks for. After a halt nothing has an effect.
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

    /// Clients ask for commands to be appended, in this order.
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

    /// The state machine has answered the entries that end at `index`, in order. Say
    /// [`Input::Applied`] as well.
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
            // `propose` has looked before it asked.
            Effect::Proposed { .. } | Effect::ProposalRefused { .. } => {}
        }
    }

    /// Entries before `end` are committed, and those of the commands that wait there among them.
    fn begin_applying(&mut self, end: Index) {
        let later = self.proposed.split_off(&end);
        let committed = std::mem::replace(&mut self.proposed, later);
        self.applying.extend(committed.into_iter().map(|(index, (_, id))| (index, id)));
    }

    /// The log was overwritten from `first` on. Answers the commands whose entries went, there and
    /// behind, so that none is forgotten when its index is used again.
    ///
    /// What is gone from this log may live on in others, and be committed by one of their servers as
    /// a later leader (paper, Figure 8): server 1 appends x in term 2 and replicates it to server 2 of
    /// five; server 3, elected in term 3 by 3, 4 and 5, overwrites it on server 1; server 2, elected
    /// in term 4 by 2, 4 and 5, commits it after all. So the outcome is unknown. It is known only if
    /// the entry that came to `first` is committed: every later leader has that one, and no log with
    /// it holds the command's entry (Log Matching).
    fn answer_truncated(&mut self, first: Index) {
        let committed = self.node.commit_index >= first;
        for (index, (term, id)) in self.proposed.split_off(&first) {
            if self.node.log.term_at(index) == TermAt::Present(term) {
                // It was appended just now.
                self.proposed.insert(index, (term, id));
            } else if committed {
                self.answers.push(Answer::Superseded(id));
            } else {
                self.answers.push(Answer::Unknown(id));
            }
        }
    }

    /// A snapshot took the place of the whole log: it may reflect the commands, or may not.
    fn answer_replaced(&mut self) {
        let gone = std::mem::take(&mut self.proposed);
        self.answers.extend(gone.into_values().map(|(_, id)| Answer::Unknown(id)));
    }

    /// Lets go the messages whose write is durable.
    fn release(&mut self) {
        let durable = self.node.disk.durable;
        while self.waiting.front().is_some_and(|(mark, _, _)| *mark <= durable) {
            if let Some((_, to, message)) = self.waiting.pop_front() {
                self.sends.push((to, message));
            }
        }
    }

    /// All writes that were issued and not taken yet, and the mark to report when they are on the
    /// disk. They must reach it after everything taken earlier.
    pub fn take_writes(&mut self) -> Option<(Mark, Vec<Write>)> {
        if self.writes.is_empty() {
            return None;
        }
        Some((self.issued, std::mem::take(&mut self.writes)))
    }

    /// The messages that may leave now, in order.
    pub fn take_sends(&mut self) -> Vec<(NodeId, Message)> {
        std::mem::take(&mut self.sends)
    }

    /// The state machine's next task, if it may begin: a snapshot is not restored before it is the
    /// log's durable base.
    pub fn take_task(&mut self) -> Option<Task> {
        if self.has_task() { self.tasks.pop_front().map(|(_, task)| task) } else { None }
    }

    /// Whether [`take_task`](Shell::take_task) has something to give.
    pub fn has_task(&self) -> bool {
        let durable = self.node.disk.durable;
        self.tasks.front().is_some_and(|(after, _)| after.is_none_or(|mark| mark <= durable))
    }

    /// Gives back a task that was taken last and has not begun.
    pub fn put_back(&mut self, task: Task) {
        self.tasks.push_front((None, task));
    }

    /// What to tell clients.
    pub fn take_answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.answers)
    }

    /// Whether the election timer has to start anew, since this was last asked.
    pub fn take_timer_reset(&mut self) -> bool {
        std::mem::take(&mut self.election_timer_reset)
    }

    /// The messages that were refused, since this was last asked.
    pub fn take_rejections(&mut self) -> Vec<(NodeId, Rejection)> {
        std::mem::take(&mut self.rejections)
    }

    /// Why the node has stopped, if it has. Whoever waits for an answer is owed "unknown".
    pub fn halted(&self) -> Option<HaltReason> {
        self.halted
    }

    /// Whether a server that says it leads `term` may be heeded as its leader, for the election timer
    /// only.
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
