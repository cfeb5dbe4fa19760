//! A small cluster in memory. Its disks and state machines may lag behind, and its network delivers
//! a message only when a script says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Display;

use itertools::Itertools;
use raft_core::{
    Bytes, Config, Effect, Entry, HaltReason, Index, Input, Limits, Mark, Message, Node, NodeId,
    Paper, PersistentState, Role, Snapshot, Write, step,
};

use crate::notation;

/// The servers, the network between them, and the output of the current command so far.
#[derive(Default)]
pub(crate) struct Cluster {
    servers: BTreeMap<NodeId, Server>,
    limits: Limits,
    /// The servers whose writes wait for `sync`. The writes of other servers are durable when the
    /// step ends.
    pub(crate) queued_disks: BTreeSet<NodeId>,
    /// The servers whose state machine waits for `apply`. Other state machines do their tasks at
    /// once.
    pub(crate) held_machines: BTreeSet<NodeId>,
    /// Messages in flight, in the order in which they left.
    pub(crate) network: Vec<Envelope>,
    /// Delayed messages. Only `release` delivers them.
    pub(crate) delayed: Vec<Envelope>,
    /// Servers on one side of a partition; none if there is no partition.
    pub(crate) island: BTreeSet<NodeId>,
    output: String,
}

/// A message in flight.
#[derive(Clone)]
pub(crate) struct Envelope {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) message: Message,
}

/// One server. Without a process it is down.
#[derive(Default)]
struct Server {
    disk: PersistentState,
    machine: Machine,
    process: Option<Process>,
}

/// The volatile state of a server, which a crash loses.
struct Process {
    node: Node,
    /// Writes on their way to the disk.
    writes: VecDeque<(Mark, Write)>,
    /// Messages that wait for a write.
    outbox: Vec<(Mark, Envelope)>,
    /// The tasks of the state machine, oldest first.
    tasks: VecDeque<Task>,
}

enum Task {
    Apply(Index, Entry),
    Restore(Snapshot, Mark),
}

/// A state machine that stores every command with its index in the log.
#[derive(Default)]
struct Machine {
    applied: Index,
    commands: Vec<(Index, String)>,
}

/// The reason why a command cannot be carried out. The script is wrong then.
pub(crate) type Refused = String;

impl Cluster {
    /// Boots `count` servers, n1 and so on.
    pub(crate) fn boot(&mut self, count: u64, limits: Limits) -> Result<(), Refused> {
        let servers = (1..=count).map(|id| (NodeId(id), Server::default()));
        *self = Cluster { limits, servers: servers.collect(), ..Cluster::default() };
        for id in self.ids() {
            self.restart(id, None)?;
        }
        Ok(())
    }

    pub(crate) fn ids(&self) -> Vec<NodeId> {
        self.servers.keys().copied().collect()
    }

    /// Returns the output since the last call.
    pub(crate) fn take_output(&mut self) -> String {
        std::mem::take(&mut self.output)
    }

    pub(crate) fn print(&mut self, line: impl Display) {
        self.output += &line.to_string();
        self.output.push('\n');
    }

    fn server(&mut self, id: NodeId) -> Result<&mut Server, Refused> {
        let server = self.servers.get_mut(&id);
        server.ok_or_else(|| format!("there is no {id}"))
    }

    fn process(&mut self, id: NodeId) -> Result<&mut Process, Refused> {
        let process = self.server(id)?.process.as_mut();
        process.ok_or_else(|| format!("{id} is down"))
    }

    /// Gives a server an input, carries out the effects, and lets the disk and the state machine
    /// work unless they are held.
    pub(crate) fn feed(&mut self, id: NodeId, input: Input) -> Result<(), Refused> {
        self.print(format!("{id} {}", notation::input(&input)));
        let before = self.process(id)?.node.clone();
        let any = self.step(id, input)?;
        if !any && self.process(id)?.node == before {
            self.print("  (nothing changes)");
        }
        self.go_on(id)
    }

    /// Gives a server an input that is not a command of the script, as [`Cluster::feed`] does.
    /// Prints it only if it has an effect.
    fn feed_quietly(&mut self, id: NodeId, input: Input) -> Result<(), Refused> {
        let headline = format!("{id} {}", notation::input(&input));
        let printed = self.take_output();
        let any = self.step(id, input)?;
        let body = self.take_output();
        self.output = printed;
        if any {
            self.print(headline);
            self.output.push_str(&body);
        }
        Ok(())
    }

    /// Takes one step and prints it. Returns whether there was anything to print.
    fn step(&mut self, id: NodeId, input: Input) -> Result<bool, Refused> {
        let node = &mut self.process(id)?.node;
        let before = node.clone();
        let mut effects = Vec::new();
        step(&Paper, node, input, &mut effects);

        let changes = notation::changes(&before, node);
        for change in &changes {
            self.print(format!("  = {change}"));
        }
        for effect in &effects {
            let lost = self.is_lost(id, effect);
            self.print(format!("  {}{lost}", notation::effect(effect)));
        }
        let any = !changes.is_empty() || !effects.is_empty();
        for effect in effects {
            self.execute(id, effect)?;
        }
        Ok(any)
    }

    fn is_lost(&self, from: NodeId, effect: &Effect) -> &'static str {
        match effect {
            Effect::Send { to, .. } if self.is_cut(from, *to) => " (lost: partition)",
            _ => "",
        }
    }

    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.island.contains(&from) != self.island.contains(&to)
    }

    fn execute(&mut self, id: NodeId, effect: Effect) -> Result<(), Refused> {
        let cut = matches!(&effect, Effect::Send { to, .. } if self.is_cut(id, *to));
        let process = self.process(id)?;
        match effect {
            Effect::Persist { mark, write } => process.writes.push_back((mark, write)),
            Effect::Send { to, message, after } if !cut => {
                let from = id;
                let envelope = Envelope { from, to, message };
                match after {
                    Some(mark) => process.outbox.push((mark, envelope)),
                    None => self.network.push(envelope),
                }
            }
            Effect::Apply { first, entries } => {
                let place = |(offset, entry)| Task::Apply(first.plus(offset), entry);
                process.tasks.extend(entries.into_iter().enumerate().map(place));
            }
            Effect::Restore { snapshot, after } => {
                process.tasks.push_back(Task::Restore(snapshot, after));
            }
            _ => {}
        }
        Ok(())
    }

    /// Lets the server's disk and state machine work until they are idle, unless they are held.
    pub(crate) fn go_on(&mut self, id: NodeId) -> Result<(), Refused> {
        loop {
            let queued = self.queued_disks.contains(&id);
            let held = self.held_machines.contains(&id);
            let Ok(process) = self.process(id) else {
                return Ok(());
            };
            if !queued && !process.writes.is_empty() {
                self.write_to_disk(id, usize::MAX)?;
                let mark = self.process(id)?.node.disk.issued;
                self.feed_quietly(id, Input::Durable { mark })?;
            } else if !held && process.can_apply() {
                let index = self.work(id, usize::MAX)?;
                self.feed_quietly(id, Input::Applied { index })?;
            } else {
                return Ok(());
            }
        }
    }

    /// Makes at most `count` writes durable, and sends and returns the messages that waited for
    /// them.
    fn write_to_disk(&mut self, id: NodeId, count: usize) -> Result<Vec<Envelope>, Refused> {
        let server = self.server(id)?;
        let process = server.process.as_mut().ok_or("down")?;
        let count = count.min(process.writes.len());
        let mut durable = process.node.disk.durable;
        for (mark, write) in process.writes.drain(..count) {
            server.disk.write(&write);
            durable = mark;
        }
        let (left, waiting): (Vec<_>, _) =
            std::mem::take(&mut process.outbox).into_iter().partition(|(mark, _)| *mark <= durable);
        process.outbox = waiting;
        let left: Vec<_> = left.into_iter().map(|(_, envelope)| envelope).collect();
        self.network.extend(left.iter().cloned());
        Ok(left)
    }

    /// Lets the disk finish the oldest `count` writes under way.
    pub(crate) fn sync(&mut self, id: NodeId, count: usize) -> Result<(), Refused> {
        let process = self.process(id)?;
        let written = process.writes.iter().take(count).next_back();
        let Some(&(mark, _)) = written else {
            return Err(format!("{id} has nothing to write"));
        };
        let left = self.write_to_disk(id, count)?;
        self.feed(id, Input::Durable { mark })?;
        for Envelope { to, message, .. } in left {
            let message = notation::message(&message);
            self.print(format!("  now leaves: -> {to} {message}"));
        }
        Ok(())
    }

    /// Lets the state machine do at most `count` of its tasks. Returns the last index that it has
    /// applied.
    fn work(&mut self, id: NodeId, count: usize) -> Result<Index, Refused> {
        let server = self.server(id)?;
        let process = server.process.as_mut().ok_or("down")?;
        for _ in 0..count {
            if !process.can_apply() {
                break;
            }
            match process.tasks.pop_front() {
                Some(Task::Apply(index, entry)) => server.machine.apply(index, &entry)?,
                Some(Task::Restore(snapshot, _)) => server.machine.restore(&snapshot),
                None => break,
            }
        }
        Ok(server.machine.applied)
    }

    pub(crate) fn apply(&mut self, id: NodeId, count: usize) -> Result<(), Refused> {
        if !self.process(id)?.can_apply() {
            return Err(format!("{id} has nothing to apply"));
        }
        let index = self.work(id, count)?;
        self.feed(id, Input::Applied { index })
    }

    /// Tells the server that a snapshot is stored: of the state machine as it was at `index`, or as
    /// it is now.
    pub(crate) fn snapshot(&mut self, id: NodeId, index: Option<Index>) -> Result<(), Refused> {
        let machine = &self.server(id)?.machine;
        let index = index.unwrap_or(machine.applied);
        let handle = machine.as_of(index);
        self.feed(id, Input::SnapshotTaken { index, handle })
    }

    /// Ends the process. The first `kept` of the writes under way reach the disk.
    pub(crate) fn crash(&mut self, id: NodeId, kept: usize) -> Result<(), Refused> {
        let server = self.server(id)?;
        let Some(process) = server.process.take() else {
            return Err(format!("{id} is down"));
        };
        for (_, write) in process.writes.iter().take(kept) {
            server.disk.write(write);
        }
        let lost = process.writes.iter().skip(kept);
        let lost = lost.map(|(_, write)| format!("; lost: {}", notation::write(write)));
        let line = format!("{id} crashes{}", lost.format(""));
        self.print(line);
        Ok(())
    }

    /// Starts a server from its disk. Its state machine has kept everything up to `applied`; if
    /// that is none, it holds only the snapshot on the disk.
    pub(crate) fn restart(&mut self, id: NodeId, applied: Option<Index>) -> Result<(), Refused> {
        let voters = self.servers.keys().copied().collect();
        let limits = self.limits;
        let server = self.server(id)?;
        if server.process.is_some() {
            return Err(format!("{id} is up"));
        }
        let applied = server.recover(applied);
        let config = Config { id, voters, limits };
        match Node::restart(&Paper, config, server.disk.clone(), applied) {
            Ok(node) => {
                self.print(format!("{id} starts: {}", notation::state(&node)));
                self.print(format!("  log {}", notation::log(&node)));
                self.server(id)?.process = Some(Process::new(node));
            }
            Err(reason) => self.does_not_start(id, reason),
        }
        Ok(())
    }

    fn does_not_start(&mut self, id: NodeId, reason: HaltReason) {
        self.print(format!("{id} does not start: {reason:?}"));
    }

    /// Starts a server again with another disk.
    pub(crate) fn replace_disk(
        &mut self,
        id: NodeId,
        disk: PersistentState,
        applied: Option<Index>,
    ) -> Result<(), Refused> {
        *self.server(id)? = Server { disk, ..Server::default() };
        self.restart(id, applied)
    }

    /// Delivers messages, in this order.
    pub(crate) fn deliver(&mut self, messages: Vec<Envelope>) -> Result<(), Refused> {
        for Envelope { from, to, message } in messages {
            if self.server(to)?.process.is_none() {
                let message = notation::message(&message);
                self.print(format!("{to} is down and misses: <- {from} {message}"));
                continue;
            }
            self.feed(to, Input::Receive { from, message })?;
        }
        Ok(())
    }

    /// Delivers all messages, and the answers to them, until nothing is in flight.
    pub(crate) fn settle(&mut self) -> Result<(), Refused> {
        // The network of a correct cluster becomes empty. The limit ends the script if it does not.
        for _ in 0..1000 {
            if self.network.is_empty() {
                return Ok(());
            }
            let next = self.network.remove(0);
            self.deliver(vec![next])?;
        }
        Err("the cluster does not settle".to_owned())
    }

    pub(crate) fn print_state(&mut self, id: NodeId) -> Result<(), Refused> {
        let Some(process) = &self.server(id)?.process else {
            self.print(format!("{id} is down"));
            return Ok(());
        };
        let node = &process.node;
        let mut lines = vec![format!("{id} {}", notation::state(node))];
        lines.push(format!("  log {}", notation::log(node)));
        if let Role::Leader(leadership) = &node.role {
            for (follower, progress) in &leadership.followers {
                lines.push(format!("  {follower} {}", notation::progress(progress)));
            }
        }
        let writes = process.writes.iter();
        let write = |(mark, write): &(Mark, Write)| {
            format!("  waiting write {}: {}", mark.0, notation::write(write))
        };
        lines.extend(writes.map(write));
        self.print(lines.join("\n"));
        Ok(())
    }

    pub(crate) fn print_log(&mut self, id: NodeId) -> Result<(), Refused> {
        let log = notation::log(&self.process(id)?.node);
        self.print(format!("{id} {log}"));
        Ok(())
    }

    pub(crate) fn print_machine(&mut self, id: NodeId) -> Result<(), Refused> {
        let machine = &self.server(id)?.machine;
        let line = format!("{id} {:?} at {}", machine.as_of(machine.applied), machine.applied);
        self.print(line);
        Ok(())
    }
}

impl Process {
    fn new(node: Node) -> Process {
        Process { node, writes: VecDeque::new(), outbox: Vec::new(), tasks: VecDeque::new() }
    }

    /// Returns whether the state machine has a task that need not wait for the disk.
    fn can_apply(&self) -> bool {
        match self.tasks.front() {
            Some(Task::Apply(..)) => true,
            Some(Task::Restore(_, after)) => *after <= self.node.disk.durable,
            None => false,
        }
    }
}

impl Server {
    /// Sets the state machine to its state at the start of the server. Returns the last applied
    /// index.
    fn recover(&mut self, applied: Option<Index>) -> Index {
        let snapshot = self.disk.log.snapshot();
        let Some(applied) = applied else {
            self.machine.restore(snapshot);
            return snapshot.last_included_index;
        };
        self.machine.commands.retain(|(index, _)| *index <= applied);
        self.machine.applied = applied;
        applied
    }
}

impl Machine {
    fn apply(&mut self, index: Index, entry: &Entry) -> Result<(), Refused> {
        if index != self.applied.next() {
            return Err(format!("asked to apply {index} after {}", self.applied));
        }
        self.applied = index;
        if entry.payload != raft_core::Payload::Noop {
            self.commands.push((index, notation::command(entry)));
        }
        Ok(())
    }

    fn restore(&mut self, snapshot: &Snapshot) {
        let index = snapshot.last_included_index;
        let commands = snapshot.handle.to_string();
        // Commands that were known before keep their indexes, because an older snapshot may still
        // be under way. The other commands get the last index of the snapshot, which covers them.
        self.commands.retain(|(at, _)| *at <= index);
        let known = self.commands.len();
        let at_base = |command: &str| (index, command.to_owned());
        let new = commands.split_whitespace().skip(known).map(at_base);
        self.commands.extend(new);
        self.applied = index;
    }

    /// Returns the commands up to `index`, which are the data of a snapshot of that state.
    fn as_of(&self, index: Index) -> Bytes {
        let applied = self.commands.iter().filter(|(at, _)| *at <= index);
        Bytes::from(applied.map(|(_, command)| command).join(" ").as_str())
    }
}
