//! The faults of a run. A run has a random choice of kinds of faults, which occur at random times.
//!
//! Most bugs need few kinds of faults, and the other kinds only make these bugs less likely. So
//! each run has only a few kinds (a *swarm*: Groce et al., Swarm Testing, 2012).

use std::time::Duration;

use raft_core::{Limits, NodeId};
use raft_kv::store::MAX_SESSIONS;
use raft_node::log_store::Sizes;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt, SeedableRng};

use crate::clients::{Clients, Kind, Values, Workload};
use crate::cluster::host::Survives;
use crate::cluster::{Cluster, Options, PerMille, Span};
use crate::failure::Failure;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Messages are lost, at a rate that changes.
    Loss,
    /// Messages arrive twice.
    Duplication,
    /// Messages are delayed, and overtaken by later ones.
    Reordering,
    /// The servers are split into two groups.
    Partition,
    /// Some connections are cut, in one direction or in both.
    Cuts,
    /// The leader is isolated.
    LostLeader,
    /// A process is paused.
    Pause,
    /// A process is killed.
    Kill,
    /// A machine loses its power.
    PowerLoss,
    /// All machines lose their power.
    Blackout,
    /// A disk fails.
    DiskError,
    /// Disks are slow.
    SlowDisks,
    /// Messages from and to some servers are slow.
    SlowServers,
    /// Clocks are too fast or too slow.
    Drift,
    /// Answers to clients are lost.
    LostAnswers,
    /// Replies are delayed just before the leader is isolated, and reach it when there is another
    /// leader.
    LateReplies,
    /// State machines are slow.
    SlowMachines,
    /// A server is killed, and a copy of its log with a flipped bit is opened.
    BitRot,
}

/// A fault that follows from the one before.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// All machines lose their power.
    Blackout,
    /// Leaders are isolated, and new replies are not delayed any more.
    CutLeaders,
}

impl Fault {
    /// All kinds of faults.
    pub const ALL: [Fault; 18] = [
        Fault::Loss,
        Fault::Duplication,
        Fault::Reordering,
        Fault::Partition,
        Fault::Cuts,
        Fault::LostLeader,
        Fault::Pause,
        Fault::Kill,
        Fault::PowerLoss,
        Fault::Blackout,
        Fault::DiskError,
        Fault::SlowDisks,
        Fault::SlowServers,
        Fault::Drift,
        Fault::LostAnswers,
        Fault::LateReplies,
        Fault::SlowMachines,
        Fault::BitRot,
    ];
}

const MS: Duration = Duration::from_millis(1);

/// Picks sizes of small log files, so that the log changes files often: in many steps, or in few.
fn log_sizes(random: &mut SmallRng) -> Sizes {
    let growth = 512 << random.random_range(0..6);
    Sizes {
        growth: (growth, growth << random.random_range(0..4)),
        part: 512 << random.random_range(0..6),
        worthwhile: 1024 << random.random_range(0..4),
    }
}

/// The plan of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The kinds of faults.
    pub faults: Vec<Fault>,
    /// The options of the cluster.
    pub options: Options,
    /// The workload of the clients.
    pub workload: Workload,
    /// The time after which no new faults occur.
    pub calm_at: Duration,
    next: Option<Next>,
    random: SmallRng,
}

impl Plan {
    /// Creates the plan of a seed for a number of servers, with its faults except for those in
    /// `without`.
    pub fn new(seed: u64, servers: u64, calm_at: Duration, without: &[Fault]) -> Plan {
        let mut random = SmallRng::seed_from_u64(seed ^ 0x5eed);
        let likely = random.random_range(1..=6u32);
        let faults = Fault::ALL.into_iter().filter(|_| random.random_range(0..8) < likely);
        let mut faults: Vec<Fault> = faults.collect();
        faults.retain(|fault| !without.contains(fault));
        let mut options = Options::new(servers, random.random());
        if faults.contains(&Fault::Drift) {
            options.drift = 100;
        }
        if faults.contains(&Fault::SlowDisks) {
            options.disk = Span(MS, 40 * MS);
        }
        // With a small limit, snapshots are taken and sent all the time.
        options.bounds.snapshot_log_bytes =
            *[600, 2_000, 10_000, 1 << 30].choose(&mut random).unwrap_or(&2_000);
        options.bounds.compaction_patience = options.bounds.snapshot_log_bytes * 2;
        let batch = *[1, 2, 64].choose(&mut random).unwrap_or(&64);
        options.limits = Limits { batch, window: batch * 8, reads: 64 };
        options.batch_bytes = *[40, 200, 1 << 20].choose(&mut random).unwrap_or(&200);
        options.log_sizes = log_sizes(&mut random);
        if faults.contains(&Fault::SlowMachines) {
            options.apply = Span(MS, 30 * MS);
        }
        options.request_timeout =
            *[150, 400, 1_000, 5_000].choose(&mut random).unwrap_or(&5_000) * MS;
        options.sessions =
            *[3, 6, MAX_SESSIONS, MAX_SESSIONS].choose(&mut random).unwrap_or(&MAX_SESSIONS);
        let mut workload = workload(&mut random);
        if faults.contains(&Fault::LostAnswers) {
            workload.network.1 = 150;
        }
        // An early power loss tests whether a first start makes its files durable.
        let loses_power = faults.contains(&Fault::PowerLoss) || faults.contains(&Fault::Blackout);
        let next = (loses_power && random.random_range(0..3) == 0).then_some(Next::Blackout);
        Plan { faults, options, workload, calm_at, next, random }
    }

    /// Keeps the plan, and draws all other random choices again.
    pub fn vary(&mut self, chance: u64) {
        self.options.seed ^= chance;
        self.random = SmallRng::seed_from_u64(self.options.seed);
    }

    fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// Sets up the network.
    pub fn begin(&mut self, cluster: &mut Cluster) {
        if self.has(Fault::SlowServers) {
            cluster.network.slowness = self.random.random_range(5..60) * MS;
            for id in cluster.ids() {
                let slow = self.random.random_range(0..3) == 0;
                cluster.network.set_slow(id, slow);
            }
        }
        self.change_network(cluster);
    }

    fn change_network(&mut self, cluster: &mut Cluster) {
        let rate = |random: &mut SmallRng, most: PerMille| {
            if random.random_range(0..3) == 0 { 0 } else { random.random_range(0..=most) }
        };
        if self.has(Fault::Loss) {
            cluster.network.loss = rate(&mut self.random, 300);
        }
        if self.has(Fault::Duplication) {
            cluster.network.duplication = rate(&mut self.random, 300);
        }
        if self.has(Fault::Reordering) {
            let most = self.random.random_range(5..400) * MS;
            cluster.network.holdup = (rate(&mut self.random, 400), Span(Duration::ZERO, most));
        }
    }

    /// Returns the time until the next fault.
    pub fn pause(&mut self) -> Duration {
        match self.next {
            Some(Next::Blackout) => return self.random.random_range(0..400) * MS,
            Some(Next::CutLeaders) => return self.random.random_range(2..40) * MS,
            None => {}
        }
        self.random.random_range(20..1200) * MS
    }

    /// Causes a fault, or ends some.
    ///
    /// # Errors
    ///
    /// Fails if the simulation itself fails.
    pub fn strike(&mut self, cluster: &mut Cluster, clients: &mut Clients) -> Result<(), Failure> {
        match self.next.take() {
            Some(Next::Blackout) => return self.black_out(cluster),
            Some(Next::CutLeaders) => {
                cluster.network.reply_holdup.0 = 0;
                cut_leaders(cluster);
                return Ok(());
            }
            None => {}
        }
        if self.random.random_range(0..8) == 0 {
            clients.burst(cluster.now(), self.random.random_range(100..400) * MS);
        }
        let ids: Vec<NodeId> = cluster.ids().collect();
        let Some(id) = ids.choose(&mut self.random).copied() else { return Ok(()) };
        // Servers that are down start again sooner or later, and connections that are cut are
        // restored.
        if self.random.random_range(0..3) == 0 {
            return self.relieve(cluster, id);
        }
        let Some(fault) = self.faults.choose(&mut self.random).copied() else { return Ok(()) };
        match fault {
            Fault::Loss | Fault::Duplication | Fault::Reordering => self.change_network(cluster),
            Fault::Partition => {
                let sides: Vec<bool> = ids.iter().map(|_| self.random.random()).collect();
                for (from, one) in ids.iter().zip(&sides) {
                    for (to, other) in ids.iter().zip(&sides) {
                        cluster.network.set_cut(*from, *to, one != other);
                    }
                }
            }
            Fault::Cuts => {
                for _ in 0..self.random.random_range(1..=ids.len()) {
                    let other = ids[self.random.random_range(0..ids.len())];
                    cluster.network.set_cut(id, other, id != other);
                }
            }
            Fault::LostLeader => {
                cut_leaders(cluster);
                clients.burst(cluster.now(), 600 * MS);
            }
            Fault::LateReplies => {
                let often = self.random.random_range(500..1000);
                let most = self.random.random_range(300..900) * MS;
                cluster.network.reply_holdup = (often, Span(100 * MS, most));
                clients.burst(cluster.now(), 700 * MS);
                self.next = Some(Next::CutLeaders);
            }
            Fault::Pause => cluster.set_paused(id, true),
            Fault::Kill => cluster.crash(id, Survives::All)?,
            Fault::PowerLoss => self.lose_power(cluster, id)?,
            Fault::Blackout => self.black_out(cluster)?,
            Fault::DiskError => cluster.fail_disk(id, self.random.random_range(0..12)),
            Fault::BitRot => cluster.flip_bit(id)?,
            Fault::SlowDisks
            | Fault::SlowServers
            | Fault::SlowMachines
            | Fault::Drift
            | Fault::LostAnswers => {}
        }
        Ok(())
    }

    fn lose_power(&mut self, cluster: &mut Cluster, id: NodeId) -> Result<(), Failure> {
        let left = *[Survives::Nothing, Survives::Anything]
            .choose(&mut self.random)
            .unwrap_or(&Survives::Nothing);
        cluster.crash(id, left)
    }

    fn black_out(&mut self, cluster: &mut Cluster) -> Result<(), Failure> {
        cluster.ids().try_for_each(|id| self.lose_power(cluster, id))
    }

    fn relieve(&mut self, cluster: &mut Cluster, id: NodeId) -> Result<(), Failure> {
        if self.random.random() {
            cluster.network.heal();
        }
        cluster.set_paused(id, false);
        for id in cluster.ids() {
            if self.random.random() {
                cluster.start(id)?;
            }
        }
        Ok(())
    }

    /// Heals a majority, and isolates the other servers, which stay down or paused if they are.
    /// Returns the majority.
    ///
    /// # Errors
    ///
    /// Fails if the simulation itself fails.
    pub fn heal_majority(&mut self, cluster: &mut Cluster) -> Result<Vec<NodeId>, Failure> {
        let mut ids: Vec<NodeId> = cluster.ids().collect();
        let majority = ids.len() / 2 + 1;
        while ids.len() > majority {
            ids.swap_remove(self.random.random_range(0..ids.len()));
        }
        cluster.network.loss = 0;
        cluster.network.duplication = 0;
        cluster.network.holdup = (0, Span(Duration::ZERO, Duration::ZERO));
        cluster.network.reply_holdup.0 = 0;
        for one in cluster.ids() {
            let inside = ids.contains(&one);
            for other in cluster.ids().filter(|other| *other != one) {
                cluster.network.set_cut(one, other, !(inside && ids.contains(&other)));
            }
            cluster.network.set_slow(one, false);
        }
        for id in &ids {
            cluster.fix_disk(*id);
            cluster.set_paused(*id, false);
            cluster.start(*id)?;
        }
        Ok(ids)
    }

    /// Heals everything.
    ///
    /// # Errors
    ///
    /// Fails if the simulation itself fails.
    pub fn heal_all(&mut self, cluster: &mut Cluster) -> Result<(), Failure> {
        cluster.network.heal();
        for id in cluster.ids() {
            cluster.fix_disk(id);
            cluster.set_paused(id, false);
            cluster.start(id)?;
        }
        Ok(())
    }
}

fn cut_leaders(cluster: &mut Cluster) {
    for leader in cluster.leaders() {
        cluster.network.isolate(leader, true);
    }
}

fn workload(random: &mut SmallRng) -> Workload {
    let mut workload = Workload {
        clients: random.random_range(5..=10),
        keys: random.random_range(1..=4),
        patience: *[300, 500, 1_200].choose(random).unwrap_or(&500) * MS,
        values: Values {
            empty: 50,
            long: *[0, 0, 100].choose(random).unwrap_or(&0),
            longest: random.random_range(500..6_000),
        },
        leaves_it: 300,
        wanders: 100,
        ..Workload::default()
    };
    workload.mix.push(Kind::StaleRetry);
    workload
}
