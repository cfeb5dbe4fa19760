use raft_checker::config::Catalog;
use raft_checker::search::Control;
use raft_conformance::conform::{Progress, conform};
fn main() {
    let catalog = Catalog::read(&Catalog::folder().unwrap()).unwrap();
    for name in std::env::args().skip(1) {
        let config = catalog.find(&name).unwrap();
        let began = std::time::Instant::now();
        let c = conform(&config, 2, &Control::default(), &Progress::default());
        println!(
            "{name}: {} of {} states {} crash {} disks {} faults {} batches {} second {} complete {} {:?}",
            c.covered(),
            c.known(),
            c.states,
            c.crash_points,
            c.disks,
            c.faults,
            c.batches,
            c.second_ways,
            c.complete,
            began.elapsed()
        );
        if let Some(f) = c.divergence {
            println!(
                "{} {}\n{}",
                f.server,
                f.circumstance,
                f.divergence.to_string().chars().take(1500).collect::<String>()
            );
            for a in &f.trace.actions {
                println!("  {}", raft_checker::view::describe_action(a));
            }
        }
    }
}
