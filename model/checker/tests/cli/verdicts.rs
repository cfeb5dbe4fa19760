//! The verdicts of a check, and its exit codes.

use crate::support::{SMALL, assert_exit, folder_with, json, raftcheck, stderr, stdout};

#[test]
fn a_configuration_that_holds_exits_0_and_is_quiet_on_stderr() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let output = raftcheck(&["check", "small.toml"], folder.path());
    assert_exit(&output, 0);
    assert!(stdout(&output).contains("HOLDS"));
    assert_eq!(stderr(&output), "", "progress is for terminals");
}

#[test]
fn a_time_limit_makes_it_incomplete() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let bounded =
        ["level", "bfs", "dfs"].map(|s| ["--network", "bounded", "--strategy", s].to_vec());
    for options in bounded.into_iter().chain([vec!["--network", "any"]]) {
        let limits = ["check", "replication-3", "--time-limit", "60ms", "--threads", "1"];
        let output = raftcheck(&[&limits, options.as_slice()].concat(), folder.path());
        assert_exit(&output, 6);
        assert!(stdout(&output).contains("INCOMPLETE"), "{}", stdout(&output));
    }
}

#[test]
fn a_memory_limit_makes_it_incomplete() {
    let (folder, _) = folder_with("small.toml", SMALL);
    for network in ["any", "bounded"] {
        let limit = ["check", "replication-3", "--memory-limit", "20MB", "--network", network];
        let output = raftcheck(&limit, folder.path());
        assert_exit(&output, 6);
        assert!(stdout(&output).contains("memory limit"), "{}", stdout(&output));
    }
}

#[test]
fn any_network_holds_with_fewer_states_and_has_no_strategies() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let output = raftcheck(&["check", "small.toml", "--network", "any"], folder.path());
    assert_exit(&output, 0);
    assert!(stdout(&output).contains("1 of 1 with any network"), "{}", stdout(&output));
    let arguments = ["check", "small.toml", "--network", "any", "--strategy", "dfs"];
    assert_exit(&raftcheck(&arguments, folder.path()), 2);
}

#[test]
fn a_simulation_never_holds() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let arguments = ["check", "small.toml", "--strategy", "simulation", "--time-limit", "100ms"];
    assert_exit(&raftcheck(&arguments, folder.path()), 6);
}

#[test]
fn counts_do_not_depend_on_threads_strategy_or_symmetry() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let counts = |arguments: &[&str], name: &str| {
        let json = format!("{name}.json");
        let all = [&["check", "small.toml", "--json", &json], arguments].concat();
        assert_exit(&raftcheck(&all, folder.path()), 0);
        let text = std::fs::read_to_string(folder.path().join(json)).expect("it was written");
        let report: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        let config = &report["configs"][0];
        let field = |name: &str| config[name].as_u64().expect("a count");
        (field("distinct_states"), field("orbit_states"), field("transitions"))
    };
    let symmetric = counts(&["--threads", "1"], "one");
    assert_eq!(counts(&["--threads", "2"], "two"), symmetric);
    assert_eq!(counts(&["--strategy", "bfs"], "bfs"), symmetric);
    assert_eq!(counts(&["--strategy", "dfs", "--threads", "2"], "dfs"), symmetric);
    let unfolded = counts(&["--no-symmetry"], "unfolded");
    assert_eq!(counts(&["--no-symmetry", "--strategy", "dfs"], "unfolded-dfs"), unfolded);
    assert_eq!(symmetric.1, unfolded.0, "orbits add up");
    assert_eq!(unfolded.1, unfolded.0);
}

/// Returns the last paragraph of a text, in one line.
fn last_paragraph(text: &str) -> String {
    let start = text.rfind("HOLDS:").expect("it holds");
    text[start..].split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn what_was_not_tested_is_named_and_never_claimed() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let output = raftcheck(&["check", "small.toml", "--json", "r.json"], folder.path());
    assert_exit(&output, 0);
    let last = last_paragraph(&stdout(&output));
    assert!(last.starts_with("HOLDS: 3 of 20 properties were tested"), "{last}");
    let (_, not_tested) =
        last.split_once("not tested here (their witness did not occur): ").expect("named");
    assert!(not_tested.contains("reads") && not_tested.contains("can-recover"), "{last}");
    assert!(!not_tested.contains("vote-once"), "{last}");
    assert!(!stdout(&output).contains("every property"), "{}", stdout(&output));

    let report = json(&folder.path().join("r.json"));
    let names = |of: &serde_json::Value, field: &str| -> Vec<String> {
        let names = of[field].as_array().unwrap_or_else(|| panic!("{field} is missing"));
        names.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
    };
    for of in [&report, &report["configs"][0]] {
        let (tested, not) = (names(of, "properties_tested"), names(of, "properties_not_tested"));
        assert_eq!((tested.len(), not.len()), (3, 17), "{of}");
        assert!(tested.contains(&"vote-once".to_owned()) && not.contains(&"reads".to_owned()));
        assert_eq!(of["properties_missed"], serde_json::json!([]));
    }
    assert_eq!(names(&report, "witnesses_missing").len(), 17);
    assert_eq!(report["configs"][0]["properties_required"], serde_json::Value::Null);
}

#[test]
fn a_configuration_that_misses_what_it_is_for_exits_5_alone_and_in_a_tier() {
    let with =
        |properties: &str| SMALL.replace("servers = 3", &format!("{properties}\nservers = 3"));
    let (folder, _) =
        folder_with("a-missing.toml", &with("properties = [\"vote-once\", \"reads\"]"));
    std::fs::write(folder.path().join("fine.toml"), with("properties = [\"vote-once\"]"))
        .expect("ours");
    assert_exit(&raftcheck(&["check", "fine.toml"], folder.path()), 0);
    for (name, arguments) in [
        ("alone", &["check", "a-missing.toml", "--json", "alone.json"][..]),
        ("tier", &["check", "--configs", ".", "--tier", "smoke", "--json", "tier.json"]),
    ] {
        let output = raftcheck(arguments, folder.path());
        assert_exit(&output, 5);
        let text = stdout(&output);
        assert!(text.contains("VACUOUS: a-missing is for reads"), "{text}");
        assert!(!text.contains("HOLDS:"), "{text}");
        let report = json(&folder.path().join(format!("{name}.json")));
        assert_eq!((&report["verdict"], &report["exit_code"]), (&"VACUOUS".into(), &5.into()));
        assert_eq!(report["properties_missed"], serde_json::json!(["reads"]));
        assert_eq!(report["configs"][0]["properties_missed"], serde_json::json!(["reads"]));
        assert_eq!(report["configs"][0]["verdict"], "VACUOUS");
    }
}

#[test]
fn a_configuration_of_the_repository_tests_what_it_says() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let output = raftcheck(&["check", "recover-2-snapshot"], folder.path());
    assert_exit(&output, 0);
    assert!(last_paragraph(&stdout(&output)).starts_with("HOLDS: 12 of 20"), "{}", stdout(&output));
}
