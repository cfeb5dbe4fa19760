//! One server of the model: the node, its disk, its state machine and its outgoing messages. A
//! crash loses writes that were not synced and may undo a part of the state machine. Messages wait
//! for the writes that they confirm.

use std::collections::VecDeque;

use raft_core::{
    Bytes, Config, Effect, Entry, Index, Input, Mark, Message, Node, NodeId, PersistentState,
    ReadId, Role, Snapshot, Term, Write,
};
use raft_trace::{Action, ApplyMode, DiskMode, Envelope, Settings};
use serde::{Deserialize, Serialize};

use super::history::Fact;
use super::impossible::Impossible;
use super::local_action::LocalAction;
use super::snapshot_data::{decode, encode};
use crate::protocol::{Memory, Protocol};

/// A server, up or down.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Server {
    /// Its id.
    pub id: NodeId,
    /// The durable contents of its disk.
    pub disk: PersistentState,
    /// The entries that its state machine has applied. A real state machine holds only the
    /// resulting state. The model holds the whole list, so that any difference is visible.
    pub state_machine: Vec<Entry>,
    /// The running process; none if the server is down.
    pub process: Option<Process>,
    /// The newest vote that this server has sent or counted for itself. It is kept across crashes
    /// until the disk has a later term. Only the properties use it; the node cannot see it.
    pub released_vote: Option<(Term, NodeId)>,
}

/// The volatile state of a server, which a crash loses.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Process {
    /// The node itself.
    pub node: Node,
    /// Writes on their way to the disk, oldest first.
    pub writes: VecDeque<(Mark, Write)>,
    /// Messages that wait for a write, sorted. The network keeps no order, so states that differ
    /// only in the order of sending must be equal.
    pub outbox: Vec<(Mark, Envelope)>,
    /// The tasks of the state machine, oldest first.
    pub apply_queue: VecDeque<ApplyTask>,
    /// The snapshot that is being stored: its last index, and its data.
    pub storing: Option<(Index, Bytes)>,
    /// The state that the protocol keeps beside the node.
    pub memory: Memory,
}

/// A task of the state machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ApplyTask {
    /// Apply the entry at an index.
    Entry(Index, Entry),
    /// Restore the snapshot, once the write is durable.
    Restore(Snapshot, Mark),
}

/// The results of one action of a server, beside the change of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reaction {
    /// Messages that left the server.
    pub sent: Vec<Envelope>,
    /// Facts that the cluster's history has to record.
    pub facts: Vec<Fact>,
}

/// An event inside an action that the server before and after the action does not show.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The node has handled an InstallSnapshot.
    SnapshotOffered {
        /// The snapshot of the message.
        snapshot: &'a Snapshot,
        /// The node's commit index before the message.
        commit_before: Index,
        /// The node after the message.
        node: &'a Node,
    },
    /// A message leaves the server.
    MessageLeaves {
        /// The message.
        envelope: &'a Envelope,
        /// The disk at that moment.
        disk: &'a PersistentState,
        /// The process at that moment.
        process: &'a Process,
    },
    /// A message that grants a vote leaves, or a candidate counts its own vote.
    VoteReleased {
        /// The newest vote that was released before; none once the disk has a later term.
        before: Option<(Term, NodeId)>,
        /// The term of this vote.
        term: Term,
        /// The candidate that gets the vote.
        candidate: NodeId,
    },
    /// The state machine is asked to apply an entry that is not its next one, or to go back.
    AppliesOutOfOrder,
    /// The state machine is restored from a snapshot.
    Restores(&'a Snapshot),
    /// The node rejects a message.
    Rejects,
    /// The node halts, or does not start.
    Halts,
}

/// A receiver of the events inside actions.
pub trait Observer {
    /// Receives an event.
    fn observe(&mut self, event: Event<'_>);
}

/// An observer that ignores all events.
pub struct Unobserved;

impl Observer for Unobserved {
    fn observe(&mut self, _: Event<'_>) {}
}

/// The results of an action so far, and its observer.
struct Report<'o> {
    reaction: Reaction,
    observer: &'o mut dyn Observer,
}

impl Server {
    /// Makes a server that starts for the first time.
    ///
    /// # Panics
    ///
    /// Never: a server that is down can be started.
    pub fn boot<P: Protocol>(settings: &Settings, protocol: &P, id: NodeId) -> Server {
        let mut server = Server {
            id,
            disk: PersistentState::default(),
            state_machine: Vec::new(),
            process: None,
            released_vote: None,
        };
        let mut report = Report { reaction: Reaction::default(), observer: &mut Unobserved };
        server.restart(settings, protocol, &mut report).expect("it is down");
        server
    }

    /// Does an action of this server.
    ///
    /// # Errors
    ///
    /// [`Impossible`], with the server as it was, if the action cannot be done now.
    pub fn run<P: Protocol>(
        &mut self,
        settings: &Settings,
        protocol: &P,
        action: &Action,
    ) -> Result<Reaction, Impossible> {
        self.run_observed(settings, protocol, action, &mut Unobserved)
    }

    /// Does an action of this server, and reports the events inside the action to an observer.
    ///
    /// # Errors
    ///
    /// As for [`run`](Server::run).
    pub fn run_observed<P: Protocol>(
        &mut self,
        settings: &Settings,
        protocol: &P,
        action: &Action,
        observer: &mut dyn Observer,
    ) -> Result<Reaction, Impossible> {
        let mut report = Report { reaction: Reaction::default(), observer };
        let out = &mut report;
        match action {
            Action::ElectionTimeout { .. } => self.feed(protocol, Input::ElectionTimeout, out)?,
            Action::Heartbeat { .. } => self.feed(protocol, Input::Heartbeat, out)?,
            Action::Propose { command, .. } => {
                self.feed(protocol, Input::Propose { commands: vec![command.clone()] }, out)?;
            }
            Action::Read { id, .. } => {
                out.reaction.facts.push(Fact::ReadBegan(*id));
                self.feed(protocol, Input::Read { id: *id }, out)?;
            }
            Action::Deliver(Envelope { from, message, .. }) => {
                self.feed(protocol, Input::Receive { from: *from, message: message.clone() }, out)?;
            }
            Action::Drop(_) | Action::Duplicate(_) => {}
            Action::Sync { writes, .. } => self.sync(protocol, *writes, out)?,
            Action::Apply { .. } => self.apply_next(protocol, out)?,
            Action::Crash { writes_kept, applied_kept, .. } => {
                self.crash(settings, *writes_kept, *applied_kept, out)?;
            }
            Action::Restart { .. } => self.restart(settings, protocol, out)?,
            Action::StartSnapshot { .. } => self.start_snapshot(settings, protocol, out)?,
            Action::FinishSnapshot { .. } => self.finish_snapshot(protocol, out)?,
        }
        self.settle(settings, protocol, out);
        self.forget_what_is_settled();
        Ok(report.reaction)
    }

    fn running(&mut self) -> Result<&mut Process, Impossible> {
        let id = self.id;
        self.process.as_mut().ok_or(Impossible::Down(id))
    }

    /// Gives the node an input and carries out its effects.
    fn feed<P: Protocol>(
        &mut self,
        protocol: &P,
        input: Input,
        out: &mut Report<'_>,
    ) -> Result<(), Impossible> {
        let process = self.running()?;
        let led = process.node.is_leader().then_some(process.node.current_term);
        let commit_before = process.node.commit_index;
        let snapshot_offered = match &input {
            Input::Receive { message: Message::InstallSnapshot(request), .. } => {
                Some(request.snapshot.clone())
            }
            _ => None,
        };
        let mut effects = Vec::new();
        protocol.step(&mut process.node, &mut process.memory, input, &mut effects);

        let node = &process.node;
        if let Some(snapshot) = &snapshot_offered {
            out.observer.observe(Event::SnapshotOffered { snapshot, commit_before, node });
        }
        let leads = node.is_leader().then_some(node.current_term);
        if let Some(term) = leads.filter(|_| leads != led) {
            out.reaction.facts.push(Fact::Won(term));
        }
        if let Some(term) = leads.filter(|_| node.commit_index > commit_before) {
            let first = commit_before.next();
            let count = usize::try_from(node.commit_index.since(commit_before)).unwrap_or(0);
            let entries = node.log.entries_from(first, count).to_vec();
            out.reaction.facts.push(Fact::Committed { term, first, entries });
        }
        if let Some(term) = counts_own_vote(node) {
            self.release_vote(term, self.id, out);
        }
        for effect in effects {
            self.execute(effect, out);
        }
        Ok(())
    }

    fn execute(&mut self, effect: Effect, out: &mut Report<'_>) {
        let id = self.id;
        let Some(process) = self.process.as_mut() else {
            return;
        };
        match effect {
            Effect::Persist { mark, write } => process.writes.push_back((mark, write)),
            Effect::Send { to, message, after } => {
                let mark = after.unwrap_or(process.node.disk.durable);
                process.outbox.push((mark, Envelope { from: id, to, message }));
                self.release_sends(out);
            }
            Effect::Apply { first, entries } => {
                let indexes = (first.0..).map(Index);
                let tasks =
                    indexes.zip(entries).map(|(index, entry)| ApplyTask::Entry(index, entry));
                process.apply_queue.extend(tasks);
            }
            Effect::Restore { snapshot, after } => {
                process.apply_queue.push_back(ApplyTask::Restore(snapshot, after));
            }
            Effect::ReadReady { id, .. } => {
                out.reaction
                    .facts
                    .push(Fact::ReadServed(id, Index(self.state_machine.len() as u64)));
            }
            Effect::ReadRefused { id, .. } => out.reaction.facts.push(Fact::ReadEnded(id)),
            Effect::Rejected(_) => out.observer.observe(Event::Rejects),
            Effect::Halt(_) => {
                out.observer.observe(Event::Halts);
                self.stop(out);
            }
            // The model has no clock, and its clients do not wait for answers.
            Effect::ResetElectionTimer
            | Effect::Proposed { .. }
            | Effect::ProposalRefused { .. } => {}
        }
    }

    /// Sends every waiting message whose write is durable.
    fn release_sends(&mut self, out: &mut Report<'_>) {
        let Some(process) = self.process.as_mut() else {
            return;
        };
        let durable = process.node.disk.durable;
        let waiting = std::mem::take(&mut process.outbox);
        let (free, waiting): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(mark, _)| *mark <= durable);
        process.outbox = waiting;
        for (_, envelope) in &free {
            let disk = &self.disk;
            out.observer.observe(Event::MessageLeaves { envelope, disk, process });
        }
        for (_, envelope) in free {
            if let Message::RequestVoteReply(reply) = &envelope.message
                && reply.granted
            {
                self.release_vote(reply.term, envelope.to, out);
            }
            out.reaction.sent.push(envelope);
        }
    }

    fn release_vote(&mut self, term: Term, candidate: NodeId, out: &mut Report<'_>) {
        let before = self.released_vote;
        out.observer.observe(Event::VoteReleased { before, term, candidate });
        if self.released_vote.is_none_or(|(newest, _)| newest <= term) {
            self.released_vote = Some((term, candidate));
        }
    }

    /// Makes the oldest `count` writes durable.
    fn sync<P: Protocol>(
        &mut self,
        protocol: &P,
        count: usize,
        out: &mut Report<'_>,
    ) -> Result<(), Impossible> {
        let process = self.running()?;
        let waiting = process.writes.len();
        if count == 0 || count > waiting {
            return Err(Impossible::TooManyWrites(waiting));
        }
        let done: Vec<_> = process.writes.drain(..count).collect();
        for (_, write) in &done {
            self.disk.write(write);
        }
        let mark = done[count - 1].0;
        self.feed(protocol, Input::Durable { mark }, out)?;
        self.release_sends(out);
        Ok(())
    }

    /// Lets the state machine do its oldest task.
    fn apply_next<P: Protocol>(
        &mut self,
        protocol: &P,
        out: &mut Report<'_>,
    ) -> Result<(), Impossible> {
        let process = self.running()?;
        let durable = process.node.disk.durable;
        let task = match process.apply_queue.front() {
            Some(ApplyTask::Restore(_, after)) if *after > durable => None,
            _ => process.apply_queue.pop_front(),
        };
        let applied = Index(self.state_machine.len() as u64);
        let index = match task.ok_or(Impossible::NothingToApply)? {
            ApplyTask::Entry(index, entry) => {
                if index == applied.next() {
                    self.state_machine.push(entry.clone());
                } else {
                    out.observer.observe(Event::AppliesOutOfOrder);
                }
                out.reaction.facts.push(Fact::Applied(index, entry));
                index
            }
            ApplyTask::Restore(snapshot, _) => {
                if snapshot.last_included_index < applied {
                    out.observer.observe(Event::AppliesOutOfOrder);
                }
                out.observer.observe(Event::Restores(&snapshot));
                self.state_machine = decode(&snapshot.handle);
                out.reaction.facts.push(Fact::Restored(self.state_machine.clone()));
                snapshot.last_included_index
            }
        };
        self.feed(protocol, Input::Applied { index }, out)
    }

    fn crash(
        &mut self,
        settings: &Settings,
        writes_kept: usize,
        applied_kept: Index,
        out: &mut Report<'_>,
    ) -> Result<(), Impossible> {
        let writes = &self.process.as_ref().ok_or(Impossible::Down(self.id))?.writes;
        if writes_kept > writes.len() {
            return Err(Impossible::TooManyWrites(writes.len()));
        }
        let mut disk = self.disk.clone();
        for (_, write) in writes.iter().take(writes_kept) {
            disk.write(write);
        }
        if !self.applied_after_crash(settings, &disk).contains(&applied_kept.0) {
            return Err(Impossible::BadApplied(applied_kept));
        }
        let base = disk.log.snapshot();
        if applied_kept == base.last_included_index {
            // Either the state machine kept exactly this state, or the shell loads the snapshot at
            // the start.
            self.state_machine = decode(&base.handle);
        } else {
            self.state_machine.truncate(usize::try_from(applied_kept.0).unwrap_or(usize::MAX));
        }
        self.disk = disk;
        self.stop(out);
        Ok(())
    }

    /// Returns the indexes at which a crash can leave the state machine, given the disk after the
    /// crash.
    fn applied_after_crash(
        &self,
        settings: &Settings,
        disk: &PersistentState,
    ) -> std::ops::RangeInclusive<u64> {
        let base = disk.log.base().index.0;
        match settings.apply {
            ApplyMode::AtOnce => base..=base,
            ApplyMode::Separate => base..=base.max(self.state_machine.len() as u64),
        }
    }

    /// Ends the process, and with it the reads that wait in it.
    fn stop(&mut self, out: &mut Report<'_>) {
        if let Some(Process { node: Node { role: Role::Leader(leadership), .. }, .. }) =
            self.process.take()
        {
            out.reaction.facts.extend(leadership.reads.iter().map(|read| Fact::ReadEnded(read.id)));
        }
    }

    fn restart<P: Protocol>(
        &mut self,
        settings: &Settings,
        protocol: &P,
        out: &mut Report<'_>,
    ) -> Result<(), Impossible> {
        if self.process.is_some() {
            return Err(Impossible::Up(self.id));
        }
        let voters = (1..=settings.servers).map(NodeId).collect();
        let config = Config { id: self.id, voters, limits: settings.limits };
        let applied = Index(self.state_machine.len() as u64);
        match protocol.restart(config, self.disk.clone(), applied) {
            Ok(node) => {
                self.process = Some(Process {
                    node,
                    writes: VecDeque::new(),
                    outbox: Vec::new(),
                    apply_queue: VecDeque::new(),
                    storing: None,
                    memory: Memory::new(),
                });
            }
            Err(_) => out.observer.observe(Event::Halts),
        }
        Ok(())
    }

    fn start_snapshot<P: Protocol>(
        &mut self,
        settings: &Settings,
        protocol: &P,
        out: &mut Report<'_>,
    ) -> Result<(), Impossible> {
        if !self.can_start_snapshot() {
            return Err(Impossible::NoSnapshot);
        }
        let index = Index(self.state_machine.len() as u64);
        let handle = encode(&self.state_machine);
        self.running()?.storing = Some((index, handle));
        match settings.apply {
            ApplyMode::AtOnce => self.finish_snapshot(protocol, out),
            ApplyMode::Separate => Ok(()),
        }
    }

    fn can_start_snapshot(&self) -> bool {
        self.process.as_ref().is_some_and(|process| {
            process.storing.is_none()
                && self.state_machine.len() as u64 > process.node.log.base().index.0
        })
    }

    fn finish_snapshot<P: Protocol>(
        &mut self,
        protocol: &P,
        out: &mut Report<'_>,
    ) -> Result<(), Impossible> {
        let stored = self.running()?.storing.take();
        let (index, handle) = stored.ok_or(Impossible::NoSnapshot)?;
        self.feed(protocol, Input::SnapshotTaken { index, handle }, out)
    }

    /// Does the work that takes no time in these settings: writes of an atomic disk, and applying
    /// at once.
    fn settle<P: Protocol>(&mut self, settings: &Settings, protocol: &P, out: &mut Report<'_>) {
        while let Some(process) = &self.process {
            let writes = process.writes.len();
            let settled = if settings.disk == DiskMode::Atomic && writes > 0 {
                self.sync(protocol, writes, out)
            } else if settings.apply == ApplyMode::AtOnce {
                self.apply_next(protocol, out)
            } else {
                return;
            };
            if settled.is_err() {
                return;
            }
        }
    }

    /// Removes differences that can no longer matter, so that states with the same behaviour become
    /// equal: counts marks from the newest durable write, sorts the outbox, and drops a released
    /// vote once the disk has a later term.
    pub fn forget_what_is_settled(&mut self) {
        if self.released_vote.is_some_and(|(term, _)| self.disk.current_term > term) {
            self.released_vote = None;
        }
        let Some(process) = self.process.as_mut() else {
            return;
        };
        let base = process.node.disk.durable.0;
        let renumber = |mark: &mut Mark| mark.0 = mark.0.saturating_sub(base);
        let disk = &mut process.node.disk;
        renumber(&mut disk.issued);
        renumber(&mut disk.durable);
        disk.unsynced.iter_mut().for_each(|part| renumber(&mut part.mark));
        if let Role::Candidate { own_vote: Some(mark), .. } = &mut process.node.role {
            renumber(mark);
        }
        process.writes.iter_mut().for_each(|(mark, _)| renumber(mark));
        process.outbox.iter_mut().for_each(|(mark, _)| renumber(mark));
        process.outbox.sort_unstable();
        for task in &mut process.apply_queue {
            if let ApplyTask::Restore(_, mark) = task {
                renumber(mark);
            }
        }
    }

    /// Returns all actions that this server can do by itself, in a fixed order, without those that
    /// cannot change anything. Timeouts beyond `max_term` are left out too.
    pub(crate) fn local_actions(&self, settings: &Settings, max_term: Term) -> Vec<LocalAction> {
        let Some(process) = &self.process else {
            return vec![LocalAction::Restart];
        };
        let mut actions = Vec::new();
        let node = &process.node;
        if node.is_leader() {
            actions.extend([LocalAction::Heartbeat, LocalAction::Propose, LocalAction::Read]);
        } else if node.current_term < max_term {
            actions.push(LocalAction::ElectionTimeout);
        }
        let waiting = process.writes.len();
        actions.extend((1..=waiting).map(|writes| LocalAction::Sync { writes }));
        let waits = |task: &ApplyTask| matches!(task, ApplyTask::Restore(_, after) if *after > node.disk.durable);
        if process.apply_queue.front().is_some_and(|task| !waits(task)) {
            actions.push(LocalAction::Apply);
        }
        if self.can_start_snapshot() {
            actions.push(LocalAction::StartSnapshot);
        }
        if process.storing.is_some() {
            actions.push(LocalAction::FinishSnapshot);
        }
        let mut disk = self.disk.clone();
        for writes_kept in 0..=waiting {
            if let Some((_, write)) = writes_kept.checked_sub(1).map(|last| &process.writes[last]) {
                disk.write(write);
            }
            let applied = self.applied_after_crash(settings, &disk).map(Index);
            actions.extend(
                applied.map(|applied_kept| LocalAction::Crash { writes_kept, applied_kept }),
            );
        }
        actions
    }

    /// Returns the reads that wait in this server.
    pub fn pending_reads(&self) -> impl Iterator<Item = ReadId> + '_ {
        let reads = match self.process.as_ref().map(|process| &process.node.role) {
            Some(Role::Leader(leadership)) => Some(&leadership.reads),
            _ => None,
        };
        reads.into_iter().flatten().map(|read| read.id)
    }
}

/// Returns the term in which the node counts its own vote, if it does.
fn counts_own_vote(node: &Node) -> Option<Term> {
    let counted = match &node.role {
        Role::Follower { .. } => false,
        Role::Candidate { votes, .. } => votes.contains(&node.id()),
        Role::Leader(_) => true,
    };
    counted.then_some(node.current_term)
}
