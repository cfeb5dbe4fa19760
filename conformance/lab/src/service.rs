//! The tests of the key-value service. Clients retry, and their history must be linearizable.

use std::time::Duration;

use raft_core::NodeId;
use rand::RngExt;

use super::tester::{ELECTION, LOOK, Tester};
use super::{Snapshots, Stop, demand};
use raft_linearizability::{KvModel, Limit, check};
use raft_simulation::clients::{Clients, Kind, Workload};
use raft_simulation::cluster::Span;

const MS: Duration = Duration::from_millis(1);

/// The most Raft state that a server may hold, in encoded bytes.
const MOST_RAFT_STATE: usize = 8000;

/// The most bytes of a snapshot with one key and one session.
const MOST_SNAPSHOT: u64 = 500;

/// The longest time until clients are answered once crashes and partitions have ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// The mix of operations. Gets are as frequent as all writes together, as in the course. The writes
/// are puts, appends and compare-and-sets.
const MIX: [Kind; 6] =
    [Kind::Get, Kind::Get, Kind::Get, Kind::Put, Kind::Append, Kind::CompareAndSet];

/// The variant of the [`generic`] test.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service {
    /// The number of clients, which write and read.
    pub(super) clients: u64,
    /// The number of keys that they share.
    pub(super) keys: u64,
    /// Whether the servers are repeatedly partitioned into two parts.
    pub(super) partitions: bool,
    /// Whether all servers crash after each of the three rounds.
    pub(super) crashes: bool,
}

impl Service {
    /// Returns a variant with this many clients and as many keys.
    pub(super) const fn of(clients: u64) -> Service {
        Service { clients, keys: clients, partitions: false, crashes: false }
    }

    pub(super) const fn partitions(self) -> Service {
        Service { partitions: true, ..self }
    }

    pub(super) const fn crashes(self) -> Service {
        Service { crashes: true, ..self }
    }
}

fn workload(tester: &Tester, clients: u64, keys: u64) -> Workload {
    Workload {
        clients,
        keys,
        // All clients together send about 100 requests in a second.
        think: Span(Duration::ZERO, Duration::from_millis(16 * clients.max(4))),
        // They retry until they are answered.
        persistence: Duration::from_hours(1),
        network: (tester.cluster.network.delay, tester.cluster.network.loss),
        without_session: u64::MAX,
        mix: MIX.to_vec(),
        ..Workload::default()
    }
}

/// Clients that send requests to a tester's cluster.
struct Serving<'t> {
    tester: &'t mut Tester,
    clients: Clients,
}

impl Serving<'_> {
    fn begin(tester: &mut Tester, workload: Workload) -> Serving<'_> {
        let seed = tester.random.random();
        let clients = Clients::new(workload, &tester.cluster, seed);
        Serving { tester, clients }
    }

    fn serve(&mut self, time: Duration) -> Result<(), Stop> {
        let end = self.tester.cluster.now() + time;
        while self.tester.cluster.now() < end {
            let slice = end.min(self.tester.cluster.now() + LOOK);
            self.clients.run_until(&mut self.tester.cluster, slice)?;
            if let Some(complaint) = self.clients.complaint.take() {
                demand(false, "the service answers as it should", || complaint)?;
            }
            self.tester.look()?;
        }
        Ok(())
    }

    /// Serves until a condition holds, and demands that this takes no longer than `limit`.
    fn until(
        &mut self,
        limit: Duration,
        demanded: &str,
        holds: impl Fn(&Clients) -> bool,
    ) -> Result<(), Stop> {
        let end = self.tester.cluster.now() + limit;
        while !holds(&self.clients) {
            demand(self.tester.cluster.now() < end, demanded, || self.tester.describe())?;
            self.serve(LOOK)?;
        }
        Ok(())
    }

    /// Partitions the servers into two random parts, repeatedly.
    fn partition_for(&mut self, time: Duration) -> Result<(), Stop> {
        let end = self.tester.cluster.now() + time;
        while self.tester.cluster.now() < end {
            let mut side = self.tester.all();
            side.retain(|_| self.tester.random.random());
            self.tester.partition(&side);
            let pause = ELECTION + self.tester.random.random_range(0..200) * MS;
            self.serve(pause)?;
        }
        self.tester.heal();
        self.serve(ELECTION)
    }

    fn crash_all(&mut self) -> Result<(), Stop> {
        self.tester.all().into_iter().try_for_each(|id| self.tester.crash(id))?;
        self.serve(ELECTION)?;
        self.tester.all().into_iter().try_for_each(|id| self.tester.bring_up(id))
    }

    fn sizes_are_right(&self) -> Result<(), Stop> {
        if self.tester.conditions.snapshots == Snapshots::EveryThousandBytes {
            return self.tester.logs_are_within(MOST_RAFT_STATE + 1);
        }
        Ok(())
    }

    /// Checks that every request is answered, that the servers agree, and that the history is
    /// linearizable.
    fn end(mut self) -> Result<(), Stop> {
        self.clients.stop_at = self.tester.cluster.now();
        self.tester.note("clients begin nothing new");
        let demanded = "every request is answered within 10 s when all is well";
        self.until(PATIENCE, demanded, Clients::are_idle)?;
        let Serving { tester, clients } = self;
        // Over an unreliable network, agreement in time is not guaranteed.
        tester.set_unreliable(false);
        let servers = tester.count();
        tester.one("last", servers, true)?;
        let answered = clients.answered;
        tester.note(&format!("{answered} requests were answered"));
        demand(answered > 0, "clients are answered", || "none was".to_owned())?;
        let report = check::<KvModel>(&clients.into_history(), Limit::default());
        demand(report.is_linearizable(), "what clients saw is linearizable", || report.to_string())
    }
}

/// Runs three rounds of 5 s, with the partitions and crashes of the variant.
pub(super) fn generic(tester: &mut Tester, service: Service) -> Result<(), Stop> {
    let workload = workload(tester, service.clients, service.keys);
    let mut serving = Serving::begin(tester, workload);
    for round in 1..=3 {
        serving.tester.note(&format!("round {round}"));
        if service.partitions {
            serving.serve(ELECTION)?;
            serving.partition_for(4 * ELECTION)?;
        } else {
            serving.serve(5 * ELECTION)?;
        }
        serving.sizes_are_right()?;
        if service.crashes {
            serving.crash_all()?;
        }
        let before = serving.clients.answered;
        let demanded = "the service goes on within 10 s";
        serving.until(PATIENCE, demanded, |clients| clients.answered > before)?;
        serving.sizes_are_right()?;
    }
    serving.end()
}

/// Performs a thousand appends, one after the other.
pub(super) fn speed(tester: &mut Tester) -> Result<(), Stop> {
    const OPERATIONS: u64 = 1000;
    let mut workload = workload(tester, 1, 1);
    workload.mix = vec![Kind::Append];
    workload.think = Span(Duration::ZERO, Duration::ZERO);
    workload.requests = OPERATIONS;
    tester.one_leader()?;
    let began = tester.cluster.now();
    let mut serving = Serving::begin(tester, workload);
    let limit = Duration::from_micros(33_300) * 1000;
    let demanded = "1,000 operations take at most 33.3 ms each";
    serving.until(limit, demanded, |clients| clients.answered == OPERATIONS)?;
    let took = serving.tester.cluster.now().saturating_sub(began).as_secs_f64();
    serving.tester.note(&format!("an operation took {took:.1} ms"));
    serving.end()
}

/// Lets five clients append ten times each to one key.
pub(super) fn one_key(tester: &mut Tester) -> Result<(), Stop> {
    let mut workload = workload(tester, 5, 1);
    workload.mix = vec![Kind::Append];
    workload.requests = 10;
    let mut serving = Serving::begin(tester, workload);
    let demanded = "50 appends are answered within 60 s";
    serving.until(60 * ELECTION, demanded, |clients| clients.answered == 50)?;
    for id in serving.tester.all() {
        // A follower may be a heartbeat behind.
        serving.serve(ELECTION)?;
        let found = serving.tester.cluster.get(id, b"k0")?.map(|found| found.value);
        let value = String::from_utf8_lossy(&found.unwrap_or_default()).into_owned();
        let demanded = "each append took effect once, those of one client in their order";
        demand(holds_each_once(&value), demanded, || format!("{id} holds {value}"))?;
    }
    serving.end()
}

/// Returns whether a value consists of ten appends of each of five clients, those of one client in
/// order.
fn holds_each_once(value: &str) -> bool {
    let of = |client: usize| {
        let prefix = format!("{client}.");
        value
            .split_terminator(',')
            .filter_map(move |part| {
                part.strip_prefix(&prefix).and_then(|serial| serial.parse::<u64>().ok())
            })
            .collect::<Vec<_>>()
    };
    let expected: Vec<u64> = (1..=10).collect();
    value.split_terminator(',').count() == 50 && (0..5).all(|client| of(client) == expected)
}

/// Checks that clients that reach only the minority wait as long as the partition lasts.
pub(super) fn one_partition(tester: &mut Tester) -> Result<(), Stop> {
    let mut workload = workload(tester, 4, 1);
    // Nearly all the time, each client has an open request.
    workload.think = Span(Duration::ZERO, 10 * MS);
    let leader = tester.one_leader()?;
    let minority = vec![leader, tester.after(leader, 1)];
    let majority: Vec<NodeId> =
        tester.all().into_iter().filter(|id| !minority.contains(id)).collect();
    let mut serving = Serving::begin(tester, workload);
    serving.serve(ELECTION)?;
    serving.tester.partition(&minority);
    for client in 0..4 {
        let side = if client < 2 { &majority } else { &minority };
        serving.clients.confine(client, Some(side.clone()));
    }
    // Commands that were committed before the cut may still be answered.
    serving.serve(100 * MS)?;
    let answered = |clients: &Clients| [0, 1, 2, 3].map(|client| clients.answered_to(client));
    let before = answered(&serving.clients);
    serving.serve(ELECTION)?;
    let after = answered(&serving.clients);
    demand(before[2..] == after[2..], "nobody in a minority is answered, for 1 s", || {
        format!("clients 2 and 3 were: {before:?} became {after:?}")
    })?;
    let demanded = "the majority serves within 10 s of the partition";
    serving.until(PATIENCE, demanded, move |clients| {
        clients.answered_to(0) > before[0] && clients.answered_to(1) > before[1]
    })?;
    serving.tester.heal();
    (0..4).for_each(|client| serving.clients.confine(client, None));
    let demanded = "what waited in the minority is done within 3 s of the heal";
    let waiting = answered(&serving.clients);
    serving.until(3 * ELECTION, demanded, move |clients| {
        (2..4).all(|client| clients.answered_to(client) > waiting[client])
    })?;
    serving.end()
}

/// Checks that a single key that is written repeatedly makes a small snapshot.
pub(super) fn snapshot_size(tester: &mut Tester) -> Result<(), Stop> {
    let mut workload = workload(tester, 1, 1);
    workload.mix = vec![Kind::Get, Kind::Put];
    workload.think = Span(Duration::ZERO, Duration::ZERO);
    workload.requests = 800;
    let mut serving = Serving::begin(tester, workload);
    let demanded = "800 operations are done within 60 s";
    serving.until(60 * ELECTION, demanded, |clients| clients.answered == 800)?;
    serving.serve(ELECTION)?;
    serving.sizes_are_right()?;
    for id in serving.tester.all() {
        let bytes = serving.tester.snapshot_bytes(id);
        demand((1..=MOST_SNAPSHOT).contains(&bytes), "snapshots take 1 to 500 bytes", || {
            format!("{id}'s takes {bytes}")
        })?;
    }
    serving.end()
}

/// Checks that a server that was cut off catches up by a snapshot when the majority needs it at
/// once.
pub(super) fn snapshot_rpc(tester: &mut Tester) -> Result<(), Stop> {
    let mut workload = workload(tester, 2, 2);
    workload.mix = vec![Kind::Put];
    let last = tester.all().pop().unwrap_or(NodeId(1));
    let mut serving = Serving::begin(tester, workload);
    serving.serve(ELECTION)?;
    let others: Vec<NodeId> = serving.tester.all().into_iter().filter(|id| *id != last).collect();
    serving.tester.partition(&others);
    serving.serve(5 * ELECTION)?;
    let before = serving.clients.answered;
    serving.until(PATIENCE, "the majority serves", |clients| clients.answered > before + 50)?;
    serving.sizes_are_right()?;
    let installed = serving.tester.cluster.counters.snapshots;
    // Now the server that missed many commands is needed for the majority.
    serving.tester.partition(&[others[0], last]);
    let before = serving.clients.answered;
    let demanded = "a majority serves of which one needs a snapshot";
    serving.until(PATIENCE, demanded, |clients| clients.answered > before + 50)?;
    let now = serving.tester.cluster.counters.snapshots;
    demand(now > installed, "the server that missed much is sent a snapshot", || {
        format!("{now} snapshots were sent before and after")
    })?;
    serving.tester.heal();
    serving.serve(ELECTION)?;
    serving.sizes_are_right()?;
    serving.end()
}
