//! The laboratory of one test: a cluster, and what the course's tester does to it and asks of it.

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

/// The tester's unit: in this time it expects an election to be over.
pub const ELECTION: Duration = Duration::from_secs(1);

/// A whole test may take this long.
const WHOLE_TEST: Duration = Duration::from_mins(2);

/// How often the tester looks at its cluster.
pub const LOOK: Duration = Duration::from_millis(5);

/// Snapshots are taken after so many commands of clients, where a test asks for that.
const SNAPSHOT_INTERVAL: u64 = 10;

const MS: Duration = Duration::from_millis(1);

/// A cluster in a test.
pub struct Tester {
    /// The cluster.
    pub cluster: Cluster,
    /// Whatever the test leaves to chance.
    pub random: SmallRng,
    /// Under which conditions it runs.
    pub conditions: Conditions,
    connected: Vec<bool>,
    /// On which side of a partition each server is.
    sides: Vec<bool>,
    /// How many commands of clients there are up to each index that was decided.
    commands: Vec<u64>,
    /// How many commands were made.
    made: u64,
    story: Vec<String>,
}

/// A command that a leader has taken.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    /// The leader.
    pub server: NodeId,
    /// In which term it leads.
    pub term: Term,
    /// Where in its log the command stands.
    pub index: Index,
    /// Which number among the commands of clients it has there.
    pub number: u64,
    /// The leader's name for it.
    pub proposal: ProposalId,
}

impl Tester {
    /// A cluster under these conditions.
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
            // The log is cut as soon as the snapshot is stored, whoever still needs it.
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

    /// What the tester did, in order, with the time.
    pub fn into_story(self) -> Vec<String> {
        self.story
    }

    /// Adds to the story.
    pub fn note(&mut self, what: &str) {
        let seconds = self.cluster.now().as_secs_f64();
        self.story.push(format!("{seconds:>10.4} s  {what}"));
    }

    /// A server, counted round from another one.
    pub fn after(&self, id: NodeId, steps: u64) -> NodeId {
        NodeId(1 + (id.0 - 1 + steps) % self.conditions.servers)
    }

    /// Any server.
    pub fn any(&mut self) -> NodeId {
        NodeId(self.random.random_range(1..=self.conditions.servers))
    }

    /// All servers.
    pub fn all(&self) -> Vec<NodeId> {
        self.cluster.ids().collect()
    }

    /// How many servers.
    pub fn count(&self) -> usize {
        self.connected.len()
    }

    /// Whether a thing happens that happens so often in a hundred.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }
}

/// Time.
impl Tester {
    /// Lets time pass, and looks at the cluster meanwhile.
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

    /// What is seen to all the time.
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

/// Connections and crashes.
impl Tester {
    /// The tester's unreliable network, or its good one.
    pub fn set_unreliable(&mut self, unreliable: bool) {
        let network = &mut self.cluster.network;
        if unreliable {
            (network.delay, network.loss) = (Span(Duration::ZERO, 26 * MS), 100);
        } else {
            (network.delay, network.loss) = (Span(MS / 5, 2 * MS), 0);
        }
        // Snapshots travel over TCP, which sends again what is lost.
        network.resend = Some(200 * MS);
    }

    /// From now on two thirds of the replies come 200 to 2200 ms late.
    pub fn reorder_for_long(&mut self) {
        self.note("replies are held up from now on");
        self.cluster.network.reply_holdup = (667, Span(200 * MS, 2200 * MS));
    }

    /// Cuts a server off.
    pub fn disconnect(&mut self, id: NodeId) {
        self.note(&format!("disconnect {id}"));
        self.connected[place(id)] = false;
        self.wire();
    }

    /// Connects a server with all that are connected.
    pub fn connect(&mut self, id: NodeId) {
        self.note(&format!("connect {id}"));
        self.connected[place(id)] = true;
        self.wire();
    }

    /// Whether a server is connected.
    pub fn is_connected(&self, id: NodeId) -> bool {
        self.connected[place(id)]
    }

    /// Splits the servers into those and the others.
    pub fn partition(&mut self, side: &[NodeId]) {
        let names: Vec<String> = side.iter().map(ToString::to_string).collect();
        self.note(&format!("partition: {} and the others", names.join(" ")));
        for id in self.all() {
            self.sides[place(id)] = side.contains(&id);
        }
        self.wire();
    }

    /// Connects everybody with everybody.
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

    /// Ends a server's process, which is cut off, too. Either it is killed or its power goes.
    ///
    /// # Errors
    ///
    /// What is left is nothing that a crash may leave.
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

    /// Starts a server and connects it. One that runs is crashed first.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn restart(&mut self, id: NodeId) -> Result<(), Stop> {
        if self.cluster.is_up(id) {
            self.crash(id)?;
        }
        self.note(&format!("start {id}"));
        self.cluster.start(id)?;
        self.connect(id);
        Ok(())
    }

    /// Starts a server that is down, and connects it in any case.
    ///
    /// # Errors
    ///
    /// It does not start.
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

/// What can be seen of the cluster.
impl Tester {
    /// The node of a server that is up.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        Some(self.cluster.running(id)?.replica.shell().node())
    }

    /// The only leader of the newest term among the servers that are connected.
    ///
    /// # Errors
    ///
    /// There is none for 5 s, or a term has two.
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

    /// The leader of the newest term among the servers that are connected, if there is one.
    ///
    /// # Errors
    ///
    /// A term has two.
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

    /// No server that is connected may lead.
    ///
    /// # Errors
    ///
    /// One does.
    pub fn no_leader(&self) -> Result<(), Stop> {
        let leader = self.leader()?;
        demand(leader.is_none(), "nobody who is connected leads without a majority", || {
            self.describe()
        })
    }

    /// The term on which all servers that are connected agree.
    ///
    /// # Errors
    ///
    /// They do not.
    pub fn one_term(&self) -> Result<Term, Stop> {
        let connected = self.cluster.ids().filter(|id| self.is_connected(*id));
        let terms: Vec<Term> =
            connected.filter_map(|id| self.node(id)).map(|node| node.current_term).collect();
        let agree = terms.windows(2).all(|pair| pair[0] == pair[1]);
        demand(agree, "all servers are in the same term", || self.describe())?;
        Ok(terms.first().copied().unwrap_or_default())
    }

    /// How many servers have applied what stands at an index.
    pub fn applied_on(&self, index: Index) -> usize {
        let nodes = self.cluster.ids().filter_map(|id| self.node(id));
        nodes.filter(|node| node.last_applied >= index).count()
    }

    /// The command that was decided at an index.
    pub fn decided(&self, index: Index) -> Option<Bytes> {
        let place = usize::try_from(index.0.checked_sub(1)?).ok()?;
        match &self.cluster.checks().decided.get(place)?.payload {
            Payload::Command(command) => Some(command.clone()),
            Payload::Noop => None,
        }
    }

    /// How many commands of clients were decided.
    pub fn committed(&mut self) -> u64 {
        self.count_commands();
        self.commands.last().copied().unwrap_or(0)
    }

    fn commands_up_to(&self, index: Index) -> u64 {
        let decided = Index(self.commands.len() as u64).min(index);
        let place = usize::try_from(decided.0).unwrap_or(0);
        place.checked_sub(1).and_then(|place| self.commands.get(place)).copied().unwrap_or(0)
    }

    /// The encoded bytes of a server's log: what it would send of it.
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

    /// The length of the snapshot at the beginning of a server's log.
    pub fn snapshot_bytes(&self, id: NodeId) -> u64 {
        let snapshot = self.node(id).map(|node| node.log.snapshot());
        let name = snapshot.and_then(|snapshot| SnapshotName::of(snapshot).ok());
        name.map_or(0, |name| name.length)
    }

    /// No server's log may take more than that.
    ///
    /// # Errors
    ///
    /// One does.
    pub fn logs_are_within(&self, limit: usize) -> Result<(), Stop> {
        for id in self.cluster.ids() {
            let bytes = self.log_bytes(id);
            let demanded = format!("a log takes less than {limit} bytes");
            demand(bytes < limit, &demanded, || format!("{id}'s log takes {bytes}"))?;
        }
        Ok(())
    }

    /// Where every server stands.
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

/// Commands.
impl Tester {
    /// A command of this text. Each is made once.
    pub fn command(&mut self, text: &str) -> Bytes {
        self.made += 1;
        let value = format!("{text}#{}", self.made).as_str().into();
        encode(Operation::Put { key: "lab".into(), value })
    }

    /// Asks a server to replicate a command. None unless it leads and has taken it.
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

    /// Asks every server that runs, connected or not; the last that has taken it.
    pub fn start_anywhere(&mut self, command: &Bytes) -> Option<Started> {
        let mut started = None;
        for id in self.all() {
            started = self.start(id, command).or(started);
        }
        started
    }

    /// Asks a leader for so many commands at once. None if it did not take one.
    pub fn start_many(&mut self, id: NodeId, count: usize) -> Option<Vec<Started>> {
        self.note(&format!("propose {count} commands to {id}"));
        let commands: Vec<Bytes> =
            (0..count).map(|number| self.command(&number.to_string())).collect();
        commands.iter().map(|command| self.start(id, command)).collect()
    }

    /// A command is committed on so many servers within 10 s; returns its number among the commands
    /// of clients. Each attempt takes 2 s at most; without `retry` there is one.
    ///
    /// # Errors
    ///
    /// It is not.
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

/// A command on its way to be committed on some servers.
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
    /// A new command.
    pub fn new(tester: &mut Tester, text: &str, servers: usize, retry: bool) -> Agreement {
        let command = tester.command(text);
        let (now, next) = (tester.cluster.now(), NodeId(1));
        let text = text.chars().take(20).collect();
        Agreement { text, command, servers, retry, began: now, waiting: None, again_at: now, next }
    }

    /// Goes on with it: its number among the commands of clients, once it is committed.
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

/// A command as the key-value service takes it, outside of any session.
pub fn encode(operation: Operation) -> Bytes {
    // What is encoded here is far shorter than a command may be.
    Command { request: None, operation }.encode().unwrap_or_default().into()
}

fn place(id: NodeId) -> usize {
    raft_simulation::cluster::network::place(id)
}
