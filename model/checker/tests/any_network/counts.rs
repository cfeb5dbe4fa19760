//! The kept states are the same for any number of threads, and their counts are pinned.

use std::sync::Arc;

use raft_checker::bounded_cluster::BoundedCluster;
use raft_checker::config::{BoundedConfig, Catalog, Network, Tier};
use raft_core::Paper;
use raft_explore::any_network::{Kept, Options, Order, search};
use raft_explore::control::Control;

/// Configurations of the smoke tier, each with three counts: tuples up to renaming, kept states up
/// to renaming, and kept states without folding renamings.
const PINNED: [(&str, [u64; 3]); 10] = [
    ("election-2", [1_449, 1_605, 3_193]),
    ("election-3", [18_007, 47_412, 283_968]),
    ("election-4", [32_033, 127_946, 3_030_811]),
    ("figure-8-end-3", [10_617, 24_797, 148_683]),
    ("persistence-2", [92_034, 107_313, 214_608]),
    ("reads-3-rounds", [23_262, 110_561, 663_018]),
    ("recover-2-snapshot", [578, 656, 1_309]),
    ("replication-3", [32_545, 110_840, 664_602]),
    ("snapshot-2", [3_437, 4_293, 8_583]),
    ("snapshot-late-3", [95_970, 150_784, 904_643]),
];

/// Configurations with too many states for a test. `raftcheck` explores them.
const LARGE: [&str; 2] = ["snapshot-3", "snapshot-crash-3"];

/// Returns the kept states, in numbers, and the number of local transitions.
fn explored(config: &BoundedConfig, threads: usize, order: Order) -> (Kept, u64) {
    let system = Arc::new(BoundedCluster::new(config.clone(), Network::Any, Paper));
    let options = Options { threads, order, ..Options::default() };
    let outcome = search(&system, options, &Control::default());
    assert!(outcome.complete && outcome.findings.broken == 0);
    (outcome.kept, outcome.local_transitions)
}

#[test]
fn the_smoke_tier_keeps_as_many_states_as_ever() {
    let catalog = Catalog::embedded().expect("they are sound");
    let of_tier = catalog.tier(Tier::Smoke);
    let any = of_tier.iter().filter(|config| config.network == Network::Any);
    let names: Vec<&str> = any.map(|config| config.name.as_str()).collect();
    let pinned = PINNED.iter().map(|(name, _)| *name).chain(LARGE);
    let mut expected: Vec<&str> = pinned.collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
    for (name, counts) in PINNED {
        let (kept, _) = explored(&catalog.find(name).expect("it is there"), 2, Order::Progress);
        assert_eq!([kept.tuples, kept.states, kept.unfolded], counts, "{name}");
    }
}

#[test]
fn neither_the_number_of_threads_nor_the_order_changes_anything() {
    let catalog = Catalog::embedded().expect("they are sound");
    for name in ["election-3", "persistence-2", "snapshot-2"] {
        let config = catalog.find(name).expect("it is there");
        let one = explored(&config, 1, Order::Progress);
        for (threads, order) in [(2, Order::Progress), (4, Order::Progress), (2, Order::Breadth)] {
            assert_eq!(explored(&config, threads, order), one, "{name}, {threads}, {order:?}");
        }
    }
}
