//! Clusters over a network without bounds: the search for them, held to searches that do less.

mod bounded;
mod plain;
mod threads;

use std::path::Path;

use raft_checker::config::BoundedConfig;

/// A small cluster; `bounds` are lines of the table `[bounds]`.
fn small(servers: u64, disk: &str, apply: &str, bounds: &str) -> BoundedConfig {
    let text = format!(
        "tier = \"deep\"\nabout = \"A test.\"\nleaves-out = \"Much.\"\nservers = {servers}\nbatch = 1\n\
         window = 2\ndisk = \"{disk}\"\napply = \"{apply}\"\nnetwork = \"any\"\n[bounds]\n\
         heartbeats = 0\nin_flight = 4\n{bounds}\n"
    );
    BoundedConfig::parse(Path::new("small.toml"), &text).expect("a configuration")
}
