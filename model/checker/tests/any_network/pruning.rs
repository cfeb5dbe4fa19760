//! Messages that are removed because they make no difference make none: the same servers, budgets
//! and histories are reached without removing any.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use raft_checker::bounded_cluster::BoundedCluster;
use raft_checker::config::{BoundedConfig, Catalog, Network};
use raft_core::Paper;
use raft_explore::Findings;
use raft_explore::any_network::{Options, explore};
use raft_explore::control::Control;

/// Hashes of all tuples, each up to renaming, and the findings.
fn reached(
    config: &BoundedConfig,
    hasher: &RandomState,
    prune: bool,
) -> (HashSet<u64>, Findings, u64) {
    let system = Arc::new(BoundedCluster::new(config.clone(), Network::Any, Paper));
    let options = Options { threads: 2, prune, ..Options::default() };
    let mut tuples = HashSet::new();
    let explored = explore(&system, options, &Control::default());
    explored.for_each_tuple(|servers, used, history| {
        tuples.insert(hasher.hash_one((servers, used, history)));
    });
    let outcome = explored.outcome;
    assert!(outcome.complete && outcome.removals_hold);
    (tuples, outcome.findings, outcome.kept.states)
}

#[test]
fn removing_messages_changes_nothing_but_the_number_of_states() {
    let catalog = Catalog::embedded().expect("they are sound");
    let hasher = RandomState::new();
    for name in ["election-2", "election-3", "persistence-2", "recover-2-snapshot", "snapshot-2"] {
        let config = catalog.find(name).expect("it is there");
        let (with, findings, fewer) = reached(&config, &hasher, true);
        let (without, all_findings, more) = reached(&config, &hasher, false);
        assert!(with == without, "{name}: {} and {}", with.len(), without.len());
        assert_eq!(findings, all_findings, "{name}");
        assert!(fewer < more, "{name}: {fewer} and {more}");
    }
}
