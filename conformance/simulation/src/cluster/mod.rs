//! A whole cluster of production servers in one thread: simulated disks, a simulated network, and a
//! clock that jumps to the next event.
//!
//! All random choices come from one seed, so a run can be repeated. Time passes only between
//! events. An action that takes time, such as a sync of the disk, is an event at its end. The user
//! of a cluster cuts connections, crashes and starts servers, and reads the answers to clients.

pub mod checks;
mod event_queue;
mod events;
mod faults;
pub mod host;
pub mod http;
pub mod network;
mod snapshot_transfer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use raft_core::{Bytes, Limits, NodeId};
use raft_kv::store::{MAX_SESSIONS, Versioned};
use raft_node::log_store::Sizes;
use raft_node::replica::Observer;
use raft_node::shell::{Observe, ProposalId};
use raft_node::timers::Timing;
use raft_node::wire::BATCH_BYTES;
use raft_node::{Bounds, ProposeError};
use raft_trace::Action;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::failure::Failure;
use crate::server::{Running, SMALL_FILES, Setup};
use checks::{Broken, Checks};
use event_queue::{Event, Events};
use host::{Host, Survives};
use http::{ExchangeId, HttpClock, HttpRequest, HttpResponse, HttpServer};
use network::place;
pub use network::{Network, PerMille, Span};
use snapshot_transfer::Transfers;

/// The options of a cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// The number of servers.
    pub servers: u64,
    /// The seed of all random choices.
    pub seed: u64,
    /// Election timeouts and heartbeats.
    pub timing: Timing,
    /// The bounds for snapshots and for requests.
    pub bounds: Bounds,
    /// The limits of the nodes: entries per message and per follower, and reads.
    pub limits: Limits,
    /// The number of bytes of entries in one frame.
    pub batch_bytes: usize,
    /// The sizes of the logs' files.
    pub log_sizes: Sizes,
    /// The time that a transaction on the disk takes.
    pub disk: Span,
    /// The time that a task of the state machine takes.
    pub apply: Span,
    /// The time after which a server gives up a client's request.
    pub request_timeout: Duration,
    /// The greatest number of client sessions that a server keeps.
    pub sessions: u64,
    /// The greatest error of a clock, in thousandths.
    pub drift: u32,
    /// Whether to record the actions of the run, as a trace.
    pub record: bool,
    /// Whether to record the node log that each server would write.
    pub node_logs: bool,
}

impl Options {
    /// Returns options with the timing of production, and with good disks and clocks.
    pub fn new(servers: u64, seed: u64) -> Options {
        Options {
            servers,
            seed,
            timing: Timing::default(),
            bounds: Bounds { snapshot_rate: u64::MAX, ..Bounds::default() },
            limits: Limits { batch: 64, window: 1024, reads: 64 },
            batch_bytes: BATCH_BYTES,
            log_sizes: SMALL_FILES,
            disk: Span(Duration::from_micros(100), Duration::from_millis(1)),
            apply: Span(Duration::from_micros(10), Duration::from_micros(200)),
            request_timeout: Duration::from_secs(5),
            sessions: MAX_SESSIONS,
            drift: 0,
            record: false,
            node_logs: false,
        }
    }
}

/// Counts of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// The number of messages that servers sent.
    pub messages: u64,
    /// The number of bytes of these messages, and of snapshots.
    pub bytes: u64,
    /// The number of messages that arrived.
    pub delivered: u64,
    /// The number of snapshots that arrived.
    pub snapshots: u64,
    /// The number of crashes, of all kinds.
    pub crashes: u64,
}

/// A server's answer to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The server that answered.
    pub server: NodeId,
    /// The request that was answered.
    pub exchange: ExchangeId,
    /// The answer.
    pub response: HttpResponse,
}

/// A simulated cluster.
pub struct Cluster {
    /// The options of the cluster.
    pub options: Options,
    /// The network.
    pub network: Network,
    /// The counts of events.
    pub counters: Counters,
    hosts: Vec<Host>,
    now: Duration,
    events: Events,
    transfers: Transfers,
    random: SmallRng,
    checks: Arc<Mutex<Checks>>,
    http_clock: HttpClock,
    exchanges: u64,
    answered: Vec<Answered>,
}

impl Cluster {
    /// Creates a cluster whose servers start for the first time.
    ///
    /// # Errors
    ///
    /// Fails if the simulation itself fails.
    pub fn new(options: Options) -> Result<Cluster, Failure> {
        let mut random = SmallRng::seed_from_u64(options.seed);
        let voters: BTreeSet<NodeId> = (1..=options.servers).map(NodeId).collect();
        let host = |id: &NodeId, random: &mut SmallRng| {
            let setup = Setup {
                id: *id,
                voters: voters.clone(),
                limits: options.limits,
                timing: options.timing,
                bounds: Bounds { request_timeout: options.request_timeout, ..options.bounds },
                batch: options.batch_bytes,
                log_sizes: options.log_sizes,
            };
            Host::new(setup, options.sessions, options.drift, random)
        };
        let hosts: Vec<Host> = voters.iter().map(|id| host(id, &mut random)).collect();
        let mut cluster = Cluster {
            network: Network::new(hosts.len()),
            counters: Counters::default(),
            hosts,
            now: Duration::ZERO,
            events: Events::default(),
            transfers: Transfers::default(),
            random,
            checks: Arc::default(),
            http_clock: HttpClock::new()?,
            exchanges: 0,
            answered: Vec::new(),
            options,
        };
        cluster.checks().node_logs = cluster.options.node_logs.then(BTreeMap::new);
        for id in voters {
            cluster.start(id)?;
        }
        cluster.checks().recorded = cluster.options.record.then(Vec::new);
        Ok(cluster)
    }

    /// Returns the time in the simulation.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Returns the ids of all servers.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=self.options.servers).map(NodeId)
    }

    /// Returns the machine of a server.
    pub fn host(&self, id: NodeId) -> &Host {
        &self.hosts[place(id)]
    }

    /// Returns the process of a server that is up.
    pub fn running(&self, id: NodeId) -> Option<&Running> {
        self.host(id).running.as_ref()
    }

    /// Returns whether a server runs.
    pub fn is_up(&self, id: NodeId) -> bool {
        self.running(id).is_some()
    }

    /// Returns the servers that believe that they lead.
    pub fn leaders(&self) -> Vec<NodeId> {
        let leads = |id: &NodeId| self.running(*id).is_some_and(|running| running.replica.leads());
        self.ids().filter(leads).collect()
    }

    /// Returns the checks of the run.
    pub fn checks(&self) -> MutexGuard<'_, Checks> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the first property that does not hold.
    pub fn broken(&self) -> Option<Broken> {
        self.checks().broken.clone()
    }

    /// Returns a hash of everything that happened to the servers.
    pub fn hash(&self) -> u64 {
        self.checks().hash()
    }

    /// Returns the answers that clients were given since the last call.
    pub fn take_answered(&mut self) -> Vec<Answered> {
        std::mem::take(&mut self.answered)
    }

    /// Returns whether a server that is up has told a client that this command was applied.
    pub fn has_done(&self, id: NodeId, proposal: ProposalId) -> bool {
        self.host(id).done.contains(&proposal)
    }

    /// Returns the time of the next event.
    pub fn next(&self) -> Option<Duration> {
        self.events.next()
    }

    /// Lets time pass until the next event, or until `end` if there is none before.
    ///
    /// # Errors
    ///
    /// Fails if the simulation itself fails.
    pub fn step(&mut self, end: Duration) -> Result<(), Failure> {
        let Some((time, event)) = self.events.pop_until(end) else {
            self.now = self.now.max(end);
            return Ok(());
        };
        self.now = self.now.max(time);
        self.happen(event)
    }

    /// Lets this much time pass.
    ///
    /// # Errors
    ///
    /// Fails if the simulation itself fails.
    pub fn run_for(&mut self, time: Duration) -> Result<(), Failure> {
        let end = self.now + time;
        while self.now < end {
            self.step(end)?;
        }
        Ok(())
    }

    /// Lets a client ask a server to replicate a command.
    ///
    /// # Errors
    ///
    /// `None` if the server is down or paused, otherwise the reason why it refuses.
    pub fn propose(
        &mut self,
        id: NodeId,
        command: Bytes,
    ) -> Result<ProposalId, Option<ProposeError>> {
        let host = &mut self.hosts[place(id)];
        let clock = host.clock(self.now);
        let (Some(running), false) = (&mut host.running, host.paused) else { return Err(None) };
        let proposal = running.replica.propose(clock, command.clone()).map_err(Some)?;
        host.proposed.insert(proposal, (clock, command));
        self.touch(id);
        Ok(proposal)
    }

    /// Delivers a client's request to a server. Returns `None` if the server is down or paused, or
    /// stops because its store cannot be opened.
    ///
    /// # Errors
    ///
    /// Fails if the simulation itself fails.
    pub fn request(
        &mut self,
        id: NodeId,
        request: &HttpRequest,
    ) -> Result<Option<ExchangeId>, Failure> {
        self.http_clock.advance_to(self.now);
        let (servers, request_timeout) = (self.options.servers, self.options.request_timeout);
        let host = &mut self.hosts[place(id)];
        let (Some(running), false) = (&mut host.running, host.paused) else { return Ok(None) };
        if host.http.is_none() {
            match running.reader.reader() {
                Ok(reader) => {
                    host.http = Some(HttpServer::new(id, servers, request_timeout, reader)?);
                }
                Err(failure) => {
                    self.stop(id, &failure);
                    return Ok(None);
                }
            }
        }
        let incarnation = host.incarnation;
        let Some(http) = &mut host.http else { return Ok(None) };
        self.exchanges += 1;
        let exchange = ExchangeId(self.exchanges);
        http.receive(exchange, request)?;
        // Tokio's timers count whole milliseconds.
        let late = self.now + request_timeout + Duration::from_millis(2);
        self.events.push(late, Event::Deadline { server: id, incarnation, exchange });
        self.let_routes_go_on(id);
        self.touch(id);
        Ok(Some(exchange))
    }

    /// Lets a client hang up, because it no longer waits for an answer.
    pub fn hang_up(&mut self, id: NodeId, exchange: ExchangeId) {
        if let Some(http) = &mut self.hosts[place(id)].http {
            http.hang_up(exchange);
        }
    }

    /// Returns the value of a key in a server's state machine.
    ///
    /// # Errors
    ///
    /// Fails if the server is down, or cannot read.
    pub fn get(&self, id: NodeId, key: &[u8]) -> Result<Option<Versioned>, Failure> {
        self.running(id).ok_or("the server is down")?.reader.get(key)
    }

    /// Lets a server take a snapshot.
    pub fn take_snapshot(&mut self, id: NodeId) {
        if let Some(running) = &mut self.hosts[place(id)].running {
            running.replica.take_snapshot();
        }
    }

    /// Pauses a server, which does not notice it, or lets the server continue.
    pub fn set_paused(&mut self, id: NodeId, paused: bool) {
        let host = &mut self.hosts[place(id)];
        host.paused = paused;
        if !paused {
            for event in std::mem::take(&mut host.held) {
                self.events.push(self.now, event);
            }
            self.touch(id);
        }
    }

    /// Ends a server's process by a kill or a power loss. If a crash cannot leave the disk in its
    /// new state, this is a broken property.
    ///
    /// # Errors
    ///
    /// Fails if the simulation itself fails.
    pub fn crash(&mut self, id: NodeId, left: Survives) -> Result<(), Failure> {
        let host = &mut self.hosts[place(id)];
        if host.running.is_none() {
            return Ok(());
        }
        self.counters.crashes += 1;
        match host.crash(left, &mut self.random) {
            Err(failure) => {
                let what = format!("{id}: after a crash its log cannot be read: {failure}");
                self.checks().complain("disk-is-fact", what);
            }
            Ok(Ok(writes_kept)) => {
                // The next start replaces this by the real value.
                let applied_kept = self.host(id).left.log.base().index;
                let action = Action::Crash { server: id, writes_kept, applied_kept };
                self.hosts[place(id)].crashed_at = self.record(action);
            }
            Ok(Err(what)) => self.checks().complain("disk-is-fact", what),
        }
        self.transfers.forget(id);
        Ok(())
    }

    /// Starts a server that is down. If it does not start, this is a broken property.
    ///
    /// # Errors
    ///
    /// Fails if the simulation itself fails.
    pub fn start(&mut self, id: NodeId) -> Result<(), Failure> {
        let host = &mut self.hosts[place(id)];
        if host.running.is_some() {
            return Ok(());
        }
        let seed = self.random.random();
        let observer = Arc::clone(&self.checks) as Arc<Mutex<dyn Observe + Send>> as Observer;
        if let Err(failure) = host.start(self.now, seed, observer) {
            let what = format!("{id} does not start again from what is on its disk: {failure}");
            self.checks().complain("nobody-halts", what);
            return Ok(());
        }
        let Some(running) = &host.running else { return Ok(()) };
        let applied = running.reader_applied();
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.started(running.replica.shell().node());
        checks.log_start(host.setup.config(), running.state.clone(), applied);
        let known = usize::try_from(applied.0).unwrap_or(usize::MAX);
        if let Some(entries) = checks.decided.get(..known) {
            let complaint = host.check_state(entries);
            if let Err(what) = complaint {
                checks.complain("state-machine-safety", what);
            }
        } else {
            let what = format!("{id} has applied {applied}, which nobody has decided");
            checks.complain("state-machine-safety", what);
        }
        let crashed = host.crashed_at.take();
        let recorded = checks.recorded.as_mut().zip(crashed);
        if let Some(Action::Crash { applied_kept, .. }) =
            recorded.and_then(|(recorded, place)| recorded.get_mut(place))
        {
            *applied_kept = applied;
        }
        drop(checks);
        self.record(Action::Restart { server: id });
        self.touch(id);
        Ok(())
    }

    /// Makes a server's disk work again.
    pub fn fix_disk(&mut self, id: NodeId) {
        self.hosts[place(id)].disk.fail(None);
    }

    /// Makes one operation of a server's disk fail, after `after` others.
    pub fn fail_disk(&mut self, id: NodeId, after: u64) {
        self.hosts[place(id)].disk.fail(Some(crate::disk::Fault::Once(after)));
    }

    /// Records an action, if actions are recorded. Returns its position.
    fn record(&self, action: Action) -> Option<usize> {
        let mut checks = self.checks();
        let recorded = checks.recorded.as_mut()?;
        recorded.push(action);
        Some(recorded.len() - 1)
    }
}
