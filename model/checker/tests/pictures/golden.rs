//! One small run, and a large one in two widths, compared with stored files word for word.

use std::path::Path;

use raft_checker::diagram::{Theme, mermaid, svg};
use raft_checker::run_table::table;

use super::runs;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pictures/golden");

#[test]
fn a_small_run_is_drawn_as_before() {
    assert_golden("small.svg", &svg(&runs::small(), "A small run", Theme::Auto));
}

#[test]
fn a_small_run_in_mermaid_is_as_before() {
    assert_golden("small.mmd", &mermaid(&runs::small()));
}

#[test]
fn a_small_run_as_a_table_is_as_before() {
    assert_golden("small.txt", &table(&runs::small(), 100));
}

#[test]
fn figure_8_on_five_servers_is_as_before_at_100_and_160_columns() {
    let figure_8 = runs::figure_8();
    assert_golden("figure-8-100.txt", &table(&figure_8, 100));
    assert_golden("figure-8-160.txt", &table(&figure_8, 160));
}

fn assert_golden(name: &str, found: &str) {
    let path = Path::new(GOLDEN).join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, found).expect("the folder is ours");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == found, "{name} is different; look at it, then BLESS=1. Now it is:\n{found}");
}
