//! The tester of one test: it controls and observes a cluster, as the course's tester does.

use std::time::Duration;

use raft_core::{
    AppendEntries, Bytes, Index, LogPosition, Message, Node, NodeId, Payload, ReadRound, Term,
};
use raft_kv::command::{Command, Operation};
use raft_node::shell::ProposalId;
use raft_node::snapshot_store::SnapshotName;
use raft_node::wire::{self, Frame};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::{Conditions, Snapshots, Stop, demand};
use raft_simulation::cluster::host::Survives;
use raft_simulation::cluster::{Cluster, Options, Span};

/// The tester's unit of time. It expects an election to be over within this time.
pub const ELECTION: Duration = Duration::from_secs(1);

/// The longest time that a whole test may take.
const WHOLE_TEST: Duration = Duration::from_mins(2);

/// The interval at which the tester checks its cluster.
pub const LOOK: Duration = Duration::from_millis(5);

/// The number of client commands after which a snapshot is taken, in tests with
/// [`Snapshots::EveryTenCommands`].
const SNAPSHOT_INTERVAL: u64 = 10;

const MS: Duration = Duration::from_millis(1);

/// A cluster in a test, with the methods that control and check it.
pub struct Tester {
    /// The cluster.
    pub cluster: Cluster,
    /// The source of the test's random choices.
    pub random: SmallRng,
    /// The conditions of the test.
    pub conditions: Conditions,
    connected: Vec<bool>,
    /// The side of a partition on which each server is.
    sides: Vec<bool>,
    /// The number of client commands up to each committed index.
    commands: Vec<u64>,
    /// The number of commands that were created.
    made: u64,
    story: Vec<String>,
}

/// A command that a leader has appended to its log.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    /// The leader.
    pub server: NodeId,
    /// The term of the leader.
    pub term: Term,
    /// The index of the command in the leader's log.
    pub index: Index,
    /// The number of the command among the client commands in this log.
    pub number: u64,
    /// The leader's id of the proposal.
    pub proposal: ProposalId,
}

impl Tester {
    /// Starts a cluster under these conditions.
    ///
    /// # Errors
    ///
    /// A server does not start.
    pub fn new(conditions: Conditions, seed: u64, node_logs: bool) -> Result<Tester, Stop> {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut options = Options::new(conditions.servers, random.random());
        options.node_logs = node_logs;
        match conditions.snapshots {
            Snapshots::Never => {}
            // The log is compacted as soon as the snapshot is stored, even if followers still need
            // the entries.
            Snapshots::EveryTenCommands => options.bounds.compaction_patience = 0,
            Snapshots::EveryThousandBytes => {
                options.bounds.snapshot_log_bytes = 1000;
                options.bounds.compaction_patience = 2000;
            }
        }
        let servers = usize::try_from(conditions.servers).unwrap_or(0);
        let mut tester = Tester {
            cluster: Cluster::new(options)?,
            random,
            conditions,
            connected: vec![true; servers],
            sides: vec![true; servers],
            commands: Vec::new(),
            made: 0,
            story: Vec::new(),
        };
        tester.set_unreliable(conditions.unreliable);
        tester.cluster.network.loss = conditions.loss.max(tester.cluster.network.loss);
        Ok(tester)
    }

    /// Returns the actions of the tester in order, each with its time.
    pub fn into_story(self) -> Vec<String> {
        self.story
    }

    /// Adds a line to the story.
    pub fn note(&mut self, what: &str) {
        let seconds = self.cluster.now().as_secs_f64();
        self.story.push(format!("{seconds:>10.4} s  {what}"));
    }

    /// Returns the server that follows `steps` places after another one, counted cyclically.
    pub fn after(&self, id: NodeId, steps: u64) -> NodeId {
        NodeId(1 + (id.0 - 1 + steps) % self.conditions.servers)
    }

    /// Returns a random server.
    pub fn any(&mut self) -> NodeId {
        NodeId(self.random.random_range(1..=self.conditions.servers))
    }

    /// Returns all servers.
    pub fn all(&self) -> Vec<NodeId> {
        self.cluster.ids().collect()
    }

    /// Returns the number of servers.
    pub fn count(&self) -> usize {
        self.connected.len()
    }

    /// Returns true with a probability of `percent` in a hundred.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }
}

/// Methods for the passage of time.
impl Tester {
    /// Lets time pass, and checks the cluster every [`LOOK`].
    ///
    /// # Errors
    ///
    /// A property does not hold, or the test takes too long.
    pub fn advance(&mut self, time: Duration) -> Result<(), Stop> {
        let end = self.cluster.now() + time;
        while self.cluster.now() < end {
            let slice = LOOK.min(end.saturating_sub(self.cluster.now()));
            self.cluster.run_for(slice)?;
            drop(self.cluster.take_answered());
            self.look()?;
        }
        Ok(())
    }

    /// Makes the checks that apply at all times, and takes the snapshots that are due.
    ///
    /// # Errors
    ///
    /// A property does not hold, or the test takes too long.
    pub fn look(&mut self) -> Result<(), Stop> {
        if let Some(broken) = self.cluster.broken() {
            let demanded = format!("the property {} holds", broken.property);
            return demand(false, &demanded, || broken.what);
        }
        demand(self.cluster.now() <= WHOLE_TEST, "the test ends within 120 s", || {
            "it goes on for longer".to_owned()
        })?;
        self.count_commands();
        if self.conditions.snapshots == Snapshots::EveryTenCommands {
            self.take_snapshots();
        }
        Ok(())
    }

    fn count_commands(&mut self) {
        let checks = self.cluster.checks();
        for entry in checks.decided.iter().skip(self.commands.len()) {
            let before = self.commands.last().copied().unwrap_or(0);
            let is_command = matches!(entry.payload, Payload::Command(_));
            self.commands.push(before + u64::from(is_command));
        }
    }

    fn take_snapshots(&mut self) {
        for id in self.all() {
            let Some(node) = self.node(id) else { continue };
            let (applied, base) = (node.last_applied, node.log.base().index);
            if self.commands_up_to(applied) >= self.commands_up_to(base) + SNAPSHOT_INTERVAL {
                self.cluster.take_snapshot(id);
            }
        }
    }
}

/// Methods for connections and crashes.
impl Tester {
    /// Sets up the tester's unreliable network, or its reliable one.
    pub fn set_unreliable(&mut self, unreliable: bool) {
        let network = &mut self.cluster.network;
        if unreliable {
            (network.delay, network.loss) = (Span(Duration::ZERO, 26 * MS), 100);
        } else {
            (network.delay, network.loss) = (Span(MS / 5, 2 * MS), 0);
        }
        // Snapshots are sent over TCP, which sends lost data again.
        network.resend = Some(200 * MS);
    }

    /// Delays two thirds of the replies by 200 to 2200 ms from now on.
    pub fn reorder_for_long(&mut self) {
        self.note("replies are held up from now on");
        self.cluster.network.reply_holdup = (667, Span(200 * MS, 2200 * MS));
    }

    /// Disconnects a server from all others.
    pub fn disconnect(&mut self, id: NodeId) {
        self.note(&format!("disconnect {id}"));
        self.connected[place(id)] = false;
        self.wire();
    }

    /// Connects a server with all connected servers.
    pub fn connect(&mut self, id: NodeId) {
        self.note(&format!("connect {id}"));
        self.connected[place(id)] = true;
        self.wire();
    }

    /// Returns whether a server is connected.
    pub fn is_connected(&self, id: NodeId) -> bool {
        self.connected[place(id)]
    }

    /// Partitions the servers into those of `side` and the others.
    pub fn partition(&mut self, side: &[NodeId]) {
        let names: Vec<String> = side.iter().map(ToString::to_string).collect();
        self.note(&format!("partition: {} and the others", names.join(" ")));
        for id in self.all() {
            self.sides[place(id)] = side.contains(&id);
        }
        self.wire();
    }

    /// Connects all servers with each other.
    pub fn heal(&mut self) {
        self.note("connect all");
        self.sides.fill(true);
        self.connected.fill(true);
        self.wire();
    }

    fn wire(&mut self) {
        for from in self.all() {
            for to in self.all() {
                let (one, other) = (place(from), place(to));
                let connected = self.connected[one] && self.connected[other];
                let cut = !connected || self.sides[one] != self.sides[other];
                self.cluster.network.set_cut(from, to, from != to && cut);
            }
        }
    }

    /// Crashes a server by a kill or a power loss, chosen at random, and disconnects it.
    ///
    /// # Errors
    ///
    /// The disk that is left is not one that a crash may leave.
    pub fn crash(&mut self, id: NodeId) -> Result<(), Stop> {
        let left = if self.random.random() { Survives::All } else { Survives::Nothing };
        self.note(&format!(
            "crash {id} ({})",
            if left == Survives::All { "killed" } else { "power loss" }
        ));
        self.connected[place(id)] = false;
        self.wire();
        Ok(self.cluster.crash(id, left)?)
    }

    /// Starts a server and connects it. A running server is crashed first.
    ///
    /// # Errors
    ///
    /// The server does not start.
    pub fn restart(&mut self, id: NodeId) -> Result<(), Stop> {
        if self.cluster.is_up(id) {
            self.crash(id)?;
        }
        self.note(&format!("start {id}"));
        self.cluster.start(id)?;
        self.connect(id);
        Ok(())
    }

    /// Starts a server if it is down, and connects it in any case.
    ///
    /// # Errors
    ///
    /// The server does not start.
    pub fn bring_up(&mut self, id: NodeId) -> Result<(), Stop> {
        if !self.cluster.is_up(id) {
            return self.restart(id);
        }
        if !self.is_connected(id) {
            self.connect(id);
        }
        Ok(())
    }
}

/// Methods that observe the cluster.
impl Tester {
    /// Returns the node of a server that is up.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        Some(self.cluster.running(id)?.replica.shell().node())
    }

    /// Waits for a leader among the connected servers. Returns the leader of the newest term.
    ///
    /// # Errors
    ///
    /// There is no leader for 5 s, or a term has two leaders.
    pub fn one_leader(&mut self) -> Result<NodeId, Stop> {
        for _ in 0..10 {
            let time = self.random.random_range(450..550) * MS;
            self.advance(time)?;
            if let Some(leader) = self.leader()? {
                return Ok(leader);
            }
        }
        demand(false, "a leader is elected within 5 s", || self.describe())?;
        Ok(NodeId(1))
    }

    /// Returns the leader of the newest term among the connected servers, if there is one.
    ///
    /// # Errors
    ///
    /// A term has two leaders.
    pub fn leader(&self) -> Result<Option<NodeId>, Stop> {
        let leaders = self.cluster.leaders().into_iter().filter(|id| self.is_connected(*id));
        let mut leaders: Vec<(Term, NodeId)> =
            leaders.filter_map(|id| Some((self.node(id)?.current_term, id))).collect();
        leaders.sort_unstable();
        for pair in leaders.windows(2) {
            let seen = || format!("{} and {} lead term {}", pair[0].1, pair[1].1, pair[0].0);
            demand(pair[0].0 != pair[1].0, "a term has at most one leader", seen)?;
        }
        Ok(leaders.last().map(|(_, id)| *id))
    }

    /// Checks that no connected server leads.
    ///
    /// # Errors
    ///
    /// A connected server leads.
    pub fn no_leader(&self) -> Result<(), Stop> {
        let leader = self.leader()?;
        demand(leader.is_none(), "nobody who is connected leads without a majority", || {
            self.describe()
        })
    }

    /// Returns the term of all connected servers.
    ///
    /// # Errors
    ///
    /// The servers have different terms.
    pub fn one_term(&self) -> Result<Term, Stop> {
        let connected = self.cluster.ids().filter(|id| self.is_connected(*id));
        let terms: Vec<Term> =
            connected.filter_map(|id| self.node(id)).map(|node| node.current_term).collect();
        let agree = terms.windows(2).all(|pair| pair[0] == pair[1]);
        demand(agree, "all servers are in the same term", || self.describe())?;
        Ok(terms.first().copied().unwrap_or_default())
    }

    /// Returns the number of servers that have applied the entry at an index.
    pub fn applied_on(&self, index: Index) -> usize {
        let nodes = self.cluster.ids().filter_map(|id| self.node(id));
        nodes.filter(|node| node.last_applied >= index).count()
    }

    /// Returns the command that was committed at an index.
    pub fn decided(&self, index: Index) -> Option<Bytes> {
        let place = usize::try_from(index.0.checked_sub(1)?).ok()?;
        match &self.cluster.checks().decided.get(place)?.payload {
            Payload::Command(command) => Some(command.clone()),
            Payload::Noop => None,
        }
    }

    /// Returns the number of committed client commands.
    pub fn committed(&mut self) -> u64 {
        self.count_commands();
        self.commands.last().copied().unwrap_or(0)
    }

    fn commands_up_to(&self, index: Index) -> u64 {
        let decided = Index(self.commands.len() as u64).min(index);
        let place = usize::try_from(decided.0).unwrap_or(0);
        place.checked_sub(1).and_then(|place| self.commands.get(place)).copied().unwrap_or(0)
    }

    /// Returns the size of a server's log in bytes, encoded as one message.
    pub fn log_bytes(&self, id: NodeId) -> usize {
        let Some(node) = self.node(id) else { return 0 };
        let message = Message::AppendEntries(AppendEntries {
            term: node.current_term,
            prev_log: LogPosition::default(),
            entries: node.log.entries().to_vec(),
            leader_commit: node.commit_index,
            read_round: ReadRound::default(),
        });
        let mut bytes = Vec::new();
        wire::encode(&Frame::Raft(message), &mut bytes);
        bytes.len()
    }

    /// Returns the length of the snapshot at the beginning of a server's log, in bytes.
    pub fn snapshot_bytes(&self, id: NodeId) -> u64 {
        let snapshot = self.node(id).map(|node| node.log.snapshot());
        let name = snapshot.and_then(|snapshot| SnapshotName::of(snapshot).ok());
        name.map_or(0, |name| name.length)
    }

    /// Checks that each server's log takes less than `limit` bytes.
    ///
    /// # Errors
    ///
    /// A log takes `limit` bytes or more.
    pub fn logs_are_within(&self, limit: usize) -> Result<(), Stop> {
        for id in self.cluster.ids() {
            let bytes = self.log_bytes(id);
            let demanded = format!("a log takes less than {limit} bytes");
            demand(bytes < limit, &demanded, || format!("{id}'s log takes {bytes}"))?;
        }
        Ok(())
    }

    /// Returns a description of the state of each server.
    pub fn describe(&self) -> String {
        let one = |id: NodeId| {
            let cut = if self.is_connected(id) { "" } else { ", cut off" };
            match self.node(id) {
                None => format!("{id} is down{cut}"),
                Some(node) => {
                    let role = if node.is_leader() { "leads" } else { "is in" };
                    let (commit, last) = (node.commit_index, node.log.last());
                    format!(
                        "{id} {role} term {}, commit {commit}, applied {}, last {}@{}{cut}",
                        node.current_term, node.last_applied, last.index, last.term
                    )
                }
            }
        };
        self.cluster.ids().map(one).collect::<Vec<_>>().join("; ")
    }
}

/// Methods for commands.
impl Tester {
    /// Creates a command with this text. Each command is unique.
    pub fn command(&mut self, text: &str) -> Bytes {
        self.made += 1;
        let value = format!("{text}#{}", self.made).as_str().into();
        encode(Operation::Put { key: "lab".into(), value })
    }

    /// Proposes a command to a server. Returns `None` unless the server leads and has appended the
    /// command.
    pub fn start(&mut self, id: NodeId, command: &Bytes) -> Option<Started> {
        if !self.cluster.running(id)?.replica.leads() {
            return None;
        }
        let proposal = self.cluster.propose(id, command.clone()).ok()?;
        self.count_commands();
        let node = self.node(id)?;
        let (index, term, base) = (node.log.last_index(), node.current_term, node.log.base().index);
        let taken = node.log.entry(index)?;
        if taken.payload != Payload::Command(command.clone()) {
            return None;
        }
        let is_command = |entry: &&raft_core::Entry| matches!(entry.payload, Payload::Command(_));
        let later = node.log.entries().iter().filter(is_command).count() as u64;
        let number = self.commands_up_to(base) + later;
        Some(Started { server: id, term, index, number, proposal })
    }

    /// Proposes a command to every running server, connected or not. Returns the result of the last
    /// server that has appended it.
    pub fn start_anywhere(&mut self, command: &Bytes) -> Option<Started> {
        let mut started = None;
        for id in self.all() {
            started = self.start(id, command).or(started);
        }
        started
    }

    /// Proposes `count` commands to a leader at once. Returns `None` unless the leader has appended
    /// all of them.
    pub fn start_many(&mut self, id: NodeId, count: usize) -> Option<Vec<Started>> {
        self.note(&format!("propose {count} commands to {id}"));
        let commands: Vec<Bytes> =
            (0..count).map(|number| self.command(&number.to_string())).collect();
        commands.iter().map(|command| self.start(id, command)).collect()
    }

    /// Waits until a command is committed on this many servers. Returns its number among the client
    /// commands. The limit is 10 s in all, and 2 s for each attempt. Without `retry` there is only
    /// one attempt.
    ///
    /// # Errors
    ///
    /// The command is not committed in time.
    pub fn one(&mut self, text: &str, servers: usize, retry: bool) -> Result<u64, Stop> {
        let mut agreement = Agreement::new(self, text, servers, retry);
        loop {
            if let Some(number) = agreement.poll(self)? {
                return Ok(number);
            }
            self.advance(LOOK)?;
        }
    }
}

/// A command that is to be committed on a number of servers.
pub struct Agreement {
    text: String,
    command: Bytes,
    servers: usize,
    retry: bool,
    began: Duration,
    waiting: Option<(Started, Duration)>,
    again_at: Duration,
    next: NodeId,
}

impl Agreement {
    /// Creates a new command.
    pub fn new(tester: &mut Tester, text: &str, servers: usize, retry: bool) -> Agreement {
        let command = tester.command(text);
        let (now, next) = (tester.cluster.now(), NodeId(1));
        let text = text.chars().take(20).collect();
        Agreement { text, command, servers, retry, began: now, waiting: None, again_at: now, next }
    }

    /// Proposes the command or checks its progress. Returns its number among the client commands
    /// once it is committed.
    ///
    /// # Errors
    ///
    /// It takes too long.
    pub fn poll(&mut self, tester: &mut Tester) -> Result<Option<u64>, Stop> {
        let now = tester.cluster.now();
        if let Some((started, since)) = self.waiting {
            let done = tester.applied_on(started.index) >= self.servers
                && tester.decided(started.index).as_ref() == Some(&self.command);
            if done {
                return Ok(Some(tester.commands_up_to(started.index)));
            }
            if now >= since + 2 * ELECTION {
                self.demand(tester, self.retry, "2 s, in one attempt")?;
                self.waiting = None;
                self.again_at = now + 50 * MS;
            }
        }
        self.demand(tester, now < self.began + 10 * ELECTION, "10 s")?;
        if self.waiting.is_none() && now >= self.again_at {
            self.again_at = now + 50 * MS;
            for _ in 0..tester.count() {
                let server = self.next;
                self.next = tester.after(server, 1);
                if tester.is_connected(server)
                    && let Some(started) = tester.start(server, &self.command)
                {
                    self.waiting = Some((started, now));
                    break;
                }
            }
        }
        Ok(None)
    }

    fn demand(&self, tester: &Tester, holds: bool, limit: &str) -> Result<(), Stop> {
        let demanded = format!(
            "command {} is committed on {} servers within {limit}",
            self.text, self.servers
        );
        demand(holds, &demanded, || tester.describe())
    }
}

/// Encodes a command of the key-value service, outside of any session.
pub fn encode(operation: Operation) -> Bytes {
    // The commands here are far shorter than the limit, so encoding does not fail.
    Command { request: None, operation }.encode().unwrap_or_default().into()
}

fn place(id: NodeId) -> usize {
    raft_simulation::cluster::network::place(id)
}
