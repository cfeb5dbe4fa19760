//! A minimal shell of a node: writes that become durable when the test says so, messages that wait
//! for them, and a state machine that applies at once.

use std::collections::VecDeque;

use raft_core::{
    Bytes, Config, Effect, Entry, Index, Input, Mark, Message, Node, NodeId, Paper,
    PersistentState, Rejection, Snapshot, Write, step,
};

use super::figure_2::place;

/// A node that runs.
#[derive(Clone, Debug)]
pub(crate) struct Shell {
    pub(crate) node: Node,
    pub(crate) disk: PersistentState,
    /// Writes on their way to the disk.
    pub(crate) writes: VecDeque<(Mark, Write)>,
    /// Messages that wait for one of these writes.
    pub(crate) waiting: VecDeque<(Mark, NodeId, Message)>,
    /// Messages that have left.
    pub(crate) sent: VecDeque<(NodeId, Message)>,
    /// All entries that were applied, from index 1 on.
    pub(crate) state_machine: Vec<Entry>,
    /// The reason why the last message was refused, if it was.
    pub(crate) refused: Option<Rejection>,
    tasks: VecDeque<Task>,
    /// The snapshot that is being stored.
    storing: Option<(Index, Bytes)>,
}

#[derive(Clone, Debug)]
enum Task {
    Apply(Index, Entry),
    Restore(Snapshot, Mark),
}

impl Shell {
    /// Starts a node from what is on its disk and in its state machine.
    pub(crate) fn start(config: Config, disk: PersistentState, state_machine: Vec<Entry>) -> Shell {
        let applied = Index(state_machine.len() as u64);
        let node = Node::restart(&Paper, config, disk.clone(), applied).expect("a sound disk");
        Shell {
            node,
            disk,
            writes: VecDeque::new(),
            waiting: VecDeque::new(),
            sent: VecDeque::new(),
            state_machine,
            refused: None,
            tasks: VecDeque::new(),
            storing: None,
        }
    }

    /// Gives the node an input, carries out its effects, and applies the entries that can be
    /// applied.
    pub(crate) fn step(&mut self, input: Input) {
        let mut effects = Vec::new();
        step(&Paper, &mut self.node, input, &mut effects);
        for effect in effects {
            self.execute(effect);
        }
        self.release();
        if let Some(index) = self.apply() {
            self.step(Input::Applied { index });
        }
    }

    fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::Persist { mark, write } => self.writes.push_back((mark, write)),
            Effect::Send { to, message, after } => {
                let mark = after.unwrap_or(self.node.disk.durable);
                self.waiting.push_back((mark, to, message));
            }
            Effect::Apply { first, entries } => {
                let indexes = (first.0..).map(Index);
                let tasks = indexes.zip(entries).map(|(index, entry)| Task::Apply(index, entry));
                self.tasks.extend(tasks);
            }
            Effect::Restore { snapshot, after } => {
                self.tasks.push_back(Task::Restore(snapshot, after));
            }
            Effect::Rejected(Rejection::ContradictsCommitted) => {
                self.refused = Some(Rejection::ContradictsCommitted);
            }
            Effect::Rejected(_) | Effect::Halt(_) => panic!("all are honest here: {effect:?}"),
            _ => {}
        }
    }

    fn release(&mut self) {
        let durable = self.node.disk.durable;
        let waiting = std::mem::take(&mut self.waiting);
        let (free, waiting) = waiting.into_iter().partition(|(mark, _, _)| *mark <= durable);
        self.waiting = waiting;
        self.sent.extend(VecDeque::into_iter(free).map(|(_, to, message)| (to, message)));
    }

    /// Does the state machine's oldest task, if it may be done now.
    fn apply(&mut self) -> Option<Index> {
        let durable = self.node.disk.durable;
        match self.tasks.pop_front()? {
            Task::Restore(snapshot, mark) if mark > durable => {
                self.tasks.push_front(Task::Restore(snapshot, mark));
                None
            }
            Task::Restore(snapshot, _) => {
                self.state_machine = decode(&snapshot);
                Some(snapshot.last_included_index)
            }
            Task::Apply(index, entry) => {
                assert_eq!(index.0, self.state_machine.len() as u64 + 1, "applied in order");
                self.state_machine.push(entry);
                Some(index)
            }
        }
    }

    /// Makes the oldest `count` writes durable.
    pub(crate) fn sync(&mut self, count: usize) {
        let done: Vec<(Mark, Write)> = self.writes.drain(..count).collect();
        for (_, write) in &done {
            self.disk.write(write);
        }
        let mark = done.last().expect("at least one write").0;
        self.step(Input::Durable { mark });
    }

    /// Begins to store a snapshot of the state machine as it is.
    pub(crate) fn begin_snapshot(&mut self) {
        let index = Index(self.state_machine.len() as u64);
        self.storing = Some((index, encode(&self.state_machine)));
    }

    /// Finishes storing that snapshot.
    pub(crate) fn end_snapshot(&mut self) {
        let (index, handle) = self.storing.take().expect("a snapshot was begun");
        self.step(Input::SnapshotTaken { index, handle });
    }

    /// Crashes and starts again.
    pub(crate) fn restart(mut self, writes_kept: usize, applied_kept: usize) -> Shell {
        let writes = std::mem::take(&mut self.writes);
        writes.iter().take(writes_kept).for_each(|(_, write)| self.disk.write(write));
        let snapshot = self.disk.log.snapshot();
        if applied_kept == place(snapshot.last_included_index) {
            self.state_machine = decode(snapshot);
        }
        self.state_machine.truncate(applied_kept);
        Shell::start(self.node.config, self.disk, self.state_machine)
    }
}

/// Returns the handle of a snapshot, which is its data: all entries that were applied.
pub(crate) fn encode(state_machine: &[Entry]) -> Bytes {
    Bytes::from(serde_json::to_vec(state_machine).expect("entries have a form in JSON"))
}

/// Returns the state that a snapshot stands for.
pub(crate) fn decode(snapshot: &Snapshot) -> Vec<Entry> {
    match snapshot.handle.as_slice() {
        [] => Vec::new(),
        data => serde_json::from_slice(data).expect("the test made this handle itself"),
    }
}
