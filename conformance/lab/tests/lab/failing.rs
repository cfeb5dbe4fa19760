//! Tests fail when their demands are not met.

use raft_core::NodeId;
use raft_lab::{Conditions, Scenario, Stop, Test, Tester, Unmet, run, select};

fn one(name: &str) -> Test {
    *select(&[name.to_owned()]).expect("a test of the suite")[0]
}

fn unmet(test: &Test) -> Unmet {
    run(test, 0, false).unmet.expect("it fails")
}

fn own(scenario: Scenario) -> Unmet {
    unmet(&Test { scenario, conditions: Conditions::of(3), ..one("FailAgree") })
}

#[test]
fn nobody_is_elected_where_nothing_arrives() {
    let mut test = one("InitialElection");
    test.conditions.loss = 1000;
    let unmet = unmet(&test);
    assert_eq!(unmet.demanded, "a leader is elected within 5 s");
    assert!(unmet.seen.contains("n1 is in term"), "{}", unmet.seen);
}

#[test]
fn a_follower_that_never_comes_back_is_missed() {
    let unmet = own(|tester| {
        tester.one("with all", 3, true)?;
        tester.disconnect(NodeId(2));
        tester.one("without n2", 3, true).map(|_| ())
    });
    assert_eq!(unmet.demanded, "command without n2 is committed on 3 servers within 10 s");
    assert!(unmet.seen.contains("cut off"), "{}", unmet.seen);
}

#[test]
fn one_attempt_is_given_up_after_two_seconds() {
    let unmet = own(|tester| {
        tester.one_leader()?;
        tester.crash(NodeId(1))?;
        tester.one("alone", 3, false).map(|_| ())
    });
    assert!(unmet.demanded.contains("within 2 s, in one attempt"), "{}", unmet.demanded);
    assert!(unmet.seen.contains("n1 is down"), "{}", unmet.seen);
}

#[test]
fn a_leader_where_there_must_be_none_is_seen() {
    let unmet = own(|tester| {
        tester.one_leader()?;
        tester.no_leader()
    });
    assert!(unmet.demanded.contains("without a majority"), "{}", unmet.demanded);
}

#[test]
fn a_log_that_is_never_compacted_grows_too_long() {
    let without = Test { conditions: Conditions::of(3), ..one("SnapshotBasic") };
    assert_eq!(unmet(&without).demanded, "a log takes less than 2000 bytes");
    let without = Test { conditions: Conditions::of(3), ..one("SnapshotInit") };
    assert_eq!(unmet(&without).demanded, "11 commands lead to a snapshot");
}

#[test]
fn a_service_without_a_quorum_serves_nobody() {
    let mut test = one("Speed");
    test.scenario = one("Basic").scenario;
    test.conditions.loss = 1000;
    assert_eq!(unmet(&test).demanded, "the service goes on within 10 s");
}

#[test]
fn a_test_that_never_ends_is_ended() {
    fn forever(tester: &mut Tester) -> Result<(), Stop> {
        loop {
            tester.one("again", 3, true)?;
        }
    }
    assert_eq!(own(forever).demanded, "the test ends within 120 s");
}

#[test]
fn a_property_that_breaks_ends_any_test() {
    let unmet = own(|tester| {
        tester.one("something", 3, true)?;
        tester.cluster.checks().complain("election-safety", "two leaders".to_owned());
        tester.one("more", 3, true).map(|_| ())
    });
    assert_eq!(unmet.demanded, "the property election-safety holds");
    assert_eq!(unmet.seen, "two leaders");
}
