//! Pages that are made by the code. `UPDATE_PAGES=1 cargo test -p raft-kv --test config` writes them.

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
