//! A cluster of nodes that keep logs, controlled by a test. The test decides when a message is
//! delivered, lost or repeated, when a write becomes durable, and when an entry is applied.

use std::collections::{BTreeSet, VecDeque};

use raft_core::{
    Bytes, Config, Effect, Index, Input, Limits, Mark, Message, Node, NodeId, Paper,
    PersistentState, ReadId, Write, step,
};
use raft_trace::{NodeDigest, NodeRecord};

/// A message on the network.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) message: Message,
}

/// A record as it was written, with the messages that left in its step.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) record: NodeRecord,
    pub(crate) left: Vec<(NodeId, Message)>,
}

pub(crate) struct Member {
    pub(crate) node: Node,
    disk: PersistentState,
    writes: VecDeque<(Mark, Write)>,
    waiting: VecDeque<(Mark, NodeId, Message)>,
    tasks: VecDeque<(Mark, Index)>,
    applied: Index,
    next: u64,
    pub(crate) log: Vec<Logged>,
}

pub(crate) struct Cluster {
    pub(crate) members: Vec<Member>,
    pub(crate) network: Vec<Sent>,
    reads: u64,
}

impl Cluster {
    pub(crate) fn new(servers: u64) -> Cluster {
        let voters: BTreeSet<NodeId> = (1..=servers).map(NodeId).collect();
        let limits = Limits { batch: 2, window: 4, reads: 2 };
        let config = |id: &NodeId| Config { id: *id, voters: voters.clone(), limits };
        let members = voters.iter().map(config).map(Member::new).collect();
        Cluster { members, network: Vec::new(), reads: 0 }
    }

    pub(crate) fn input(&mut self, server: usize, input: Input) {
        let member = &mut self.members[server];
        let from = member.node.id();
        let left = member.input(input);
        self.network.extend(left.into_iter().map(|(to, message)| Sent { from, to, message }));
    }

    pub(crate) fn propose(&mut self, server: usize, command: &str) {
        self.input(server, Input::Propose { commands: vec![Bytes::from(command)] });
    }

    pub(crate) fn read(&mut self, server: usize) {
        self.reads += 1;
        self.input(server, Input::Read { id: ReadId(self.reads) });
    }

    /// Delivers a message of the network. With `again`, a copy stays in the network.
    pub(crate) fn deliver(&mut self, place: usize, again: bool) {
        let Sent { from, to, message } =
            if again { self.network[place].clone() } else { self.network.remove(place) };
        let server = usize::try_from(to.0 - 1).expect("a small number");
        self.input(server, Input::Receive { from, message });
    }

    /// Makes all writes of a server durable.
    pub(crate) fn sync(&mut self, server: usize) {
        if let Some(mark) = self.members[server].sync() {
            self.input(server, Input::Durable { mark });
        }
    }

    pub(crate) fn apply(&mut self, server: usize) {
        if let Some(index) = self.members[server].apply() {
            self.input(server, Input::Applied { index });
        }
    }

    /// Reports to a server that a snapshot of its applied entries is stored.
    pub(crate) fn snapshot(&mut self, server: usize) {
        let node = &self.members[server].node;
        let index = node.last_applied;
        if index > node.log.base().index {
            let handle = Bytes::from(format!("s{index}").as_str());
            self.input(server, Input::SnapshotTaken { index, handle });
        }
    }

    /// Crashes a server, which loses everything that is not durable, and starts it again.
    pub(crate) fn restart(&mut self, server: usize) {
        self.members[server].restart();
    }

    /// Runs the cluster until nothing can happen without a timer or a client.
    pub(crate) fn settle(&mut self) {
        loop {
            let before: usize = self.members.iter().map(|member| member.log.len()).sum();
            for server in 0..self.members.len() {
                self.sync(server);
                self.apply(server);
            }
            if !self.network.is_empty() {
                self.deliver(0, false);
            }
            if self.members.iter().map(|member| member.log.len()).sum::<usize>() == before {
                return;
            }
        }
    }

    /// Returns the log of each server.
    pub(crate) fn logs(&self) -> Vec<Vec<NodeRecord>> {
        let records = |log: &[Logged]| log.iter().map(|logged| logged.record.clone()).collect();
        self.members.iter().map(|member| records(&member.log)).collect()
    }
}

impl Member {
    fn new(config: Config) -> Member {
        let mut member = Member {
            node: Node::boot(&Paper, config).expect("it is among its voters"),
            disk: PersistentState::default(),
            writes: VecDeque::new(),
            waiting: VecDeque::new(),
            tasks: VecDeque::new(),
            applied: Index::ZERO,
            next: 1,
            log: Vec::new(),
        };
        member.log_start();
        member
    }

    fn log_start(&mut self) {
        let (config, state) = (self.node.config.clone(), self.disk.clone());
        let record = NodeRecord::Start { config, state, applied: self.applied };
        self.log.push(Logged { record, left: Vec::new() });
        self.next = 1;
    }

    /// Does a step and logs it. Returns the messages that leave.
    fn input(&mut self, input: Input) -> Vec<(NodeId, Message)> {
        let mut effects = Vec::new();
        step(&Paper, &mut self.node, input.clone(), &mut effects);
        for effect in &effects {
            match effect.clone() {
                Effect::Persist { mark, write } => self.writes.push_back((mark, write)),
                Effect::Send { to, message, after } => {
                    self.waiting.push_back((after.unwrap_or_default(), to, message));
                }
                Effect::Apply { first, entries } => {
                    self.tasks.push_back((Mark::default(), first.prev().plus(entries.len())));
                }
                Effect::Restore { snapshot, after } => {
                    self.tasks.push_back((after, snapshot.last_included_index));
                }
                Effect::Rejected(_) | Effect::Halt(_) => panic!("all are honest here: {effect:?}"),
                _ => {}
            }
        }
        let durable = self.node.disk.durable;
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let (free, waiting) = waiting.partition(|(mark, _, _)| *mark <= durable);
        self.waiting = waiting;
        let free: VecDeque<(Mark, NodeId, Message)> = free;
        let left: Vec<_> = free.into_iter().map(|(_, to, message)| (to, message)).collect();
        let after = NodeDigest::of(&self.node);
        let record = NodeRecord::Step { seq: self.next, input, effects, after };
        self.next += 1;
        self.log.push(Logged { record, left: left.clone() });
        left
    }

    fn sync(&mut self) -> Option<Mark> {
        let mut newest = None;
        for (mark, write) in self.writes.drain(..) {
            self.disk.write(&write);
            newest = Some(mark);
        }
        newest
    }

    fn apply(&mut self) -> Option<Index> {
        let durable = self.node.disk.durable;
        let (_, index) = self.tasks.pop_front_if(|(mark, _)| *mark <= durable)?;
        self.applied = index;
        Some(index)
    }

    fn restart(&mut self) {
        self.writes.clear();
        self.waiting.clear();
        self.tasks.clear();
        // The snapshot is loaded if the state machine is behind it.
        self.applied = self.applied.max(self.disk.log.base().index);
        let (config, disk) = (self.node.config.clone(), self.disk.clone());
        self.node = Node::restart(&Paper, config, disk, self.applied).expect("a sound disk");
        self.log_start();
    }
}
