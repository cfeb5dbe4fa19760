//! Runs over any network that break a property are real runs, and no step can be left out of them.

use std::sync::Arc;

use raft_checker::bounded_cluster::{BoundedCluster, any_network_actions, broken_properties};
use raft_checker::cluster::Cluster;
use raft_checker::config::{BoundedConfig, Catalog, Network};
use raft_checker::mutants::{self, Mutant};
use raft_checker::properties::{Property, PropertySet, can_recover};
use raft_explore::any_network::{Options, search};
use raft_explore::control::Control;
use raft_trace::Action;

/// Returns the properties that the actions break. Impossible actions are skipped.
fn broken_by(config: &BoundedConfig, mutant: &Mutant, actions: &[Action]) -> PropertySet {
    let mut cluster = Cluster::boot(&config.settings, &mutant);
    let mut broken = PropertySet::default();
    for action in actions {
        if let Ok(observation) = cluster.act(&config.settings, &mutant, action) {
            broken.extend(observation.broken);
        }
    }
    // Every message can be lost.
    cluster.network.clear();
    if config.recover && can_recover::check(&config.settings, &mutant, &cluster).is_err() {
        broken.insert(Property::CanRecover);
    }
    broken
}

fn a_run_of(id: &str, config: &str) {
    let config = Catalog::embedded().expect("they are sound").find(config).expect("it is there");
    let all = mutants::all();
    let mutant = all.iter().find(|mutant| mutant.id == id).expect("it is one of them");
    let system = Arc::new(BoundedCluster::new(config.clone(), Network::Any, mutant));
    let options = Options { threads: 2, prune: false, ..Options::default() };
    let (steps, bit) = search(&system, options, &Control::default()).violation.expect("a run");
    let property = broken_properties(bit).iter().next().expect("one property");
    let actions = any_network_actions(&config, &mutant, steps);
    let breaks = |actions: &[Action]| broken_by(&config, mutant, actions).contains(property);
    assert!(breaks(&actions), "{id}: the run breaks {}", property.name());
    for place in 0..actions.len() {
        let mut fewer = actions.clone();
        // A repetition is not a step of the run over any network: it only keeps the message for a
        // later delivery.
        if !matches!(fewer.remove(place), Action::Duplicate(_)) {
            assert!(!breaks(&fewer), "{id}: step {} can be left out", place + 1);
        }
    }
}

#[test]
fn of_a_leader_that_commits_entries_of_other_terms() {
    a_run_of("CO-01", "election-3");
}

#[test]
fn of_a_stale_read() {
    a_run_of("RD-12", "reads-3-rounds");
}

/// The property looks at the names of servers, and the search stores states up to renaming.
#[test]
fn of_a_cluster_that_cannot_recover() {
    a_run_of("EL-17", "recover-3");
}

#[test]
fn of_an_assigned_match_index() {
    a_run_of("RE-07", "replication-3");
}
