#![allow(missing_docs)]
use raft_checker::any_network::{AnyNetwork, broken_properties, reached_witnesses};
use raft_checker::config::Catalog;
use raft_core::Paper;
use raft_explore::{Options, control::Control, search};
use std::time::Instant;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let threads = args[1].parse().unwrap();
    let prune = args[2] == "prune";
    for name in &args[3..] {
        let config = Catalog::embedded().unwrap().find(name).unwrap();
        let system = AnyNetwork::new(config, Paper);
        let started = Instant::now();
        let o = search(&system, Options { threads, symmetry: true, prune }, &Control::default());
        let s = started.elapsed().as_secs_f64();
        println!(
            "{name}: {:?} expanded {} steps {} ({:.2} M/s) local {} inboxes {} {s:.2} s, {} MB complete {} broken {:?} witnessed {}",
            o.kept,
            o.expanded,
            o.steps,
            o.steps as f64 / s / 1e6,
            o.local_transitions,
            o.inboxes,
            memory_stats::memory_stats().unwrap().physical_mem / 1_000_000,
            o.complete,
            broken_properties(o.findings.broken).iter().collect::<Vec<_>>(),
            reached_witnesses(o.findings.witnessed).iter().count()
        );
    }
}
