//! tmp
use raft_checker::{config::*, packed::*, search::*};
use std::sync::Arc;
#[global_allocator]
static ALLOC: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let catalog = Catalog::read(&Catalog::folder().unwrap()).unwrap();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let names: Vec<&String> = args.iter().filter(|a| !a.starts_with('-')).collect();
    let sym = !args.iter().any(|a| a == "-n");
    let threads = if args.iter().any(|a| a == "-1") { 1 } else { 2 };
    for name in names {
        let t = std::time::Instant::now();
        let config = catalog.find(name).unwrap();
        let model = Arc::new(ClusterModel::new(config.clone(), sym));
        let control = Control::unlimited();
        if args.iter().any(|a| a == "-d") {
            let out = stateright::search(&model, stateright::Strategy::Dfs, threads, &control);
            let s = t.elapsed().as_secs_f64();
            println!(
                "{name} dfs {out:?} local {} {:?} {s:.2}s {:.2} Mt/s",
                model.local_transitions(),
                model.interned(),
                out.counts.transitions as f64 / s / 1e6
            );
            continue;
        }
        let out = level::search(&model, level::Goal::Violation, threads, &control);
        let s = t.elapsed().as_secs_f64();
        println!(
            "{name} {:?} orbit {} local {} {:?} blocked {} {s:.2}s {:.2} Mt/s",
            out,
            out.counts.orbit,
            model.local_transitions(),
            model.interned(),
            model.blocked(),
            out.counts.transitions as f64 / s / 1e6
        );
        let missing: Vec<_> = raft_checker::properties::Witness::ALL
            .iter()
            .filter(|w| !model.witnessed().contains(**w))
            .map(|w| w.name())
            .collect();
        println!(
            "   noted {:?} missing {missing:?}",
            model.noted().iter().collect::<Vec<_>>()
        );
        if let Some(d) = out.found_at {
            let model = ClusterModel::new(config, sym);
            let p = path::shortest(&model, level::Goal::Violation, d).unwrap();
            for a in &p.actions {
                println!("   {}", serde_json::to_string(a).unwrap());
            }
            println!("   {:?}", p.broken.iter().collect::<Vec<_>>());
        }
    }
}
