//! The configuration: the descriptions of all keys are correct, mistakes are explained, and the
//! pages that are generated from the descriptions are up to date.

mod keys;
mod mistakes;
mod pages;

use std::path::PathBuf;

use raft_kv::config::{Config, ConfigError};
use tempfile::TempDir;

/// A configuration with only the required keys.
const SMALLEST: &str = r#"cluster = "test"
id = 1
data = "data"

[[members]]
id = 1
peer = "127.0.0.1:7201"
client = "127.0.0.1:7101"
"#;

/// Creates a directory with a configuration file. Returns the directory and the path of the file.
fn file(text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.toml");
    std::fs::write(&path, text).unwrap();
    (directory, path)
}

fn read(text: &str) -> Result<Config, ConfigError> {
    Config::read(&file(text).1)
}
