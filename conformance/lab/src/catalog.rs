//! All tests by name, and their selection.

use super::election::{count, initial_election, many_elections, re_election};
use super::service::{Service, generic};
use super::snapshots::{Victim, install};
use super::{Conditions, Level, Snapshots, Test};
use super::{agreement, churn, persistence, service, snapshots};

const fn raft(
    name: &'static str,
    about: &'static str,
    conditions: Conditions,
    scenario: super::Scenario,
) -> Test {
    Test { name, about, level: Level::Raft, conditions, scenario }
}

const fn kv(
    name: &'static str,
    about: &'static str,
    conditions: Conditions,
    scenario: super::Scenario,
) -> Test {
    Test { name, about, level: Level::Service, conditions, scenario }
}

const THREE: Conditions = Conditions::of(3);
const FIVE: Conditions = Conditions::of(5);
const SEVEN: Conditions = Conditions::of(7);

/// Three servers, with snapshots every ten commands.
const TEN: Conditions = THREE.with(Snapshots::EveryTenCommands);

/// Five servers, with snapshots whenever the log takes a thousand bytes.
const SMALL: Conditions = FIVE.with(Snapshots::EveryThousandBytes);

/// All tests, in the course's order.
pub const ALL: &[Test] = &[
    raft(
        "InitialElection",
        "A leader is elected, and its term is stable.",
        THREE,
        initial_election,
    ),
    raft("ReElection", "A leader goes and comes back, then the majority.", THREE, re_election),
    raft("ManyElections", "Three of seven are cut off, nine times.", SEVEN, many_elections),
    raft("BasicAgree", "Three commands have the numbers 1, 2, 3.", THREE, agreement::basic_agree),
    raft("RPCBytes", "Each follower is sent each command about once.", THREE, agreement::rpc_bytes),
    raft(
        "FollowerFailure",
        "One follower is cut off, then the other.",
        THREE,
        agreement::follower_failure,
    ),
    raft("LeaderFailure", "A leader is cut off, then the next.", THREE, agreement::leader_failure),
    raft("FailAgree", "A follower comes back and catches up.", THREE, agreement::fail_agree),
    raft(
        "FailNoAgree",
        "Nothing is committed while three of five are gone.",
        FIVE,
        agreement::fail_no_agree,
    ),
    raft(
        "ConcurrentStarts",
        "Five commands at once are all committed.",
        THREE,
        agreement::concurrent_starts,
    ),
    raft("Rejoin", "A leader comes back with entries that lost.", THREE, agreement::rejoin),
    raft("Backup", "Long logs that conflict are brought in line.", FIVE, agreement::backup),
    raft("Count", "Few calls are made to elect, to agree, to do nothing.", THREE, count),
    raft(
        "Persist1",
        "All restart, the leader restarts, two miss a command.",
        THREE,
        persistence::persist_1,
    ),
    raft("Persist2", "Five rounds of staggered restarts.", FIVE, persistence::persist_2),
    raft(
        "Persist3",
        "A leader restarts while one is cut off, one down.",
        THREE,
        persistence::persist_3,
    ),
    raft(
        "Figure8",
        "Leaders crash with commands just taken, again and again.",
        FIVE,
        persistence::figure_8,
    ),
    raft(
        "UnreliableAgree",
        "Many commands at a time over a bad network.",
        FIVE.unreliable(),
        persistence::unreliable_agree,
    ),
    raft(
        "Figure8Unreliable",
        "Leaders are cut off while replies are seconds late.",
        FIVE.unreliable(),
        persistence::figure_8_unreliable,
    ),
    raft("ReliableChurn", "Servers come and go while clients write.", FIVE, churn::churn),
    raft(
        "UnreliableChurn",
        "Servers come and go in a bad network while clients write.",
        FIVE.unreliable(),
        churn::churn,
    ),
    raft("SnapshotBasic", "Logs are compacted.", TEN, |tester| install(tester, Victim::Stays)),
    raft("SnapshotInstall", "Who was cut off is sent a snapshot.", TEN, |tester| {
        install(tester, Victim::Disconnected)
    }),
    raft(
        "SnapshotInstallUnreliable",
        "Who was cut off is sent a snapshot over a bad network.",
        TEN.unreliable(),
        |tester| install(tester, Victim::Disconnected),
    ),
    raft("SnapshotInstallCrash", "Who was down is sent a snapshot.", TEN, |tester| {
        install(tester, Victim::Crashed)
    }),
    raft(
        "SnapshotInstallUnCrash",
        "Who was down is sent a snapshot over a bad network.",
        TEN.unreliable(),
        |tester| install(tester, Victim::Crashed),
    ),
    raft("SnapshotAllCrash", "All crash after snapshots, five times.", TEN, snapshots::all_crash),
    raft("SnapshotInit", "Where a log begins is kept over two crashes.", TEN, snapshots::init),
    kv("Basic", "One client.", FIVE, |tester| generic(tester, Service::of(1))),
    kv("Speed", "A thousand operations, at most 33.3 ms each.", FIVE, service::speed),
    kv("Concurrent", "Five clients.", FIVE, |tester| generic(tester, Service::of(5))),
    kv("Unreliable", "Five clients, a bad network.", FIVE.unreliable(), |tester| {
        generic(tester, Service::of(5))
    }),
    kv(
        "UnreliableOneKey",
        "Five clients append to one key over a bad network.",
        FIVE.unreliable(),
        service::one_key,
    ),
    kv(
        "OnePartition",
        "A minority does nothing, and catches up in 3 s.",
        FIVE,
        service::one_partition,
    ),
    kv("ManyPartitionsOneClient", "One client, partitions.", FIVE, |tester| {
        generic(tester, Service::of(1).partitions())
    }),
    kv("ManyPartitionsManyClients", "Five clients, partitions.", FIVE, |tester| {
        generic(tester, Service::of(5).partitions())
    }),
    kv("PersistOneClient", "One client, all servers crash.", FIVE, |tester| {
        generic(tester, Service::of(1).crashes())
    }),
    kv("PersistConcurrent", "Five clients, all servers crash.", FIVE, |tester| {
        generic(tester, Service::of(5).crashes())
    }),
    kv(
        "PersistConcurrentUnreliable",
        "Five clients, a bad network, all servers crash.",
        FIVE.unreliable(),
        |tester| generic(tester, Service::of(5).crashes()),
    ),
    kv("PersistPartition", "Five clients, partitions, all servers crash.", FIVE, |tester| {
        generic(tester, Service::of(5).partitions().crashes())
    }),
    kv(
        "PersistPartitionUnreliable",
        "Five clients, a bad network, partitions, all servers crash.",
        FIVE.unreliable(),
        |tester| generic(tester, Service::of(5).partitions().crashes()),
    ),
    kv(
        "PersistPartitionUnreliableLinearizable",
        "The same with fifteen clients and seven servers.",
        SEVEN.unreliable(),
        |tester| generic(tester, Service::of(15).partitions().crashes()),
    ),
    kv(
        "SnapshotRPC",
        "Who was cut off needs a snapshot, and is needed at once.",
        THREE.with(Snapshots::EveryThousandBytes),
        service::snapshot_rpc,
    ),
    kv("SnapshotSize", "Snapshots and logs stay small.", SMALL, service::snapshot_size),
    kv("SnapshotSpeed", "As Speed, with snapshots.", SMALL, service::speed),
    kv("SnapshotRecover", "One client, snapshots, all servers crash.", SMALL, |tester| {
        generic(tester, Service::of(1).crashes())
    }),
    kv(
        "SnapshotRecoverManyClients",
        "Twenty clients, snapshots, all servers crash.",
        SMALL,
        |tester| generic(tester, Service::of(20).crashes()),
    ),
    kv(
        "SnapshotUnreliable",
        "Five clients, snapshots, a bad network.",
        SMALL.unreliable(),
        |tester| generic(tester, Service::of(5)),
    ),
    kv(
        "SnapshotUnreliableRecover",
        "Five clients, snapshots, a bad network, all servers crash.",
        SMALL.unreliable(),
        |tester| generic(tester, Service::of(5).crashes()),
    ),
    kv(
        "SnapshotUnreliableRecoverConcurrentPartition",
        "Five clients, snapshots, a bad network, partitions, all crash.",
        SMALL.unreliable(),
        |tester| generic(tester, Service::of(5).partitions().crashes()),
    ),
    kv(
        "SnapshotUnreliableRecoverConcurrentPartitionLinearizable",
        "The same with fifteen clients and seven servers.",
        SEVEN.with(Snapshots::EveryThousandBytes).unreliable(),
        |tester| generic(tester, Service::of(15).partitions().crashes()),
    ),
];

/// The error that no test has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no lab test \"{name}\"")]
pub struct UnknownTest {
    /// The name.
    pub name: String,
    /// The most similar names of tests.
    pub nearest: Vec<&'static str>,
}

/// Returns the tests with these names, in the course's order; all tests if no name is given.
///
/// The whole name of a test, in upper or lower case, selects only this test. Any other name is the
/// beginning of test names, or a pattern in which `*` stands for any text and `?` for one
/// character.
///
/// # Errors
///
/// A name selects no test.
pub fn select(names: &[String]) -> Result<Vec<&'static Test>, UnknownTest> {
    let mut chosen = vec![names.is_empty(); ALL.len()];
    for name in names {
        let wanted = name.to_lowercase();
        let exact = ALL.iter().any(|test| test.name.to_lowercase() == wanted);
        let pattern = if exact || wanted.contains(['*', '?']) { wanted } else { wanted + "*" };
        let mut found = false;
        for (test, chosen) in ALL.iter().zip(&mut chosen) {
            let matches = fits(pattern.as_bytes(), test.name.to_lowercase().as_bytes());
            *chosen |= matches;
            found |= matches;
        }
        if !found || name.is_empty() {
            return Err(UnknownTest { name: name.clone(), nearest: nearest(name) });
        }
    }
    let chosen = ALL.iter().zip(chosen).filter(|(_, chosen)| *chosen);
    Ok(chosen.map(|(test, _)| test).collect())
}

/// Returns whether a text matches a pattern. On a mismatch, it is enough to go back to the last
/// `*`.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read, mut star) = (0, 0, None);
    while read < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || *wanted == text[read] => {
                at += 1;
                read += 1;
            }
            _ => match star {
                Some((place, from)) => {
                    star = Some((place, from + 1));
                    at = place + 1;
                    read = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|left| *left == b'*')
}

fn nearest(name: &str) -> Vec<&'static str> {
    let name = name.to_lowercase();
    let distance = |test: &&Test| strsim::damerau_levenshtein(&name, &test.name.to_lowercase());
    let mut tests: Vec<&Test> = ALL.iter().collect();
    tests.sort_by_key(distance);
    tests.into_iter().take(3).map(|test| test.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(wanted: &[&str]) -> Vec<&'static str> {
        let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        select(&wanted).expect("known").iter().map(|test| test.name).collect()
    }

    #[test]
    fn a_whole_name_is_that_test_and_no_other() {
        assert_eq!(names(&["unreliable"]), ["Unreliable"]);
        assert_eq!(names(&["figure8"]), ["Figure8"]);
    }

    #[test]
    fn a_beginning_and_a_pattern_are_all_that_fit() {
        assert_eq!(
            names(&["persist1", "rejo", "*CHURN"]),
            ["Rejoin", "Persist1", "ReliableChurn", "UnreliableChurn"]
        );
        assert_eq!(names(&["persist?"]), ["Persist1", "Persist2", "Persist3"]);
        assert_eq!(names(&["*elect*s"]), ["ManyElections"]);
    }

    #[test]
    fn no_name_means_all_and_names_are_unique() {
        let all = names(&[]);
        assert_eq!(all.len(), ALL.len());
        let unique: std::collections::BTreeSet<&str> = all.iter().copied().collect();
        assert_eq!(unique.len(), ALL.len());
    }

    #[test]
    fn an_unknown_name_is_told_with_its_neighbours() {
        let unknown = select(&["Rejion".to_owned()]).expect_err("unknown");
        assert_eq!(unknown.nearest[0], "Rejoin");
        assert!(select(&[String::new()]).is_err());
        assert!(select(&["*nothing*".to_owned()]).is_err());
    }
}
