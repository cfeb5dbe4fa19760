//! The reductions change nothing: the same servers, budgets and histories are reached, and the same
//! properties and witnesses seen, as by a plain search over explicit message sets.

use std::collections::HashSet;

use raft_checker::any_network::{AnyNetwork, ViewedServer};
use raft_checker::config::BoundedConfig;
use raft_core::Paper;
use raft_explore::control::Control;
use raft_explore::{Options, explicit, search};

use crate::small;

fn compare(config: &BoundedConfig) {
    let system = || AnyNetwork::new(config.clone(), Paper);
    let plain = explicit::search(system());
    println!("{} states, {} tuples", plain.states, plain.tuples.len());
    let servers: HashSet<Vec<ViewedServer>> =
        plain.tuples.iter().map(|(servers, ..)| servers.clone()).collect();
    for prune in [false, true] {
        let options = Options { threads: 2, symmetry: false, prune };
        let reduced = search(&system(), options, &Control::default());
        assert!(reduced.complete);
        assert_eq!(reduced.kept.tuples, plain.tuples.len() as u64);
        let reached: HashSet<Vec<ViewedServer>> = reduced.tuples.into_iter().collect();
        assert!(reached == servers);
        assert_eq!(reduced.findings, plain.findings);
        let folded = search(&system(), Options { symmetry: true, ..options }, &Control::default());
        assert_eq!(folded.kept.unfolded_tuples, plain.tuples.len() as u64);
        assert_eq!(folded.findings, plain.findings);
    }
}

#[test]
fn two_servers_in_one_term() {
    compare(&small(2, "atomic", "at-once", "max_term = 1\nproposals = 1"));
}

#[test]
fn two_servers_in_one_term_that_crash() {
    compare(&small(2, "atomic", "at-once", "max_term = 1\nproposals = 0\ncrashes = 1"));
}

#[test]
fn two_servers_with_a_queued_disk() {
    compare(&small(2, "queued", "at-once", "max_term = 1\nproposals = 0"));
}

#[test]
fn two_servers_in_two_terms() {
    compare(&small(2, "atomic", "at-once", "max_term = 2\nproposals = 0"));
}

#[test]
fn two_servers_in_one_term_that_read() {
    compare(&small(2, "atomic", "at-once", "max_term = 1\nproposals = 0\nreads = 1"));
}

#[test]
fn two_servers_in_one_term_that_take_a_snapshot() {
    compare(&small(2, "atomic", "separate", "max_term = 1\nproposals = 0\nsnapshots = 1"));
}

#[test]
fn three_servers_in_one_term() {
    compare(&small(3, "atomic", "at-once", "max_term = 1\nproposals = 0"));
}

#[test]
fn two_servers_in_two_terms_that_crash() {
    compare(&small(2, "atomic", "at-once", "max_term = 2\nproposals = 0\ncrashes = 1"));
}

#[test]
fn two_servers_with_a_queued_disk_in_two_terms() {
    compare(&small(2, "queued", "at-once", "max_term = 2\nproposals = 0"));
}

#[test]
fn two_servers_with_a_queued_disk_that_crash() {
    compare(&small(2, "queued", "at-once", "max_term = 1\nproposals = 0\ncrashes = 1"));
}

#[test]
fn two_servers_snap() {
    compare(&small(2, "atomic", "at-once", "max_term = 1\nproposals = 1\nsnapshots = 1"));
}
#[test]
fn three_servers_crash() {
    compare(&small(3, "atomic", "at-once", "max_term = 1\nproposals = 0\ncrashes = 1"));
}
