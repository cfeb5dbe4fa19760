//! Clusters over a network without bounds: the search for them, compared with searches that reduce
//! nothing or bound the network.

mod bounded;
mod counts;
mod plain;
mod runs;

use std::path::Path;

use raft_checker::config::BoundedConfig;

/// A small cluster; `bounds` are lines of the table `[bounds]`, those of the network included.
fn small(servers: u64, disk: &str, apply: &str, bounds: &str) -> BoundedConfig {
    let text = format!(
        "tier = \"deep\"\nabout = \"A test.\"\nleaves-out = \"Much.\"\nnetwork = \"any\"\n\
         servers = {servers}\nbatch = 1\nwindow = 2\ndisk = \"{disk}\"\napply = \"{apply}\"\n\
         [bounds]\n{bounds}\n"
    );
    BoundedConfig::parse(Path::new("small.toml"), &text).expect("a configuration")
}
