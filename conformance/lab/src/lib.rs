//! The lab suite of the course MIT 6.5840, run against the production node.
//!
//! MIT 6.5840 (formerly 6.824) teaches Raft with a tester that has found bugs in thousands of
//! implementations. Its scenarios run here in virtual time, over any number of seeds, on clusters
//! of production servers. The tests have the names of the course. In addition to its own demands,
//! each test demands all properties that a simulated cluster checks at every step.
//!
//! # How the tester's environment is adapted
//!
//! | course | here |
//! | --- | --- |
//! | election timeout 1000 ms, the unit of waiting | the unit is the same; the node has its production timing: election timeouts of 150 to 300 ms, heartbeats every 50 ms |
//! | at most 10 s for a command, 2 s for an attempt, 120 s for a test | the same, in virtual time |
//! | the index of a command | its number among the commands of clients; the no-op entries of leaders are not counted |
//! | a crash keeps the persisted state | a kill of the process or a power loss, at random |
//! | a network that delays up to 26 ms and loses 10% of requests and of replies | the same for each message |
//! | a lost snapshot is sent again with the next heartbeat | a lost frame of a snapshot's connection is sent again after 200 ms, as TCP does |
//! | two thirds of the replies are 200 to 2200 ms late | the same |
//! | a call to a server that is cut off hangs up to 7 s | messages are lost; a client of the service tries another server after 500 ms |
//! | a snapshot every 10 commands | a server is told to take a snapshot when it has applied 10 commands after its last snapshot |
//! | log bytes, raft state | the size of the log in the wire format |
//! | commands are numbers or strings | puts to one key of the service, each with a different value |
//!
//! # How the demands are adapted
//!
//! | test | demand | here |
//! | --- | --- | --- |
//! | `InitialElection` | one leader, its term stable over 2 s | the same |
//! | `ReElection` | no leader without a quorum for 2 s, then one again | checked every 5 ms |
//! | `ManyElections` | a leader in each of 9 rounds | the same |
//! | `BasicAgree` | numbers 1, 2, 3; nothing is committed before it was proposed | the same |
//! | `RPCBytes` | ten 5,000-byte commands: at most 3 x 50,000 + 50,000 bytes | all frames count, including replies and heartbeats |
//! | `FollowerFailure`, `LeaderFailure` | nothing committed without a quorum in 2 s | checked every 5 ms |
//! | `FailAgree`, `FailNoAgree` | all servers agree; the command after the heal has number 2 or 3 | the same |
//! | `ConcurrentStarts` | five commands at once are all committed | in addition, their clients are told so |
//! | `Rejoin`, `Backup` | conflicting entries are removed, within 120 s | in addition, `Rejoin` demands that no client is told that such an entry was committed |
//! | `Count` | at most 30 calls to elect, 42 for 11 commands, 60 in an idle second | the limits are the same, although production's heartbeats are twice as frequent as the course allows: two followers get 40 in a second; calls to elect are counted until a server leads |
//! | `Persist1` to `Persist3` | all commands on all servers | the same |
//! | `Figure8`, `Figure8Unreliable` | after 1000 rounds a command is committed on 5 servers within 10 s | the same |
//! | `UnreliableAgree` | 49 x (4 + 1) commands, then one on 5 servers | the same |
//! | `ReliableChurn`, `UnreliableChurn` | each command that a client saw committed is in the final log | a client sees a command committed when a server has answered it; the final state of every server must hold the command |
//! | `SnapshotBasic` to `SnapshotInstallUnCrash` | log bytes below 2,000, all servers catch up | the same |
//! | `SnapshotAllCrash` | the index never decreases | the same |
//! | `SnapshotInit` | the persisted base of the log is kept | checked after each restart |
//! | all of the service | linearizable, an unknown verdict is a failure | clients share keys, which is harder than the course's one key for each client; every request is answered within 10 s once crashes and partitions have ended |
//! | `Speed`, `SnapshotSpeed` | 1,000 operations, 33.3 ms each | the same |
//! | `UnreliableOneKey` | 10 appends of each of 5 clients | each append is in the final value of every server once |
//! | `OnePartition` | a minority completes nothing in 1 s, and everything within 3 s of the heal | the 1 s begins 0.1 s after the cut, because older answers may still arrive |
//! | `SnapshotRPC` | a server that missed many commands is sent a snapshot, and is needed for the majority at once | the same |
//! | `SnapshotRecover`, and the others with snapshots except `SnapshotSpeed` | raft state at most 8,000 bytes | snapshots are taken at 1,000 bytes |
//! | `SnapshotSize` | the same, and snapshots of at most 500 bytes | the same |

mod agreement;
mod catalog;
mod churn;
mod election;
mod persistence;
mod service;
mod snapshots;
pub mod tester;

use std::collections::BTreeMap;
use std::time::Duration;

use raft_core::NodeId;
use raft_trace::NodeRecord;

use raft_simulation::failure::Failure;

pub use catalog::{ALL, UnknownTest, select};
pub use tester::Tester;

/// The steps of a test.
pub type Scenario = fn(&mut Tester) -> Result<(), Stop>;

/// The layer that a test checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Raft: a replicated log.
    Raft,
    /// The key-value service on top of Raft.
    Service,
}

/// The rule for taking snapshots in a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshots {
    /// No snapshots are taken.
    Never,
    /// A server takes a snapshot when it has applied ten commands since the last one.
    EveryTenCommands,
    /// A server takes a snapshot when its log takes about a thousand bytes.
    EveryThousandBytes,
}

/// The conditions of a test.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// The number of servers.
    pub servers: u64,
    /// Whether the network delays and loses messages.
    pub unreliable: bool,
    /// Lost messages per thousand from the start, if that is more than `unreliable` implies.
    pub loss: u32,
    /// The rule for taking snapshots.
    pub snapshots: Snapshots,
}

impl Conditions {
    /// Returns conditions with this many servers, a reliable network and no snapshots.
    pub const fn of(servers: u64) -> Conditions {
        Conditions { servers, unreliable: false, loss: 0, snapshots: Snapshots::Never }
    }

    /// Returns the same conditions with an unreliable network.
    pub const fn unreliable(self) -> Conditions {
        Conditions { unreliable: true, ..self }
    }

    /// Returns the same conditions with snapshots.
    pub const fn with(self, snapshots: Snapshots) -> Conditions {
        Conditions { snapshots, ..self }
    }
}

/// A test of the suite.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    /// Its name in the course.
    pub name: &'static str,
    /// A description in one sentence.
    pub about: &'static str,
    /// The layer that it checks.
    pub level: Level,
    /// The conditions under which it runs.
    pub conditions: Conditions,
    /// Its steps.
    pub scenario: Scenario,
}

/// A demand that is not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// The demand.
    pub demanded: String,
    /// The observation that contradicts the demand.
    pub seen: String,
}

/// The reason why a test ends early.
#[derive(Debug)]
pub enum Stop {
    /// A demand is not met.
    Unmet(Unmet),
    /// The simulation itself fails, or a server does not start.
    Failure(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failure(failure)
    }
}

/// Returns an error unless a demand is met.
///
/// # Errors
///
/// The demand is not met.
pub fn demand(holds: bool, demanded: &str, seen: impl FnOnce() -> String) -> Result<(), Stop> {
    if holds {
        return Ok(());
    }
    Err(Stop::Unmet(Unmet { demanded: demanded.to_owned(), seen: seen() }))
}

/// The result of a run of a test.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The test's name.
    pub test: &'static str,
    /// The seed.
    pub seed: u64,
    /// The demand that was not met, if any.
    pub unmet: Option<Unmet>,
    /// A hash of all inputs and effects of the servers.
    pub hash: u64,
    /// The time that passed in the simulation.
    pub simulated: Duration,
    /// The actions of the tester, each with its time.
    pub story: Vec<String>,
    /// The trace log of each server, if the logs were kept.
    pub node_logs: BTreeMap<NodeId, Vec<NodeRecord>>,
}

/// Runs a test with a seed, and keeps the logs of the servers if `node_logs` is set. The same test
/// with the same seed has the same result.
pub fn run(test: &Test, seed: u64, node_logs: bool) -> Outcome {
    let mut outcome = Outcome {
        test: test.name,
        seed,
        unmet: None,
        hash: 0,
        simulated: Duration::ZERO,
        story: Vec::new(),
        node_logs: BTreeMap::new(),
    };
    let result = Tester::new(test.conditions, spread(test.name, seed), node_logs);
    let result = result.and_then(|mut tester| {
        let result = (test.scenario)(&mut tester).and_then(|()| tester.look());
        outcome.hash = tester.cluster.hash();
        outcome.simulated = tester.cluster.now();
        outcome.node_logs = tester.cluster.checks().node_logs.take().unwrap_or_default();
        outcome.story = tester.into_story();
        result
    });
    outcome.unmet = match result {
        Ok(()) => None,
        Err(Stop::Unmet(unmet)) => Some(unmet),
        Err(Stop::Failure(failure)) => {
            let demanded = "every server starts and runs".to_owned();
            Some(Unmet { demanded, seen: failure.to_string() })
        }
    };
    outcome
}

/// Returns a different seed for each test (FNV-1a over the name and the seed).
fn spread(name: &str, seed: u64) -> u64 {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    name.bytes().chain(seed.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, step)
}
