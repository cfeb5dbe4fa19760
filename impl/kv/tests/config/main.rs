//! The configuration: every key is described as it is, mistakes are explained, and the pages that are
//! made of the descriptions are up to date.

mod keys;
mod mistakes;
mod pages;

use std::path::PathBuf;

use raft_kv::config::{Config, ConfigError};
use tempfile::TempDir;

/// A configuration with only what is required.
const SMALLEST: &str = r#"cluster = "test"
id = 1
data = "data"

[[members]]
id = 1
peer = "127.0.0.1:7201"
client = "127.0.0.1:7101"
"#;

/// A directory with a configuration file in it.
fn file(text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.toml");
    std::fs::write(&path, text).unwrap();
    (directory, path)
}

fn read(text: &str) -> Result<Config, ConfigError> {
    Config::read(&file(text).1)
}
