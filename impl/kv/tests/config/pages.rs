//! Pages that are generated from the code. `UPDATE_PAGES=1 cargo test -p raft-kv --test config`
//! writes them.

use std::path::Path;

#[track_caller]
fn is_up_to_date(name: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    if std::env::var_os("UPDATE_PAGES").is_some() {
        std::fs::write(&path, page).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == page,
        "impl/{name} is out of date: UPDATE_PAGES=1 cargo test -p raft-kv --test config"
    );
}

#[test]
fn the_page_about_the_configuration_is_up_to_date() {
    is_up_to_date("CONFIGURATION.md", &raft_kv::config::page());
}

#[test]
fn the_page_about_metrics_is_up_to_date() {
    is_up_to_date("METRICS.md", &raft_kv::server::metrics::page());
}

#[test]
fn the_readme_names_only_metrics_that_there_are() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let words = readme.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let prefixes = ["raft_", "raftd_", "http_", "process_"];
    let named: Vec<&str> =
        words.filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix))).collect();
    assert!(named.len() > 5);
    for name in named {
        let part = ["_bucket", "_count", "_sum"].iter().find_map(|part| name.strip_suffix(part));
        let known = raft_kv::server::metrics::all()
            .any(|metric| metric.name == name || part == Some(metric.name));
        assert!(known, "there is no metric {name}");
    }
}
