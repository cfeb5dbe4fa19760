//! Clients of a simulated cluster. They send requests over HTTP, wait, try other servers, and
//! record the answers.
//!
//! A client has one request at a time. A repeated request carries a serial number of the client's
//! session, so that it is performed only once. A client without a session repeats a write only if
//! it was told that nothing was done. Otherwise, the outcome of a write without an answer is
//! unknown. All requests go into one history, which must be linearizable.

mod client;
mod http;
mod workload;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::time::Duration;

use raft_core::NodeId;
use raft_kv::command::ClientId;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::cluster::http::{ExchangeId, HttpRequest, HttpResponse};
use crate::cluster::{Answered, Cluster};
use crate::failure::Failure;
use client::{Client, Doing};
use http::Reply;
use raft_linearizability::{Answer, History, Operation, Recorder};
use workload::chance;
pub use workload::{Burst, Kind, Values, Workload};

/// The time that a client waits after it was told that nothing was done: there may be no leader for
/// a while.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A client's pause ends. It begins a request, unless it has begun one meanwhile.
    Begin { client: usize, attempt: u64 },
    /// A request arrives.
    Request { client: usize, attempt: u64, server: NodeId, request: HttpRequest },
    /// An answer arrives.
    Response { client: usize, attempt: u64, response: HttpResponse },
    /// A client has waited too long for an answer.
    Impatient { client: usize, attempt: u64 },
    /// A server learns that a client no longer waits.
    HangUp { server: NodeId, exchange: ExchangeId },
    /// A client sends its request again.
    Again { client: usize, attempt: u64 },
}

/// All clients, and the messages between them and the servers.
pub struct Clients {
    workload: Workload,
    all: Vec<Client>,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    planned: u64,
    random: SmallRng,
    servers: u64,
    recorder: Recorder<Operation, Answer>,
    /// The client and the attempt of each request that a server has.
    exchanges: HashMap<ExchangeId, (usize, u64)>,
    /// The server and the exchange of each client's last request.
    under_way: BTreeMap<usize, (NodeId, ExchangeId)>,
    burst_ends: Duration,
    /// The number of requests that were answered.
    pub answered: u64,
    /// The time until which new requests are begun.
    pub stop_at: Duration,
    /// The first answer that its client cannot have, in words.
    pub complaint: Option<String>,
}

impl Clients {
    /// Creates clients that begin now.
    pub fn new(workload: Workload, cluster: &Cluster, seed: u64) -> Clients {
        let servers = cluster.options.servers;
        let mut random = SmallRng::seed_from_u64(seed);
        let client = |number: u64| {
            let wants_session = !(number + 1).is_multiple_of(workload.without_session.max(1));
            Client::new(NodeId(1 + number % servers), wants_session)
        };
        let mut clients = Clients {
            all: (0..workload.clients).map(client).collect(),
            events: BinaryHeap::new(),
            planned: 0,
            servers,
            recorder: Recorder::default(),
            exchanges: HashMap::new(),
            under_way: BTreeMap::new(),
            burst_ends: Duration::ZERO,
            answered: 0,
            stop_at: Duration::MAX,
            complaint: None,
            random: SmallRng::seed_from_u64(random.random()),
            workload,
        };
        for number in 0..clients.all.len() {
            clients.think(cluster.now(), number);
        }
        clients
    }

    fn plan(&mut self, time: Duration, event: Event) {
        self.planned += 1;
        self.events.push(Reverse((time, self.planned, event)));
    }

    /// Returns the requests and the answers of the clients. A request without an answer has an
    /// unknown outcome.
    pub fn into_history(self) -> History<Operation, Answer> {
        self.recorder.into_history()
    }

    /// Returns whether no client waits for an answer.
    pub fn are_idle(&self) -> bool {
        self.all.iter().all(|client| matches!(client.doing, Doing::Thinking))
    }

    /// Stops the loss of messages between clients and servers.
    pub fn lose_nothing(&mut self) {
        self.workload.network.1 = 0;
    }

    /// Describes the clients that wait for an answer.
    pub fn busy(&self) -> Vec<String> {
        let busy = |(number, client): (usize, &Client)| match &client.doing {
            Doing::Thinking => None,
            doing => Some(format!("client {number} waits for {}: {doing:?}", client.server)),
        };
        self.all.iter().enumerate().filter_map(busy).collect()
    }

    /// Lets a client reach only some servers, or all.
    pub fn confine(&mut self, client: usize, reaches: Option<Vec<NodeId>>) {
        self.all[client].reaches = reaches;
    }

    /// Returns the number of requests of a client that were answered.
    pub fn answered_to(&self, client: usize) -> u64 {
        self.all[client].answered
    }

    /// Begins a burst: for this long, all clients make many requests.
    pub fn burst(&mut self, now: Duration, time: Duration) {
        self.burst_ends = self.burst_ends.max(now + time);
        for number in 0..self.all.len() {
            if matches!(self.all[number].doing, Doing::Thinking) {
                self.think(now, number);
            }
        }
    }

    fn is_burst(&self, now: Duration) -> bool {
        now < self.burst_ends
    }

    /// Lets time pass for the cluster and its clients.
    ///
    /// # Errors
    ///
    /// Fails if the simulation itself fails.
    pub fn run_until(&mut self, cluster: &mut Cluster, end: Duration) -> Result<(), Failure> {
        while cluster.now() < end {
            let own = self.events.peek().map(|Reverse((time, _, _))| *time);
            let own = own.filter(|time| *time <= end);
            let others = cluster.next();
            if let Some(time) = own
                && others.is_none_or(|other| time < other)
            {
                // No event of the cluster is earlier than this one.
                cluster.step(time.max(cluster.now()))?;
                let Some(Reverse((_, _, event))) = self.events.pop() else { continue };
                self.happen(cluster, event)?;
            } else {
                cluster.step(end)?;
            }
            for answered in cluster.take_answered() {
                self.send_back(cluster.now(), answered);
            }
        }
        Ok(())
    }

    fn happen(&mut self, cluster: &mut Cluster, event: Event) -> Result<(), Failure> {
        let now = cluster.now();
        match event {
            Event::Begin { client, attempt } if self.all[client].attempt == attempt => {
                self.begin(now, client);
            }
            Event::Request { client, attempt, server, request } => {
                if self.all[client].reaches(server)
                    && let Some(exchange) = cluster.request(server, &request)?
                {
                    self.exchanges.insert(exchange, (client, attempt));
                    if self.all[client].attempt == attempt {
                        self.under_way.insert(client, (server, exchange));
                    }
                }
            }
            Event::Response { client, attempt, response }
                if self.all[client].attempt == attempt =>
            {
                self.under_way.remove(&client);
                self.hear(now, client, &response);
            }
            Event::Impatient { client, attempt } if self.all[client].attempt == attempt => {
                self.lose_patience(now, client);
            }
            Event::HangUp { server, exchange } => {
                self.exchanges.remove(&exchange);
                cluster.hang_up(server, exchange);
            }
            Event::Again { client, attempt } if self.all[client].attempt == attempt => {
                self.ask_again(now, client);
            }
            // The client has already begun another attempt.
            Event::Begin { .. }
            | Event::Response { .. }
            | Event::Impatient { .. }
            | Event::Again { .. } => {}
        }
        Ok(())
    }

    /// Lets a client begin a new request.
    fn begin(&mut self, now: Duration, number: usize) {
        if now >= self.stop_at || self.all[number].serial >= self.workload.requests {
            return;
        }
        let burst = self.is_burst(now);
        let wanders = if burst { self.workload.burst.wanders } else { self.workload.wanders };
        if chance(&mut self.random, wanders) {
            self.all[number].server = NodeId(self.random.random_range(1..=self.servers));
        }
        let client = &mut self.all[number];
        if client.wants_session && client.session.is_none() {
            client.doing = Doing::Opening;
            return self.ask(now, number);
        }
        let key = format!("k{}", self.random.random_range(0..self.workload.keys));
        let kind = self.workload.pick_kind(burst, &mut self.random);
        let client = &mut self.all[number];
        if kind == Kind::StaleRetry
            && let Some(request) = client.stale.clone()
        {
            client.doing = Doing::RetryingLate(request);
            return self.ask(now, number);
        }
        client.serial += 1;
        let unique = format!("{number}.{},", client.serial);
        let mut value =
            || self.workload.values.pick(unique.clone(), &mut self.random).as_slice().into();
        let operation = match kind {
            Kind::Get | Kind::StaleRetry => Operation::Get,
            Kind::Put => Operation::Put { value: value() },
            Kind::Append => Operation::Append { suffix: value() },
            Kind::CompareAndSet => Operation::CompareAndSet {
                expected: client.seen.get(&key).copied().flatten(),
                value: value(),
            },
            Kind::Delete => Operation::Delete,
        };
        let named = key.as_str().into();
        let ticket = self.recorder.invoke(number as u64, named, operation.clone());
        client.doing = Doing::Asking { key, operation, ticket, since: now, in_doubt: false };
        self.ask(now, number);
    }

    /// Sends the request, and plans the end of the client's patience.
    fn ask(&mut self, now: Duration, number: usize) {
        let burst = self.is_burst(now);
        let patience = if burst { self.workload.burst.patience } else { self.workload.patience };
        let client = &mut self.all[number];
        client.attempt += 1;
        let (attempt, server) = (client.attempt, client.server);
        let Some(request) = client.request() else { return };
        self.plan(now + patience, Event::Impatient { client: number, attempt });
        self.travel(now, Event::Request { client: number, attempt, server, request });
    }

    fn travel(&mut self, now: Duration, event: Event) {
        let (span, loss) = self.workload.network;
        if !chance(&mut self.random, loss) {
            let time = now + span.pick(&mut self.random);
            self.plan(time, event);
        }
    }

    /// Sends the answer of a server to its client.
    fn send_back(&mut self, now: Duration, answered: Answered) {
        let Answered { server, exchange, response } = answered;
        if let Some((client, attempt)) = self.exchanges.remove(&exchange)
            && self.all[client].reaches(server)
        {
            self.travel(now, Event::Response { client, attempt, response });
        }
    }

    /// Lets a client handle an answer that has arrived.
    fn hear(&mut self, now: Duration, number: usize, response: &HttpResponse) {
        let client = &mut self.all[number];
        match client.understand(response) {
            Ok(Reply::NotDone(leader)) => self.try_the_leader(now, number, leader),
            Ok(Reply::Answer(answer)) => {
                client.learn(&answer);
                client.answered += 1;
                self.answered += 1;
                if let Doing::Asking { ticket, .. } = client.finish() {
                    self.recorder.returned(ticket, answer);
                }
                self.think(now, number);
            }
            Ok(Reply::Session(session)) => {
                client.session = Some(ClientId(session));
                self.think(now, number);
            }
            Ok(Reply::SessionGone) => {
                (client.session, client.last, client.stale) = (None, None, None);
                self.think(now, number);
            }
            Ok(Reply::Stale) => self.think(now, number),
            Ok(Reply::Unknown) => self.try_again_if_harmless(now, number),
            Err(what) => {
                self.complaint.get_or_insert(format!("client {number} is told {what}"));
                self.think(now, number);
            }
        }
    }

    /// Lets a client give up, or ask the leader after a pause, because nothing was done.
    fn try_the_leader(&mut self, now: Duration, number: usize, leader: Option<NodeId>) {
        let leaves_it = chance(&mut self.random, self.workload.leaves_it);
        let client = &mut self.all[number];
        client.server = leader.unwrap_or(NodeId(1 + client.server.0 % self.servers));
        if leaves_it && matches!(client.doing, Doing::Asking { in_doubt: false, .. }) {
            if let Doing::Asking { ticket, .. } = client.finish() {
                self.recorder.not_done(ticket);
            }
            return self.think(now, number);
        }
        client.attempt += 1;
        let attempt = client.attempt;
        self.plan(now + PAUSE, Event::Again { client: number, attempt });
    }

    fn think(&mut self, now: Duration, number: usize) {
        let burst = self.is_burst(now);
        let span = if burst { self.workload.burst.think } else { self.workload.think };
        self.all[number].doing = Doing::Thinking;
        self.all[number].attempt += 1;
        let attempt = self.all[number].attempt;
        let time = now + span.pick(&mut self.random);
        self.plan(time, Event::Begin { client: number, attempt });
    }

    /// Lets a client hang up, and try another server, because it has waited too long.
    fn lose_patience(&mut self, now: Duration, number: usize) {
        if let Some((server, exchange)) = self.under_way.remove(&number) {
            self.travel(now, Event::HangUp { server, exchange });
        }
        let client = &mut self.all[number];
        client.server = NodeId(1 + client.server.0 % self.servers);
        self.try_again_if_harmless(now, number);
    }

    /// Lets a client repeat its request if that is safe, because the outcome is unknown.
    fn try_again_if_harmless(&mut self, now: Duration, number: usize) {
        let client = &mut self.all[number];
        if client.may_repeat() {
            if let Doing::Asking { in_doubt, .. } = &mut client.doing {
                *in_doubt = true;
            }
            self.ask_again(now, number);
        } else {
            // A repetition could be performed twice, so the outcome stays unknown.
            self.think(now, number);
        }
    }

    /// Sends a request again, unless the client has already tried for too long.
    fn ask_again(&mut self, now: Duration, number: usize) {
        let since = match &self.all[number].doing {
            Doing::Thinking => return,
            Doing::Opening | Doing::RetryingLate(_) => now,
            Doing::Asking { since, .. } => *since,
        };
        if now < since + self.workload.persistence {
            self.ask(now, number);
        } else {
            self.think(now, number);
        }
    }
}
