//! Clients of a simulated cluster: they ask for something, wait, try elsewhere, and remember what they
//! were told.
//!
//! A client asks one thing at a time. What it asks twice carries the serial number of its session, so
//! that it is done once; a client without a session does not ask twice, and what it was not answered is
//! unknown. Everything goes into one history, which must be linearizable.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use raft_core::NodeId;
use raft_kv::command::{self, ClientId, Command, RequestId};
use raft_node::replica::ReaderId;
use raft_node::shell::ProposalId;
use raft_node::{ProposeError, ReadError};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::cluster::{Answered, Cluster, Span};
use crate::linearizability::{Answer, History, Operation, Recorder, Ticket};
use crate::server::{Failure, Told};

/// What clients do.
#[derive(Clone, Debug)]
pub struct Workload {
    /// How many clients.
    pub clients: u64,
    /// How many keys they share.
    pub keys: u64,
    /// How long a client thinks between two requests.
    pub think: Span,
    /// How long it waits for an answer before it asks again or gives up.
    pub patience: Duration,
    /// For how long it asks again.
    pub persistence: Duration,
    /// How long a request or an answer takes, and how many in a thousand are lost.
    pub network: (Span, u32),
    /// Of how many clients one has no session.
    pub without_session: u64,
    /// What they ask for, picked evenly.
    pub mix: Vec<Kind>,
    /// How many requests each client makes.
    pub requests: u64,
    /// By how many bytes, at most, some values are longer than they have to be.
    pub padding: usize,
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Read a key.
    Get,
    /// Give a key a value.
    Put,
    /// Lengthen a value.
    Append,
    /// Give a key a value if it has the version that was seen last.
    CompareAndSet,
    /// Remove a key.
    Delete,
}

impl Default for Workload {
    fn default() -> Workload {
        Workload {
            clients: 4,
            keys: 3,
            think: Span(Duration::from_millis(200), Duration::from_millis(1500)),
            patience: Duration::from_millis(500),
            persistence: Duration::from_secs(8),
            network: (Span(Duration::from_micros(200), Duration::from_millis(2)), 0),
            without_session: 4,
            mix: vec![
                Kind::Get,
                Kind::Get,
                Kind::Put,
                Kind::Append,
                Kind::Append,
                Kind::CompareAndSet,
                Kind::Delete,
            ],
            requests: u64::MAX,
            padding: 0,
        }
    }
}

/// What a client is doing.
#[derive(Debug)]
enum Doing {
    Thinking,
    /// It opens its session.
    Opening,
    Asking {
        key: String,
        operation: Operation,
        ticket: Ticket,
        since: Duration,
    },
}

#[derive(Debug)]
struct Client {
    session: Option<ClientId>,
    wants_session: bool,
    serial: u64,
    doing: Doing,
    /// The number of its last request, so that late answers are told from the one it waits for.
    attempt: u64,
    server: NodeId,
    seen: HashMap<String, Option<u64>>,
    answered: u64,
    /// The only servers that it reaches, if it does not reach all.
    reaches: Option<Vec<NodeId>>,
}

/// What a server says to a client.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reply {
    Answer(Vec<u8>),
    Value(Option<(u64, Vec<u8>)>),
    /// It certainly did nothing.
    NotDone {
        leader: Option<NodeId>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Begin(usize),
    /// A read if there is no command.
    Arrive {
        client: usize,
        attempt: u64,
        server: NodeId,
        key: String,
        command: Option<Vec<u8>>,
    },
    Reply {
        client: usize,
        attempt: u64,
        reply: Reply,
    },
    Impatient {
        client: usize,
        attempt: u64,
    },
    /// It was told that nothing was done, and asks again.
    Again {
        client: usize,
        attempt: u64,
    },
}

/// Clients, and what is under way between them and the servers.
pub struct Clients {
    workload: Workload,
    all: Vec<Client>,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    planned: u64,
    random: SmallRng,
    servers: u64,
    recorder: Recorder<Operation, Answer>,
    proposals: HashMap<(NodeId, u64, ProposalId), (usize, u64)>,
    reads: HashMap<(NodeId, u64, ReaderId), (usize, u64, String)>,
    /// Requests that were answered.
    pub answered: u64,
    /// Until when new requests are begun.
    pub stop_at: Duration,
    /// Answers of the store that no client can get.
    pub complaint: Option<String>,
}

impl Clients {
    /// Clients that begin now.
    pub fn new(workload: Workload, cluster: &Cluster, seed: u64) -> Clients {
        let servers = cluster.options.servers;
        let mut random = SmallRng::seed_from_u64(seed);
        let client = |number: u64| Client {
            session: None,
            wants_session: !(number + 1).is_multiple_of(workload.without_session.max(1)),
            serial: 0,
            doing: Doing::Thinking,
            attempt: 0,
            server: NodeId(1 + number % servers),
            seen: HashMap::new(),
            answered: 0,
            reaches: None,
        };
        let mut clients = Clients {
            all: (0..workload.clients).map(client).collect(),
            events: BinaryHeap::new(),
            planned: 0,
            servers,
            recorder: Recorder::default(),
            proposals: HashMap::new(),
            reads: HashMap::new(),
            answered: 0,
            stop_at: Duration::MAX,
            complaint: None,
            random: SmallRng::seed_from_u64(random.random()),
            workload,
        };
        for number in 0..clients.all.len() {
            let time = cluster.now() + clients.workload.think.pick(&mut clients.random);
            clients.plan(time, Event::Begin(number));
        }
        clients
    }

    fn plan(&mut self, time: Duration, event: Event) {
        self.planned += 1;
        self.events.push(Reverse((time, self.planned, event)));
    }

    /// What clients asked, and were told. What was not answered has an unknown outcome.
    pub fn into_history(self) -> History<Operation, Answer> {
        self.recorder.into_history()
    }

    /// Whether nobody waits for an answer.
    pub fn are_idle(&self) -> bool {
        self.all.iter().all(|client| matches!(client.doing, Doing::Thinking))
    }

    /// Lets a client reach only some servers, or all.
    pub fn confine(&mut self, client: usize, reaches: Option<Vec<NodeId>>) {
        self.all[client].reaches = reaches;
    }

    /// How many requests of a client were answered.
    pub fn answered_to(&self, client: usize) -> u64 {
        self.all[client].answered
    }

    /// Lets time pass for the cluster and its clients.
    ///
    /// # Errors
    ///
    /// The simulation itself fails.
    pub fn run_until(&mut self, cluster: &mut Cluster, end: Duration) -> Result<(), Failure> {
        while cluster.now() < end {
            let own = self.events.peek().map(|Reverse((time, _, _))| *time);
            let own = own.filter(|time| *time <= end);
            let others = cluster.next();
            if let Some(time) = own
                && others.is_none_or(|other| time < other)
            {
                // Nothing of the cluster's lies before it.
                cluster.step(time.max(cluster.now()))?;
                let Some(Reverse((_, _, event))) = self.events.pop() else { continue };
                self.happen(cluster, event);
            } else {
                cluster.step(end)?;
            }
            for answered in cluster.take_answered() {
                self.hear(cluster, answered);
            }
        }
        Ok(())
    }

    fn happen(&mut self, cluster: &mut Cluster, event: Event) {
        match event {
            Event::Begin(client) => self.begin(cluster, client),
            Event::Arrive { client, attempt, server, key, command } => {
                self.arrive(cluster, (client, attempt), server, key, command);
            }
            Event::Reply { client, attempt, reply } => {
                if self.all[client].attempt == attempt {
                    self.reply(cluster, client, reply);
                }
            }
            Event::Impatient { client, attempt } => {
                if self.all[client].attempt == attempt {
                    self.try_elsewhere(cluster, client);
                }
            }
            Event::Again { client, attempt } => {
                if self.all[client].attempt == attempt {
                    self.ask_again(cluster, client);
                }
            }
        }
    }

    /// A client begins something new.
    fn begin(&mut self, cluster: &Cluster, number: usize) {
        if cluster.now() >= self.stop_at || self.all[number].serial >= self.workload.requests {
            return;
        }
        if self.all[number].wants_session && self.all[number].session.is_none() {
            self.all[number].doing = Doing::Opening;
            return self.ask(cluster, number);
        }
        let key = format!("k{}", self.random.random_range(0..self.workload.keys));
        let kind = self.workload.mix[self.random.random_range(0..self.workload.mix.len())];
        let client = &mut self.all[number];
        client.serial += 1;
        let text = format!("{number}.{},", client.serial);
        let padding = match self.workload.padding {
            0 => 0,
            most if self.random.random_ratio(1, 4) => self.random.random_range(0..=most),
            _ => 0,
        };
        let padded = format!("{text}{}", "x".repeat(padding));
        let operation = match kind {
            Kind::Get => Operation::Get,
            Kind::Put => Operation::Put { value: padded.as_str().into() },
            Kind::Append => Operation::Append { suffix: text.as_str().into() },
            Kind::CompareAndSet => Operation::CompareAndSet {
                expected: client.seen.get(&key).copied().flatten(),
                value: padded.as_str().into(),
            },
            Kind::Delete => Operation::Delete,
        };
        let named = key.as_str().into();
        let ticket = self.recorder.invoke(number as u64, named, operation.clone());
        client.doing = Doing::Asking { key, operation, ticket, since: cluster.now() };
        self.ask(cluster, number);
    }

    /// Sends the request, and plans to lose patience.
    fn ask(&mut self, cluster: &Cluster, number: usize) {
        let client = &mut self.all[number];
        client.attempt += 1;
        let (attempt, server) = (client.attempt, client.server);
        let impatient = cluster.now() + self.workload.patience;
        self.plan(impatient, Event::Impatient { client: number, attempt });
        let Some((key, command)) = self.all[number].request() else { return };
        self.travel(cluster, Event::Arrive { client: number, attempt, server, key, command });
    }

    fn travel(&mut self, cluster: &Cluster, event: Event) {
        let (span, loss) = self.workload.network;
        if self.random.random_range(0..1000) >= loss {
            let time = cluster.now() + span.pick(&mut self.random);
            self.plan(time, event);
        }
    }

    /// A request arrives at a server.
    fn arrive(
        &mut self,
        cluster: &mut Cluster,
        (client, attempt): (usize, u64),
        server: NodeId,
        key: String,
        command: Option<Vec<u8>>,
    ) {
        if !self.all[client].reaches(server) {
            return;
        }
        let incarnation = cluster.host(server).incarnation;
        let Some(command) = command else {
            if let Some(reader) = cluster.read(server) {
                self.reads.insert((server, incarnation, reader), (client, attempt, key));
            }
            return;
        };
        match cluster.propose(server, command.into()) {
            Ok(id) => {
                self.proposals.insert((server, incarnation, id), (client, attempt));
            }
            // Nobody is there to say so.
            Err(None) => {}
            Err(Some(_)) => {
                let reply = Reply::NotDone { leader: None };
                self.travel(cluster, Event::Reply { client, attempt, reply });
            }
        }
    }

    /// A server has something to say.
    fn hear(&mut self, cluster: &Cluster, answered: Answered) {
        let Answered { server, incarnation, told } = answered;
        let (waiting, reply) = match told {
            Told::Proposal(id, result) => {
                let waiting = self.proposals.remove(&(server, incarnation, id));
                let reply = match result {
                    Ok(answer) => Reply::Answer(answer.as_slice().to_vec()),
                    Err(ProposeError::NotLeader { leader }) => Reply::NotDone { leader },
                    Err(ProposeError::Superseded | ProposeError::Overloaded) => {
                        Reply::NotDone { leader: None }
                    }
                    // The client's own patience decides what becomes of it.
                    Err(_) => return,
                };
                (waiting, reply)
            }
            Told::Read(id, result) => {
                let Some((client, attempt, key)) = self.reads.remove(&(server, incarnation, id))
                else {
                    return;
                };
                let reply = match result {
                    Ok(_) => match cluster.get(server, key.as_bytes()) {
                        Ok(found) => Reply::Value(found.map(|found| (found.version, found.value))),
                        Err(error) => {
                            self.complaint = Some(format!("{server} cannot read: {error}"));
                            return;
                        }
                    },
                    Err(ReadError::NotLeader { leader }) => Reply::NotDone { leader },
                    Err(_) => Reply::NotDone { leader: None },
                };
                (Some((client, attempt)), reply)
            }
        };
        if let Some((client, attempt)) = waiting
            && self.all[client].reaches(server)
        {
            self.travel(cluster, Event::Reply { client, attempt, reply });
        }
    }

    /// An answer arrives.
    fn reply(&mut self, cluster: &Cluster, number: usize, reply: Reply) {
        let answer = match reply {
            Reply::NotDone { leader } => {
                let client = &mut self.all[number];
                client.server = leader.unwrap_or(NodeId(1 + client.server.0 % self.servers));
                // Not at once: there may be no leader for a while.
                client.attempt += 1;
                let (attempt, wait) = (client.attempt, Duration::from_millis(20));
                return self.plan(cluster.now() + wait, Event::Again { client: number, attempt });
            }
            Reply::Value(None) => Answer::Missing,
            Reply::Value(Some((version, value))) => Answer::Found { value: value.into(), version },
            Reply::Answer(bytes) => match command::Answer::decode(&bytes) {
                Ok(answer) => match self.understand(number, answer) {
                    Some(answer) => answer,
                    None => return self.think(cluster, number),
                },
                Err(error) => {
                    self.complaint = Some(format!("an answer makes no sense: {error}"));
                    return;
                }
            },
        };
        let doing = std::mem::replace(&mut self.all[number].doing, Doing::Thinking);
        if let Doing::Asking { key, ticket, .. } = doing {
            let version = match &answer {
                Answer::Found { version, .. } | Answer::Written { version, .. } => Some(*version),
                Answer::Conflict { present } => *present,
                Answer::Missing | Answer::Deleted { .. } => None,
            };
            self.all[number].seen.insert(key, version);
            self.recorder.returned(ticket, answer);
            self.all[number].answered += 1;
            self.answered += 1;
        }
        self.think(cluster, number);
    }

    /// An answer of the state machine, as the client understands it; none if its outcome is unknown
    /// to the client, or it was about the session.
    fn understand(&mut self, number: usize, answer: command::Answer) -> Option<Answer> {
        match answer {
            command::Answer::Written { version, length } => {
                Some(Answer::Written { version, length })
            }
            command::Answer::Deleted { existed } => Some(Answer::Deleted { existed }),
            command::Answer::Conflict { present } => Some(Answer::Conflict { present }),
            command::Answer::SessionOpened { client } => {
                self.all[number].session = Some(client);
                None
            }
            command::Answer::UnknownSession
            | command::Answer::StaleSerial
            | command::Answer::TooLarge
            | command::Answer::BadCommand => {
                self.complaint = Some(format!("client {number} is told {answer:?}"));
                None
            }
        }
    }

    fn think(&mut self, cluster: &Cluster, number: usize) {
        self.all[number].doing = Doing::Thinking;
        self.all[number].attempt += 1;
        let time = cluster.now() + self.workload.think.pick(&mut self.random);
        self.plan(time, Event::Begin(number));
    }

    /// A client has waited long enough.
    fn try_elsewhere(&mut self, cluster: &Cluster, number: usize) {
        let client = &mut self.all[number];
        client.server = NodeId(1 + client.server.0 % self.servers);
        let reads = matches!(client.doing, Doing::Asking { operation: Operation::Get, .. });
        if reads || client.session.is_some() || matches!(client.doing, Doing::Opening) {
            self.ask_again(cluster, number);
        } else {
            // Once more could be once too often. It will never know.
            self.think(cluster, number);
        }
    }

    /// What may be asked again is, for a while.
    fn ask_again(&mut self, cluster: &Cluster, number: usize) {
        let since = match &self.all[number].doing {
            Doing::Thinking => return,
            Doing::Opening => cluster.now(),
            Doing::Asking { since, .. } => *since,
        };
        if cluster.now() < since + self.workload.persistence {
            self.ask(cluster, number);
        } else {
            self.think(cluster, number);
        }
    }
}

impl Client {
    fn reaches(&self, server: NodeId) -> bool {
        self.reaches.as_ref().is_none_or(|servers| servers.contains(&server))
    }

    /// What it asks for: a key, and a command unless it reads.
    fn request(&self) -> Option<(String, Option<Vec<u8>>)> {
        let numbered = self.session.map(|client| RequestId { client, serial: self.serial });
        let (key, request, operation) = match &self.doing {
            Doing::Thinking => return None,
            Doing::Opening => (String::new(), None, command::Operation::OpenSession),
            Doing::Asking { key, operation: Operation::Get, .. } => {
                return Some((key.clone(), None));
            }
            Doing::Asking { key, operation, .. } => {
                (key.clone(), numbered, as_command(key, operation))
            }
        };
        Some((key, Some(Command { request, operation }.encode().ok()?)))
    }
}

fn as_command(key: &str, operation: &Operation) -> command::Operation {
    let key = raft_core::Bytes::from(key);
    let bytes = |value: &crate::linearizability::Bytes| raft_core::Bytes::from(&**value);
    match operation {
        Operation::Get | Operation::Delete => command::Operation::Delete { key },
        Operation::Put { value } => command::Operation::Put { key, value: bytes(value) },
        Operation::Append { suffix } => command::Operation::Append { key, suffix: bytes(suffix) },
        Operation::CompareAndSet { expected, value } => {
            command::Operation::CompareAndSet { key, expected: *expected, value: bytes(value) }
        }
    }
}
