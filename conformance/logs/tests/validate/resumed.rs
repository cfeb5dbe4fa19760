//! Logs that begin in the middle of the cluster's life.

use raft_checker::properties::Property;
use raft_core::{Entry, Index, Log, NodeId, Payload, PersistentState, Snapshot, Term};
use raft_logs::validate::{EnvironmentRule, Options, Refusal};
use raft_trace::NodeRecord;

use crate::cluster::{Cluster, config};
use crate::logs::Logs;

const RESUMED: Options = Options { resumed: true };

#[test]
fn logs_of_a_cluster_that_ran_before_are_explained_if_that_is_said() {
    for seed in 0..20 {
        let mut cluster = Cluster::ran(seed, 1500);
        cluster.stop_and_begin_new_logs();
        cluster.run(1500);
        let report = cluster.logs.validate_with(RESUMED).expect("every line can be read");
        assert!(report.is_explained(), "{}", report.explain());
    }
}

#[test]
fn otherwise_the_first_start_is_blank() {
    let mut cluster = Cluster::ran(1, 1500);
    cluster.stop_and_begin_new_logs();
    for place in cluster.logs.contradictions() {
        assert_eq!(place.line, 1);
        let Refusal::Environment { rule, .. } = place.refusal else { panic!("{place:?}") };
        assert_eq!(rule, EnvironmentRule::FirstStartIsBlank);
    }
}

/// Returns the log of a server that starts with entries of these terms and has applied some of
/// them.
fn starts(id: u64, terms: &[u64], command: &str, applied: u64) -> Vec<String> {
    let entry = |term: &u64| Entry { term: Term(*term), payload: Payload::Command(command.into()) };
    let state = PersistentState {
        current_term: Term(9),
        voted_for: Some(NodeId(1)),
        log: Log::new(Snapshot::none(), terms.iter().map(entry).collect()),
    };
    let start = NodeRecord::Start { config: config(id), state, applied: Index(applied) };
    let mut bytes = Vec::new();
    start.write(&mut bytes).expect("memory takes it");
    vec![String::from_utf8(bytes).expect("JSON is text").trim_end().to_owned()]
}

fn broken(files: Vec<Vec<String>>) -> Option<Property> {
    let report = Logs { files }.validate_with(RESUMED).expect("every line can be read");
    let mut contradictions = report.contradictions();
    contradictions.next().map(|(_, incomplete)| match incomplete.refusal {
        Refusal::Property { property, .. } => property,
        ref other => panic!("{other:?}"),
    })
}

#[test]
fn what_servers_start_with_fits_together() {
    let files = vec![starts(1, &[1, 2], "x", 2), starts(2, &[1, 2], "x", 0), starts(3, &[], "", 0)];
    assert_eq!(broken(files), None);
}

#[test]
fn one_position_in_two_logs_is_one_entry() {
    let files = vec![starts(1, &[1, 2], "x", 0), starts(2, &[1, 2], "y", 0)];
    assert_eq!(broken(files), Some(Property::LogMatching));
    let files = vec![starts(1, &[1, 2], "x", 0), starts(2, &[2, 2], "x", 0)];
    assert_eq!(broken(files), Some(Property::LogMatching));
}

#[test]
fn two_state_machines_have_applied_the_same() {
    let files = vec![starts(1, &[1], "x", 1), starts(2, &[2], "x", 1)];
    assert_eq!(broken(files), Some(Property::StateMachineSafety));
}

#[test]
fn what_was_applied_is_on_a_majority() {
    let files = vec![starts(1, &[1], "x", 1), starts(2, &[], "", 0), starts(3, &[], "", 0)];
    assert_eq!(broken(files), Some(Property::CommittedOnMajority));
}
