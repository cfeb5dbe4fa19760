//! Every tuple of servers and history that is reached over the bounded network is reached over any
//! network.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use raft_checker::bounded_cluster::BoundedCluster;
use raft_checker::cluster::history::History;
use raft_checker::cluster::server::Server;
use raft_checker::config::{BoundedConfig, Network};
use raft_checker::plain::{PlainModel, PlainState};
use raft_core::Paper;
use raft_explore::any_network::{Options, explore};
use raft_explore::control::Control;
use stateright::Model;

use super::small;

/// Returns the servers and the history of every state that is reached over the bounded network.
fn bounded(config: &BoundedConfig) -> HashSet<(Vec<Server>, History)> {
    let model = PlainModel::new(config.clone());
    let hasher = RandomState::new();
    let mut seen = HashSet::new();
    let mut tuples = HashSet::new();
    let mut stack: Vec<PlainState> = model.init_states();
    while let Some(state) = stack.pop() {
        if !seen.insert(hasher.hash_one(&state)) {
            continue;
        }
        tuples.insert((state.cluster.servers.clone(), state.cluster.history.clone()));
        let mut actions = Vec::new();
        model.actions(&state, &mut actions);
        stack.extend(actions.into_iter().filter_map(|action| model.next_state(&state, action)));
    }
    tuples
}

fn contains(config: &BoundedConfig) {
    let bounded = bounded(config);
    let options = Options { threads: 2, symmetry: false, ..Options::default() };
    let mut any = HashSet::new();
    let system = Arc::new(BoundedCluster::new(config.clone(), Network::Any, Paper));
    explore(&system, options, &Control::default()).for_each_tuple(|servers, _, history| {
        let servers: Vec<Server> = servers.into_iter().map(|known| known.server.clone()).collect();
        any.insert((servers, history.clone()));
    });
    let missing = bounded.difference(&any).count();
    assert_eq!(missing, 0, "of {}", bounded.len());
}

#[test]
fn two_servers_in_two_terms_that_crash() {
    contains(&small(
        2,
        "atomic",
        "at-once",
        "max_term = 2\nproposals = 1\ncrashes = 1\nheartbeats = 1\nduplicates = 1\nin_flight = 3",
    ));
}

#[test]
fn two_servers_that_take_a_snapshot_and_read() {
    contains(&small(
        2,
        "atomic",
        "separate",
        "max_term = 2\nproposals = 0\nreads = 1\nsnapshots = 1\nheartbeats = 1\nin_flight = 2",
    ));
}

#[test]
fn three_servers_in_one_term_that_crash() {
    contains(&small(
        3,
        "atomic",
        "at-once",
        "max_term = 1\nproposals = 0\ncrashes = 1\nheartbeats = 1\nin_flight = 3",
    ));
}
