//! Measures how fast node logs are validated. The logs come from a simulated cluster. They have at
//! least as many lines as the first argument says (a million by default).
//!
//! `cargo run --release -p raft-logs --example validate_speed`

#[path = "../tests/validate/cluster.rs"]
#[expect(dead_code, reason = "the tests do more with it")]
mod cluster;
#[path = "../tests/validate/logs.rs"]
#[expect(dead_code, reason = "the tests do more with it")]
mod logs;

use std::time::Instant;

use raft_logs::validate::{Options, validate};

/// The number of bytes of a command.
const VALUE: usize = 64;

fn main() {
    let wanted = std::env::args().nth(1).and_then(|number| number.parse().ok());
    let wanted: usize = wanted.unwrap_or(1_000_000);
    let mut cluster = cluster::Cluster::boot(1, VALUE);
    while cluster.logs.files.iter().map(Vec::len).sum::<usize>() < wanted {
        cluster.run(10_000);
    }
    let (_directory, paths) = cluster.logs.write();
    let bytes: usize = cluster.logs.files.iter().flatten().map(String::len).sum();
    drop(cluster);
    let began = Instant::now();
    let report = validate(&paths, Options::default(), &mut |_| {}).expect("it can be read");
    let seconds = began.elapsed().as_secs_f64();
    assert!(report.is_explained(), "{}", report.explain());
    println!("{} steps, {} MB in {seconds:.1} s", report.steps(), bytes / 1_000_000);
}
