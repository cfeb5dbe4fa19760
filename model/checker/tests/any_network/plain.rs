//! The reductions change no result. They reach the same servers, budgets and histories as a plain
//! search over explicit message sets, and find the same broken properties and witnesses.

use std::collections::HashSet;
use std::sync::Arc;

use raft_checker::bounded_cluster::{BoundedCluster, ViewedServer};
use raft_checker::cluster::history::History;
use raft_checker::config::Network;
use raft_core::Paper;
use raft_explore::any_network::{Options, explore, search};
use raft_explore::control::Control;
use raft_explore::explicit;

use super::small;

fn compare(servers: u64, disk: &str, apply: &str, bounds: &str) {
    // The bounds on the network do not matter here.
    let bounds = format!("{bounds}\nheartbeats = 0\nin_flight = 4");
    let config = small(servers, disk, apply, &bounds);
    let system = || BoundedCluster::new(config.clone(), Network::Any, Paper);
    let plain = explicit::search(system());
    let all: HashSet<_> = plain.tuples.iter().cloned().collect();
    for prune in [false, true] {
        let options = Options { threads: 2, symmetry: false, prune, ..Options::default() };
        let mut reached = HashSet::new();
        let explored = explore(&Arc::new(system()), options, &Control::default());
        explored.for_each_tuple(|servers: Vec<&ViewedServer>, used, history: &History| {
            reached.insert((servers.into_iter().cloned().collect(), used, history.clone()));
        });
        let reduced = explored.outcome;
        assert!(reduced.complete);
        assert!(reached == all, "{} and {}", reached.len(), all.len());
        assert_eq!(reduced.findings, plain.findings);
        let folded =
            search(&Arc::new(system()), Options { symmetry: true, ..options }, &Control::default());
        assert_eq!(folded.kept.unfolded_tuples, all.len() as u64);
        assert_eq!(folded.findings, plain.findings);
    }
}

#[test]
fn two_servers_in_one_term() {
    compare(2, "atomic", "at-once", "max_term = 1\nproposals = 1");
}

#[test]
fn two_servers_in_one_term_that_crash() {
    compare(2, "atomic", "at-once", "max_term = 1\nproposals = 0\ncrashes = 1");
}

#[test]
fn two_servers_in_one_term_that_read() {
    compare(2, "atomic", "at-once", "max_term = 1\nproposals = 0\nreads = 1");
}

#[test]
fn two_servers_in_one_term_that_take_a_snapshot() {
    compare(2, "atomic", "separate", "max_term = 1\nproposals = 0\nsnapshots = 1");
}

#[test]
fn two_servers_in_one_term_that_propose_and_take_a_snapshot() {
    compare(2, "atomic", "at-once", "max_term = 1\nproposals = 1\nsnapshots = 1");
}

#[test]
fn two_servers_in_two_terms() {
    compare(2, "atomic", "at-once", "max_term = 2\nproposals = 0");
}

#[test]
fn two_servers_with_a_queued_disk_that_crash() {
    compare(2, "queued", "at-once", "max_term = 1\nproposals = 0\ncrashes = 1");
}

#[test]
fn two_servers_with_a_queued_disk_in_two_terms() {
    compare(2, "queued", "at-once", "max_term = 2\nproposals = 0");
}

#[test]
fn three_servers_in_one_term() {
    compare(3, "atomic", "at-once", "max_term = 1\nproposals = 0");
}
