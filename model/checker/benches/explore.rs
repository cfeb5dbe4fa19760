//! How fast a replication configuration is explored: transitions per second, by strategy.

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use raft_checker::bounded_cluster::bounded_model;
use raft_checker::bounded_network::Counts;
use raft_checker::bounded_network::level::{self, Goal};
use raft_checker::bounded_network::stateright::{self, Strategy};
use raft_checker::config::{BoundedConfig, Catalog};
use raft_checker::control::Control;
use raft_core::Paper;

fn by_level(config: &BoundedConfig, symmetry: bool) -> Counts {
    let model = bounded_model(config, symmetry, Paper);
    level::search(&model, Goal::Violation, 2, &Control::default()).counts
}

fn depth_first(config: &BoundedConfig, symmetry: bool) -> Counts {
    let model = Arc::new(bounded_model(config, symmetry, Paper));
    stateright::search(&model, Strategy::Dfs, 2, &Control::default()).counts
}

fn benches(criterion: &mut Criterion) {
    let catalog = Catalog::embedded().expect("the configurations are sound");
    let config = catalog.find("snapshot-3").expect("it is in the smoke tier");
    let mut group = criterion.benchmark_group("snapshot-3, 2 threads");
    group.sample_size(10);
    for (name, explore) in [
        ("level order", by_level as fn(&BoundedConfig, bool) -> Counts),
        ("stateright's depth first", depth_first),
    ] {
        let transitions = explore(&config, true).transitions;
        group.throughput(Throughput::Elements(transitions));
        group.bench_function(name, |bencher| bencher.iter(|| explore(&config, true)));
    }
    group.finish();
}

criterion_group!(explore_benches, benches);
criterion_main!(explore_benches);
