//! A small cluster in memory that keeps node logs. It has the queues of a real shell. Its scheduler
//! loses, repeats and reorders messages, kills servers, and cuts the last lines of the logs of
//! killed servers.

use std::collections::VecDeque;

use raft_core::{
    Bytes, Config, Effect, Entry, Index, Input, Limits, Mark, Message, Node, NodeId, Paper,
    Payload, PersistentState, ReadId, TermAt, Write, step,
};
use raft_trace::{NodeDigest, NodeRecord};

use crate::logs::Logs;

/// The number of bytes of entries that a transport of these tests sends in one piece.
const PIECE: usize = 80 << 10;

/// Random numbers: the `SplitMix64` generator.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns one of `0..count`.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count.max(1) as u64).expect("it is below a usize")
    }

    /// Returns `true` in `percent` of 100 cases.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

#[derive(Debug)]
enum Task {
    Apply(Index, usize),
    Restore(Index, Mark),
}

#[derive(Debug)]
struct Server {
    node: Node,
    disk: PersistentState,
    writes: VecDeque<(Mark, Write)>,
    waiting: VecDeque<(Mark, NodeId, Message)>,
    tasks: VecDeque<Task>,
    /// The last index that the state machine reflects.
    applied: Index,
    seq: u64,
}

/// A cluster of three servers.
#[derive(Debug)]
pub(crate) struct Cluster {
    servers: Vec<Server>,
    network: Vec<(NodeId, NodeId, Message)>,
    pub(crate) logs: Logs,
    dice: Dice,
    value_size: usize,
    next: u64,
}

fn line(record: &NodeRecord) -> String {
    let mut bytes = Vec::new();
    record.write(&mut bytes).expect("memory takes it");
    String::from_utf8(bytes).expect("JSON is text").trim_end().to_owned()
}

pub(crate) fn config(id: u64) -> Config {
    let limits = Limits { batch: 4, window: 8, reads: 3 };
    Config { id: NodeId(id), voters: (1..=3).map(NodeId).collect(), limits }
}

impl Cluster {
    /// Creates a cluster of three servers that start for the first time.
    pub(crate) fn boot(seed: u64, value_size: usize) -> Cluster {
        let mut cluster = Cluster {
            servers: Vec::new(),
            network: Vec::new(),
            logs: Logs::new(3),
            dice: Dice(seed),
            value_size,
            next: 0,
        };
        for place in 0..3 {
            let server = cluster.start(place, PersistentState::default(), Index::ZERO, "");
            cluster.servers.push(server);
        }
        cluster
    }

    /// Creates a cluster, and runs it for a number of steps.
    pub(crate) fn ran(seed: u64, steps: usize) -> Cluster {
        let mut cluster = Cluster::boot(seed, 8);
        cluster.run(steps);
        cluster
    }

    pub(crate) fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.something_happens();
        }
    }

    fn start(&mut self, place: usize, disk: PersistentState, applied: Index, cut: &str) -> Server {
        let config = config(place as u64 + 1);
        let start = NodeRecord::Start { config: config.clone(), state: disk.clone(), applied };
        self.logs.files[place].push(format!("{cut}{}", line(&start)));
        let node = Node::restart(&Paper, config, disk.clone(), applied).expect("a sound disk");
        Server {
            node,
            disk,
            writes: VecDeque::new(),
            waiting: VecDeque::new(),
            tasks: VecDeque::new(),
            applied,
            seq: 0,
        }
    }

    fn something_happens(&mut self) {
        let place = self.dice.below(3);
        let leads = self.servers[place].node.is_leader();
        match self.dice.below(100) {
            0..=49 => self.deliver(),
            50..=69 => self.sync(place),
            70..=79 => self.apply(place),
            80..=87 if leads => self.propose(place),
            88..=90 if leads => {
                self.next += 1;
                self.input(place, Input::Read { id: ReadId(self.next) });
            }
            91..=94 if leads => self.input(place, Input::Heartbeat),
            95 => self.snapshot(place),
            96 => self.kill(place),
            97 if !leads && !self.servers.iter().any(|server| server.node.is_leader()) => {
                self.input(place, Input::ElectionTimeout);
            }
            98 if self.dice.chance(30) => self.input(place, Input::ElectionTimeout),
            _ => {}
        }
    }

    fn deliver(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let chosen = self.dice.below(self.network.len().min(6));
        let (from, to, message) = if self.dice.chance(8) {
            self.network[chosen].clone()
        } else {
            self.network.remove(chosen)
        };
        if self.dice.chance(5) {
            return;
        }
        let place = usize::try_from(to.0 - 1).expect("one of three");
        for message in in_pieces(message) {
            self.input(place, Input::Receive { from, message });
        }
    }

    fn propose(&mut self, place: usize) {
        let command = |number: u64| {
            let mut bytes = format!("{number}").into_bytes();
            bytes.resize(self.value_size.max(bytes.len()), b'.');
            Bytes::from(bytes)
        };
        let count = 1 + self.dice.next() % 3;
        let commands = (self.next + 1..=self.next + count).map(command).collect();
        self.next += count;
        self.input(place, Input::Propose { commands });
    }

    fn sync(&mut self, place: usize) {
        let count = self.servers[place].writes.len();
        if count == 0 {
            return;
        }
        let done = 1 + self.dice.below(count);
        let server = &mut self.servers[place];
        let mut mark = Mark::default();
        for (issued, write) in server.writes.drain(..done) {
            server.disk.write(&write);
            mark = issued;
        }
        self.input(place, Input::Durable { mark });
    }

    fn apply(&mut self, place: usize) {
        let part = self.dice.next();
        let server = &mut self.servers[place];
        let index = match server.tasks.pop_front() {
            Some(Task::Apply(first, count)) => {
                let done = 1 + usize::try_from(part % count as u64).expect("at most the count");
                if done < count {
                    server.tasks.push_front(Task::Apply(first.plus(done), count - done));
                }
                first.prev().plus(done)
            }
            Some(Task::Restore(base, mark)) if mark <= server.node.disk.durable => base,
            Some(task) => return server.tasks.push_front(task),
            None => return,
        };
        server.applied = index;
        self.input(place, Input::Applied { index });
    }

    fn snapshot(&mut self, place: usize) {
        let node = &self.servers[place].node;
        let index = node.last_applied;
        let TermAt::Present(term) = node.log.term_at(index) else { return };
        if index > node.log.base().index {
            let handle = Bytes::from(format!("snapshot-{index}-{term}-7-deadbeef").as_str());
            self.input(place, Input::SnapshotTaken { index, handle });
        }
    }

    /// Kills a server, and starts it again. Any number of the oldest writes have reached the disk.
    /// The state machine has lost some of its latest entries. The log may end with a line that is
    /// cut short.
    fn kill(&mut self, place: usize) {
        let cut = if self.dice.chance(50) { self.cut_line(place) } else { String::new() };
        let kept = self.dice.below(self.servers[place].writes.len() + 1);
        let server = &mut self.servers[place];
        let mut disk = server.disk.clone();
        server.writes.iter().take(kept).for_each(|(_, write)| disk.write(write));
        let (base, most) = (disk.log.base().index, server.applied);
        let lost = self.dice.next() % (most.since(base) + 1);
        let applied = Index(most.0.saturating_sub(lost)).max(base);
        self.servers[place] = self.start(place, disk, applied, &cut);
    }

    /// Stops all servers, drops all messages in the network, and begins new logs.
    pub(crate) fn stop_and_begin_new_logs(&mut self) {
        self.network.clear();
        self.logs = Logs::new(3);
        (0..3).for_each(|place| self.kill(place));
        for file in &mut self.logs.files {
            let start = file[0].find("{\"schema\"").expect("it is a start");
            file[0].drain(..start);
        }
    }

    /// Returns the beginning of one more line of a server, for a step that no other server has
    /// seen.
    pub(crate) fn cut_line(&mut self, place: usize) -> String {
        let whole = self.next_line(place);
        let length = 1 + self.dice.below(whole.len() - 1);
        whole[..length].to_owned()
    }

    /// Returns one more line of a server, for a step that no other server has seen.
    pub(crate) fn next_line(&mut self, place: usize) -> String {
        let server = &self.servers[place];
        let (mut node, mut effects) = (server.node.clone(), Vec::new());
        let input = if node.is_leader() { Input::Heartbeat } else { Input::ElectionTimeout };
        step(&Paper, &mut node, input.clone(), &mut effects);
        let after = NodeDigest::of(&node);
        line(&NodeRecord::Step { seq: server.seq + 1, input, effects, after })
    }

    fn input(&mut self, place: usize, input: Input) {
        let server = &mut self.servers[place];
        let mut effects = Vec::new();
        step(&Paper, &mut server.node, input.clone(), &mut effects);
        server.seq += 1;
        let after = NodeDigest::of(&server.node);
        for effect in effects.clone() {
            match effect {
                Effect::Persist { mark, write } => server.writes.push_back((mark, write)),
                Effect::Send { to, message, after } => {
                    server.waiting.push_back((after.unwrap_or_default(), to, message));
                }
                Effect::Apply { first, entries } => {
                    server.tasks.push_back(Task::Apply(first, entries.len()));
                }
                Effect::Restore { snapshot, after } => {
                    server.tasks.push_back(Task::Restore(snapshot.last_included_index, after));
                }
                Effect::Rejected(_) | Effect::Halt(_) => panic!("all are honest: {effect:?}"),
                _ => {}
            }
        }
        let (durable, id) = (server.node.disk.durable, server.node.id());
        let (free, waiting) = std::mem::take(&mut server.waiting)
            .into_iter()
            .partition(|(mark, ..)| *mark <= durable);
        server.waiting = waiting;
        self.network.extend(VecDeque::into_iter(free).map(|(_, to, message)| (id, to, message)));
        let record = NodeRecord::Step { seq: server.seq, input, effects, after };
        self.logs.files[place].push(line(&record));
    }
}

/// Splits a large AppendEntries as a transport does.
fn in_pieces(message: Message) -> Vec<Message> {
    let Message::AppendEntries(whole) = message else { return vec![message] };
    let bytes = |entry: &Entry| match &entry.payload {
        Payload::Noop => 0,
        Payload::Command(command) => command.as_slice().len(),
    };
    let mut pieces = vec![raft_core::AppendEntries { entries: Vec::new(), ..whole.clone() }];
    let mut room = PIECE;
    for entry in whole.entries {
        let piece = pieces.last_mut().expect("there is one");
        if bytes(&entry) > room && !piece.entries.is_empty() {
            let mut next = raft_core::AppendEntries { entries: Vec::new(), ..piece.clone() };
            next.prev_log.index = piece.prev_log.index.plus(piece.entries.len());
            next.prev_log.term = piece.entries.last().expect("it holds some").term;
            pieces.push(next);
            room = PIECE;
        }
        room = room.saturating_sub(bytes(&entry));
        pieces.last_mut().expect("there is one").entries.push(entry);
    }
    pieces.into_iter().map(Message::AppendEntries).collect()
}
