//! Whole clusters of production servers under faults, a seed at a time.
//!
//! A run has three parts. First things go wrong: what and when comes from the seed. Then a majority is
//! made whole while the rest stays broken, and within a bounded time a new command must be committed:
//! this is the liveness that Raft promises. Then all is made whole, and all servers must come to hold
//! the same. The properties of the paper are checked at every step, every request is answered within its
//! time, and what clients saw over HTTP must be linearizable.

pub mod plan;
pub mod shrink;

use std::time::Duration;

use raft_core::{Limits, NodeId};
use raft_kv::command::{Command, Operation};
use raft_trace::Action;

use crate::clients::Clients;
use crate::cluster::checks::Broken;
use crate::cluster::{Cluster, Counters};
use crate::failure::Failure;
use plan::{Fault, Plan};
use raft_linearizability::{Answer, History, KvModel, Limit, Operation as Asked, check};

/// How long a run is.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    /// For how long things go wrong.
    pub chaos: Duration,
    /// How long a majority may take to commit something new.
    pub recovery: Duration,
    /// How long all may take to hold the same.
    pub convergence: Duration,
}

impl Default for Length {
    fn default() -> Length {
        Length {
            chaos: Duration::from_secs(25),
            recovery: Duration::from_secs(10),
            convergence: Duration::from_secs(15),
        }
    }
}

/// Which run: a seed's, or a smaller one like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// The seed.
    pub seed: u64,
    /// How many servers there are.
    pub servers: u64,
    /// The faults that the seed picks and that are left out.
    pub without: Vec<Fault>,
    /// How many clients there are at most.
    pub clients: u64,
    /// How many keys they share at most.
    pub keys: u64,
    /// For how long things go wrong at most.
    pub chaos: Duration,
    /// What is drawn anew, but for the plan; 0 is what the seed has.
    pub chance: u64,
}

impl Variant {
    /// The run that belongs to a seed.
    pub fn of(seed: u64, servers: u64) -> Variant {
        Variant {
            seed,
            servers,
            without: Vec::new(),
            clients: u64::MAX,
            keys: u64::MAX,
            chaos: Duration::MAX,
            chance: 0,
        }
    }

    fn plan(&self, length: Length, record: bool) -> Plan {
        let calm_at = length.chaos.min(self.chaos);
        let mut plan = Plan::new(self.seed, self.servers, calm_at, &self.without);
        plan.workload.clients = plan.workload.clients.min(self.clients);
        plan.workload.keys = plan.workload.keys.min(self.keys);
        plan.options.record = record;
        if self.chance > 0 {
            plan.vary(self.chance);
        }
        plan
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which run it was.
    pub variant: Variant,
    /// What could be under way to one follower.
    pub limits: Limits,
    /// What could go wrong.
    pub faults: Vec<Fault>,
    /// A number that stands for everything that happened.
    pub hash: u64,
    /// How much time has passed in the simulation.
    pub simulated: Duration,
    /// Steps of raft-core.
    pub steps: u64,
    /// Elections won.
    pub elections: u64,
    /// Requests of clients that were answered.
    pub answered: u64,
    /// What was counted.
    pub counters: Counters,
    /// What is wrong.
    pub broken: Option<Broken>,
    /// What happened, if it was to be kept.
    pub recorded: Vec<Action>,
    /// Everything that was decided, for reading the record.
    pub decided: Vec<raft_core::Entry>,
    /// What clients saw, if that is what is wrong.
    pub history: Option<History<Asked, Answer>>,
}

/// Runs one seed.
pub fn run(seed: u64, servers: u64, length: Length, record: bool) -> Outcome {
    run_variant(&Variant::of(seed, servers), length, record)
}

/// Runs one seed, or something smaller like it.
pub fn run_variant(variant: &Variant, length: Length, record: bool) -> Outcome {
    let mut plan = variant.plan(length, record);
    let variant = variant.clone();
    let (faults, limits) = (plan.faults.clone(), plan.options.limits);
    let outcome = Cluster::new(plan.options.clone());
    let mut cluster = match outcome {
        Ok(cluster) => cluster,
        Err(error) => {
            let broken = Broken { property: "simulation", what: error.to_string() };
            return Outcome {
                variant,
                limits,
                faults,
                hash: 0,
                simulated: Duration::ZERO,
                steps: 0,
                elections: 0,
                answered: 0,
                counters: Counters::default(),
                broken: Some(broken),
                recorded: Vec::new(),
                decided: Vec::new(),
                history: None,
            };
        }
    };
    let mut seen = Seen::default();
    if let Err(error) = run_on(&mut cluster, &mut plan, length, &mut seen) {
        cluster.checks().complain("simulation", error.to_string());
    }
    let counters = cluster.counters;
    let mut checks = cluster.checks();
    Outcome {
        variant,
        limits,
        faults,
        hash: checks.hash(),
        simulated: cluster.now(),
        steps: checks.steps,
        elections: checks.elections,
        answered: seen.answered,
        counters,
        broken: checks.broken.clone(),
        recorded: checks.recorded.take().unwrap_or_default(),
        decided: checks.decided.clone(),
        history: seen.history,
    }
}

/// What clients saw.
#[derive(Default)]
struct Seen {
    answered: u64,
    history: Option<History<Asked, Answer>>,
}

/// How often it is looked whether something is broken already, so that a record ends soon after.
const GLANCE: Duration = Duration::from_millis(20);

/// Lets time pass, as long as nothing is broken.
fn pass(cluster: &mut Cluster, clients: &mut Clients, end: Duration) -> Result<(), Failure> {
    while cluster.now() < end && cluster.broken().is_none() {
        clients.run_until(cluster, end.min(cluster.now() + GLANCE))?;
        if let Some(complaint) = clients.complaint.take() {
            cluster.checks().complain("answers", complaint);
        }
    }
    Ok(())
}

fn run_on(
    cluster: &mut Cluster,
    plan: &mut Plan,
    length: Length,
    seen: &mut Seen,
) -> Result<(), Failure> {
    plan.begin(cluster);
    let mut clients = Clients::new(plan.workload.clone(), cluster, plan.options.seed);
    let calm_at = plan.calm_at;
    while cluster.now() < calm_at && cluster.broken().is_none() {
        let end = (cluster.now() + plan.pause()).min(calm_at);
        pass(cluster, &mut clients, end)?;
        plan.strike(cluster, &mut clients)?;
    }
    clients.stop_at = cluster.now() + length.recovery;
    if cluster.broken().is_none() {
        let majority = plan.heal_majority(cluster)?;
        recover(cluster, &mut clients, &majority, length)?;
    }
    if cluster.broken().is_none() {
        plan.heal_all(cluster)?;
        clients.lose_nothing();
        converge(cluster, &mut clients, length)?;
    }
    seen.answered = clients.answered;
    cluster.check_timeouts();
    let history = clients.into_history();
    let report = check::<KvModel>(&history, Limit::default());
    if !report.is_linearizable() {
        cluster.checks().complain("linearizability", report.to_string());
        seen.history = Some(history);
    }
    Ok(())
}

/// A majority that is whole commits something new in time.
fn recover(
    cluster: &mut Cluster,
    clients: &mut Clients,
    majority: &[NodeId],
    length: Length,
) -> Result<(), Failure> {
    let end = cluster.now() + length.recovery;
    let operation = Operation::Put { key: "recovered".into(), value: "yes".into() };
    let command = Command { request: None, operation }.encode()?;
    while cluster.now() < end {
        let soon = cluster.now() + Duration::from_millis(300);
        let leaders = cluster.leaders();
        let asked =
            leaders.into_iter().filter(|leader| majority.contains(leader)).max_by_key(|leader| {
                let running = cluster.running(*leader);
                running.map(|running| running.replica.shell().node().current_term)
            });
        let proposal = asked.and_then(|leader| {
            Some((leader, cluster.propose(leader, command.clone().into()).ok()?))
        });
        pass(cluster, clients, soon)?;
        let committed = |(leader, id)| cluster.has_done(leader, id);
        if cluster.broken().is_some() || proposal.is_some_and(committed) {
            return Ok(());
        }
    }
    let what = format!(
        "{majority:?} are up and connected, and commit nothing in {} s",
        length.recovery.as_secs()
    );
    cluster.checks().complain("recovery", what);
    Ok(())
}

/// All servers come to hold the same.
fn converge(cluster: &mut Cluster, clients: &mut Clients, length: Length) -> Result<(), Failure> {
    let end = cluster.now() + length.convergence;
    while cluster.now() < end && cluster.broken().is_none() {
        let soon = cluster.now() + Duration::from_millis(500);
        pass(cluster, clients, soon)?;
        if clients.are_idle() && are_equal(cluster) && !cluster.owes_answers() {
            cluster.check_states();
            return Ok(());
        }
    }
    let ids: Vec<NodeId> = cluster.ids().collect();
    let standing = ids.into_iter().map(|id| {
        let running = cluster.running(id);
        let node = running.map(|running| running.replica.shell().node());
        node.map_or_else(
            || format!("{id} is down ({:?})", cluster.host(id).stopped),
            |node| {
                let (commit, last) = (node.commit_index, node.log.last_index());
                let applied = node.last_applied;
                let owes = if cluster.host(id).owes_answers() { " and owes answers" } else { "" };
                format!("{id} has committed {commit} of {last}, applied {applied}{owes}")
            },
        )
    });
    let standing: Vec<String> = standing.chain(clients.busy()).collect();
    let what = format!("all is well, and they do not agree: {}", standing.join(", "));
    cluster.checks().complain("convergence", what);
    Ok(())
}

fn are_equal(cluster: &Cluster) -> bool {
    let mut states = cluster.ids().map(|id| {
        let node = cluster.running(id)?.replica.shell().node();
        let same = (node.log.last(), node.commit_index, node.last_applied);
        (node.commit_index == node.log.last_index()).then_some((same, &cluster.host(id).reference))
    });
    let first = states.next().flatten();
    first.is_some() && states.all(|state| state == first)
}
