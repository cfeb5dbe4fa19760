//! The comparison after each step.

use std::sync::PoisonError;

use raft_checker::cluster::server::{ApplyTask, Process, Server};
use raft_core::{Index, Mark, Node, PersistentState, Role};
use raft_node::StateMachine as _;
use raft_node::shell::Task;
use raft_trace::Envelope;

use super::Lockstep;
use super::divergence::{Divergence, same};
use raft_simulation::reference_store::Reference;
use raft_simulation::server::{Running, open_log};

impl Lockstep<'_> {
    /// Compares both servers.
    ///
    /// # Errors
    ///
    /// The first difference.
    pub fn compare(&self) -> Result<(), Divergence> {
        if let Some(complaint) = self.complaint.as_ref().or(self.timer_set.as_ref()) {
            return Err(complaint.clone());
        }
        let mut sent = self.sent.clone();
        for sent in &mut sent {
            sent.sort_unstable();
        }
        same("the messages sent", &sent[0], &sent[1])?;
        same("the reads that are served", &self.served[0], &self.served[1])?;
        let watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        same("what is refused", &self.refused, &watcher.rejections)?;
        drop(watcher);
        let expected = self.refinement.server(&self.model);
        let durable = self.durable(&expected.disk)?;
        same("the durable log, term and vote", &expected.disk, &durable)?;
        match (&expected.process, &self.running) {
            (None, None) => Ok(()),
            (Some(_), None) | (None, Some(_)) => {
                let say = |up| if up { "up" } else { "down" };
                let (model, node) = (expected.process.is_some(), self.running.is_some());
                Err(Divergence::of("whether it is up", say(model), say(node)))
            }
            (Some(process), Some(running)) => self.compare_running(&expected, process, running),
        }
    }

    fn compare_running(
        &self,
        expected: &Server,
        process: &Process,
        running: &Running,
    ) -> Result<(), Divergence> {
        let mut actual =
            Server { process: Some(self.process(process, running)), ..expected.clone() };
        actual.forget_what_is_settled();
        let Some(found) = &actual.process else { return Ok(()) };
        compare_nodes(&process.node, &found.node)?;
        same("the writes on their way", &process.writes, &found.writes)?;
        same("the messages that wait", &process.outbox, &found.outbox)?;
        same("the tasks of the state machine", &process.apply_queue, &found.apply_queue)?;
        let model = process.storing.as_ref().map(|(index, _)| *index);
        let node = running.storing.as_ref().map(|storing| storing.view.index());
        same("the snapshot being stored", &model, &node)?;
        compare_state(&expected.state_machine, running)
    }

    /// Returns production's process in the form of the model.
    fn process(&self, expected: &Process, running: &Running) -> Process {
        let shell = running.replica.shell();
        let mut node = shell.node().clone();
        if let Role::Leader(leadership) = &mut node.role {
            for read in &mut leadership.reads {
                read.id = self.reads.get(&read.id).copied().unwrap_or(read.id);
            }
        }
        let queues = shell.queues();
        let issued = node.disk.issued.0;
        let first = (issued + 1).saturating_sub(queues.writes.len() as u64);
        let untaken = (first..).map(Mark).zip(queues.writes.iter().cloned());
        let outbox = queues.waiting.iter().map(|(mark, to, message)| {
            (*mark, Envelope { from: self.setup.id, to: *to, message: message.clone() })
        });
        let taken = running.tasks.iter().map(|task| (None, task));
        let tasks = taken.chain(queues.tasks).flat_map(|(mark, task)| flatten(mark, task));
        Process {
            writes: running.writes.iter().cloned().chain(untaken).collect(),
            outbox: outbox.collect(),
            apply_queue: tasks.collect(),
            storing: expected.storing.clone(),
            memory: expected.memory.clone(),
            node,
        }
    }

    /// Returns the state on the disk after a power loss that loses all unsynced data. Most steps do
    /// not change it, and then it is not read again.
    fn durable(&self, expected: &PersistentState) -> Result<PersistentState, Divergence> {
        let disk = self.disk.moment().after_power_loss(|| false);
        let contents = disk.contents("node");
        let mut known = self.durable.borrow_mut();
        if let Some((_, state)) = known.as_ref().filter(|(known, _)| *known == contents) {
            return Ok(state.clone());
        }
        let (_, state) = open_log(&disk, &self.setup)
            .map_err(|failure| Divergence::of("the durable log", expected, failure.to_string()))?;
        *known = Some((contents, state.clone()));
        Ok(state)
    }
}

/// Splits a task into one task for each entry.
fn flatten(after: Option<Mark>, task: &Task) -> Vec<ApplyTask> {
    match task {
        Task::Restore(snapshot) => {
            vec![ApplyTask::Restore(snapshot.clone(), after.unwrap_or_default())]
        }
        Task::Apply { first, entries } => {
            let indexes = (first.0..).map(Index);
            indexes
                .zip(entries)
                .map(|(index, entry)| ApplyTask::Entry(index, entry.clone()))
                .collect()
        }
    }
}

fn compare_nodes(model: &Node, node: &Node) -> Result<(), Divergence> {
    same("role", &model.role, &node.role)?;
    same("current_term", &model.current_term, &node.current_term)?;
    same("voted_for", &model.voted_for, &node.voted_for)?;
    same("log", &model.log, &node.log)?;
    same("commit_index", &model.commit_index, &node.commit_index)?;
    same("last_applied", &model.last_applied, &node.last_applied)?;
    same("what was given to apply", &model.apply_requested, &node.apply_requested)?;
    same("what is durable", &model.disk, &node.disk)?;
    same("the node", model, node)
}

/// Compares the state machine with the state after these entries.
fn compare_state(entries: &[raft_core::Entry], running: &Running) -> Result<(), Divergence> {
    let reference = Reference::of(entries);
    same("the applied index of the state", &reference.applied, &running.reader.applied())?;
    let found = running.reader.whole();
    let found =
        found.map_err(|error| Divergence::of("the state", &reference, error.to_string()))?;
    same("the state", &reference, &found)
}
