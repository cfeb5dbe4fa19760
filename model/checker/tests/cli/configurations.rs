//! Configurations by name and by file, and those that cannot be used.

use crate::support::{SMALL, assert_exit, folder_with, parse, raftcheck, stderr, stdout};

#[test]
fn an_unknown_configuration_names_the_nearest_ones() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let output = raftcheck(&["check", "electoin-3"], folder.path());
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("election-3"), "{}", stderr(&output));
}

#[test]
fn malformed_toml_is_reported_with_line_and_column() {
    let (folder, _) = folder_with("bad.toml", &SMALL.replace("servers = 3", "servers = three"));
    let output = raftcheck(&["check", "bad.toml"], folder.path());
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("bad.toml:5:11"), "{}", stderr(&output));
}

#[test]
fn an_unknown_key_is_reported_with_line_and_column() {
    let (folder, _) = folder_with("bad.toml", &SMALL.replace("heartbeats = 0", "heartbeat = 0"));
    let output = raftcheck(&["check", "bad.toml"], folder.path());
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("bad.toml:14:1"), "{}", stderr(&output));
}

#[test]
fn impossible_bounds_are_refused() {
    for (right, wrong) in [
        ("servers = 3", "servers = 9"),
        ("servers = 3", "servers = 0"),
        ("batch = 1", "batch = 0"),
        ("in_flight = 2", "in_flight = 1"),
        ("in_flight = 2", "in_flight = 1000"),
        ("max_term = 1", "max_term = 0"),
    ] {
        let (folder, _) = folder_with("bad.toml", &SMALL.replace(right, wrong));
        let output = raftcheck(&["check", "bad.toml"], folder.path());
        assert_exit(&output, 2);
        assert_eq!(stdout(&output), "", "{wrong}: nothing was explored");
    }
}

#[test]
fn a_property_that_nobody_knows_is_reported_with_line_and_column() {
    let wrong = SMALL.replace("servers = 3", "properties = [\"raeds\"]\nservers = 3");
    let (folder, _) = folder_with("bad.toml", &wrong);
    let output = raftcheck(&["check", "bad.toml"], folder.path());
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("bad.toml:5:15"), "{}", stderr(&output));
    let wrong = SMALL.replace("servers = 3", "properties = [\"can-recover\"]\nservers = 3");
    std::fs::write(folder.path().join("bad.toml"), wrong).expect("ours");
    let output = raftcheck(&["check", "bad.toml"], folder.path());
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("recover = true"), "{}", stderr(&output));
}

#[test]
fn a_name_that_is_like_no_other_is_not_taken_for_one() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let output = raftcheck(&["check", "xyzzy"], folder.path());
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("no name is like it"), "{}", stderr(&output));
}

#[test]
fn each_configuration_is_checked_once() {
    let (folder, _) = folder_with("small.toml", SMALL);
    for arguments in [
        &["check", "small.toml", "small.toml"][..],
        &["check", "--configs", ".", "--tier", "smoke", "small"],
    ] {
        let output = raftcheck(&[arguments, &["--json", "-"]].concat(), folder.path());
        assert_exit(&output, 0);
        let report = parse(&stdout(&output));
        assert_eq!(report["configs"].as_array().map(Vec::len), Some(1), "{arguments:?}");
    }
}

#[test]
fn a_folder_takes_the_place_of_the_configurations_that_the_program_carries() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let own = stdout(&raftcheck(&["list"], folder.path()));
    assert!(own.contains("election-3  (smoke)") && !own.contains("small"), "{own}");
    let named = stdout(&raftcheck(&["list", "--configs", "."], folder.path()));
    assert!(named.contains("small  (smoke)") && !named.contains("election-3"), "{named}");
}
