//! Tests of the search for clusters over a network without bounds. It is compared with a search
//! without reductions and with a search over a bounded network.

mod bounded;
mod counts;
mod plain;
mod pruning;
mod runs;

use std::path::Path;

use raft_checker::config::BoundedConfig;

/// Returns the configuration of a small cluster. `bounds` are the lines of the table `[bounds]`,
/// including the bounds on the network.
fn small(servers: u64, disk: &str, apply: &str, bounds: &str) -> BoundedConfig {
    let text = format!(
        "tier = \"deep\"\nabout = \"A test.\"\nleaves-out = \"Much.\"\nnetwork = \"any\"\n\
         servers = {servers}\nbatch = 1\nwindow = 2\ndisk = \"{disk}\"\napply = \"{apply}\"\n\
         [bounds]\n{bounds}\n"
    );
    BoundedConfig::parse(Path::new("small.toml"), &text).expect("a configuration")
}
