//! The course's lab suite against the production node.
//!
//! MIT 6.5840 (formerly 6.824) teaches Raft with a tester that has found bugs in thousands of
//! implementations. Its scenarios are played here in virtual time, over any number of seeds, with
//! clusters of production servers. The names are the course's. Whatever a test demands, all properties
//! that a simulated cluster checks at every step have to hold in it, too.
//!
//! # How the tester's world is turned
//!
//! | there | here |
//! | --- | --- |
//! | election timeout 1000 ms, the unit of waiting | the unit stays; the node has its production times: 150 to 300 ms, heartbeats every 50 ms |
//! | a command within 10 s, an attempt 2 s, a test 120 s | the same, in virtual time |
//! | the index of a command | its number among the commands of clients; a leader's blank entries are skipped |
//! | a crash keeps what was persisted | the process is killed or the power goes, at random |
//! | a network that delays up to 26 ms and loses 10% of requests and of replies | the same for each message |
//! | a lost snapshot is sent again with the next heartbeat | a lost frame of a snapshot's connection is sent again after 200 ms, as TCP does it |
//! | two thirds of the replies 200 to 2200 ms late | the same |
//! | a call to a server that is cut off hangs up to 7 s | messages are lost; a client of the service asks elsewhere after 500 ms |
//! | a snapshot every 10 commands | a server is told to take one when it has applied 10 commands after the last one's place |
//! | log bytes, raft state | what the log takes in the encoding of the wire |
//! | commands are numbers or strings | puts to one key of the service, each with another value |
//!
//! # What is demanded, and how that is turned
//!
//! | test | demand | turned |
//! | --- | --- | --- |
//! | `InitialElection` | one leader, its term stable over 2 s | as it is |
//! | `ReElection` | no leader without a quorum for 2 s, then one again | looked at every 5 ms |
//! | `ManyElections` | a leader in each of 9 rounds | as it is |
//! | `BasicAgree` | numbers 1, 2, 3; nothing before it was proposed | as it is |
//! | `RPCBytes` | ten 5,000-byte commands: at most 3 x 50,000 + 50,000 bytes | all frames count, replies and heartbeats too |
//! | `FollowerFailure`, `LeaderFailure` | nothing committed without a quorum in 2 s | looked at every 5 ms |
//! | `FailAgree`, `FailNoAgree` | all agree; number 2 or 3 after the heal | as it is |
//! | `ConcurrentStarts` | five at once, all committed | and their clients are told so |
//! | `Rejoin`, `Backup` | conflicting entries vanish, within 120 s | and no client was told otherwise |
//! | `Count` | at most 30 calls to elect, 42 for 11 commands, 60 in an idle second | the limits stay, though production's heartbeats are twice as frequent as the course allows: 40 are two followers' in a second; calls to elect are counted until somebody leads |
//! | `Persist1` to `Persist3` | all commands on all | as it is |
//! | `Figure8`, `Figure8Unreliable` | after 1000 rounds a command commits on 5 within 10 s | as it is |
//! | `UnreliableAgree` | 49 x (4 + 1) commands, then one on 5 | as it is |
//! | `ReliableChurn`, `UnreliableChurn` | what a client saw committed is in the final log | a client sees what the service answers it, and the final states of all servers hold it |
//! | `SnapshotBasic` to `SnapshotInstallUnCrash` | log bytes below 2,000, all catch up | as it is |
//! | `SnapshotAllCrash` | the index never decreases | as it is |
//! | `SnapshotInit` | the persisted base is kept | looked at after each restart |
//! | all of the service | linearizable, an unknown verdict is a failure | keys are shared, which is harder than the course's one key for each client; every request is answered within 10 s when all is well |
//! | `Speed`, `SnapshotSpeed` | 1,000 operations, 33.3 ms each | as it is |
//! | `UnreliableOneKey` | 10 appends of each of 5 clients | each in the final value of every server once |
//! | `OnePartition` | a minority completes nothing in 1 s, everything 3 s after the heal | after 0.1 s in which older answers may arrive |
//! | `SnapshotRPC` | who missed much is sent a snapshot, and makes up the majority at once | as it is |
//! | `SnapshotRecover`, and all others with snapshots | raft state at most 8,000 bytes | snapshots are taken at 1,000 bytes |
//! | `SnapshotSize` | the same, and snapshots of at most 500 bytes | as it is |

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

/// What a test does.
pub type Scenario = fn(&mut Tester) -> Result<(), Stop>;

/// What a test is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Raft: a replicated log.
    Raft,
    /// The key-value service on it.
    Service,
}

/// When snapshots are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshots {
    /// Not in this test.
    Never,
    /// When ten commands were applied since the last one.
    EveryTenCommands,
    /// When the log takes about a thousand bytes.
    EveryThousandBytes,
}

/// Under which conditions a test runs.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// How many servers.
    pub servers: u64,
    /// Whether the network delays and loses.
    pub unreliable: bool,
    /// How many messages in a thousand are lost from the start, if that is more.
    pub loss: u32,
    /// When snapshots are taken.
    pub snapshots: Snapshots,
}

impl Conditions {
    /// So many servers, and nothing wrong.
    pub const fn of(servers: u64) -> Conditions {
        Conditions { servers, unreliable: false, loss: 0, snapshots: Snapshots::Never }
    }

    /// The same in an unreliable network.
    pub const fn unreliable(self) -> Conditions {
        Conditions { unreliable: true, ..self }
    }

    /// The same with snapshots.
    pub const fn with(self, snapshots: Snapshots) -> Conditions {
        Conditions { snapshots, ..self }
    }
}

/// A test of the suite.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    /// Its name in the course.
    pub name: &'static str,
    /// What it is about, in a sentence.
    pub about: &'static str,
    /// Whether it is about the log or about the service.
    pub level: Level,
    /// Under which conditions it runs.
    pub conditions: Conditions,
    /// What it does.
    pub scenario: Scenario,
}

/// A demand that is not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// What was demanded.
    pub demanded: String,
    /// What was seen instead.
    pub seen: String,
}

/// Why a test ends early.
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

/// Demands something.
///
/// # Errors
///
/// It does not hold.
pub fn demand(holds: bool, demanded: &str, seen: impl FnOnce() -> String) -> Result<(), Stop> {
    if holds {
        return Ok(());
    }
    Err(Stop::Unmet(Unmet { demanded: demanded.to_owned(), seen: seen() }))
}

/// What came of a run of a test.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The test's name.
    pub test: &'static str,
    /// The seed.
    pub seed: u64,
    /// What was not met.
    pub unmet: Option<Unmet>,
    /// A number that stands for everything that happened to the servers.
    pub hash: u64,
    /// How much time passed in the simulation.
    pub simulated: Duration,
    /// What the tester did, with the time.
    pub story: Vec<String>,
    /// The log that each server would have written, if they were wanted.
    pub node_logs: BTreeMap<NodeId, Vec<NodeRecord>>,
}

/// Runs a test with a seed, and keeps the logs of the servers if they are wanted. The same test with
/// the same seed comes to the same.
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

/// A seed of its own for each test (FNV-1a over the name).
fn spread(name: &str, seed: u64) -> u64 {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    name.bytes().chain(seed.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, step)
}
