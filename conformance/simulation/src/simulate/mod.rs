//! Runs whole clusters of production servers under faults, one seed at a time.
//!
//! A run has three parts. In the first part, faults occur; the seed determines which faults, and
//! when. In the second part, a majority is healed while the other servers stay broken. Within a
//! bounded time, the majority must commit a new command: this is the liveness that Raft promises.
//! In the third part, all servers are healed, and all of them must reach the same state. The
//! properties of the paper are checked at every step. Every request must be answered within its
//! time. The history of the clients, which use HTTP, must be linearizable.

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

/// The lengths of the parts of a run.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    /// The time during which faults occur.
    pub chaos: Duration,
    /// The time within which a majority must commit a new command.
    pub recovery: Duration,
    /// The time within which all servers must reach the same state.
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

/// The run of a seed, or a smaller variant of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// The seed.
    pub seed: u64,
    /// The number of servers.
    pub servers: u64,
    /// The faults of the seed that are left out.
    pub without: Vec<Fault>,
    /// The greatest number of clients.
    pub clients: u64,
    /// The greatest number of keys that the clients share.
    pub keys: u64,
    /// The longest time during which faults occur.
    pub chaos: Duration,
    /// The number of a new draw of all random choices, except for the plan; 0 is the draw of the
    /// seed.
    pub chance: u64,
}

impl Variant {
    /// Returns the run of a seed.
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

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The run.
    pub variant: Variant,
    /// The limits of the servers.
    pub limits: Limits,
    /// The kinds of faults that could occur.
    pub faults: Vec<Fault>,
    /// A hash of everything that happened.
    pub hash: u64,
    /// The time that has passed in the simulation.
    pub simulated: Duration,
    /// The number of steps of raft-core.
    pub steps: u64,
    /// The number of elections that were won.
    pub elections: u64,
    /// The number of client requests that were answered.
    pub answered: u64,
    /// Other counts.
    pub counters: Counters,
    /// The broken property, if there is one.
    pub broken: Option<Broken>,
    /// The actions of the run, if they were recorded.
    pub recorded: Vec<Action>,
    /// All committed entries, for reading the record.
    pub decided: Vec<raft_core::Entry>,
    /// The history of the clients, if it is not linearizable.
    pub history: Option<History<Asked, Answer>>,
}

/// Runs one seed.
pub fn run(seed: u64, servers: u64, length: Length, record: bool) -> Outcome {
    run_variant(&Variant::of(seed, servers), length, record)
}

/// Runs one seed, or a smaller variant of it.
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

/// The results of the clients.
#[derive(Default)]
struct Seen {
    answered: u64,
    history: Option<History<Asked, Answer>>,
}

/// The time between two checks whether a property is broken, so that a record ends soon after that.
const GLANCE: Duration = Duration::from_millis(20);

/// Lets time pass until `end`, or until a property is broken.
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

/// Checks that a healed majority commits a new command in time.
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

/// Checks that all servers reach the same state in time.
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
