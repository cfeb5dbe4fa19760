//! Baselines: what is accepted stays as it is, and what changes is shown.

use std::path::Path;

use crate::support::{SMALL, assert_exit, folder_with, json, raftcheck, stderr, stdout};

fn with_terms(terms: usize) -> String {
    SMALL.replace("max_term = 1", &format!("max_term = {terms}"))
}

fn bless(folder: &Path) {
    let output = raftcheck(&["bless", "small.toml", "--baseline", "baseline.toml"], folder);
    assert_exit(&output, 0);
}

#[test]
fn what_was_accepted_is_found_again() {
    let (folder, _) = folder_with("small.toml", SMALL);
    bless(folder.path());
    let output = raftcheck(&["check", "small.toml", "--baseline", "baseline.toml"], folder.path());
    assert_exit(&output, 0);
    assert!(stdout(&output).contains("As in baseline.toml"), "{}", stdout(&output));
}

#[test]
fn every_number_of_threads_gives_the_same_baseline() {
    let (folder, _) = folder_with("small.toml", &with_terms(2));
    let with = |threads: &str| {
        let name = format!("{threads}.toml");
        let arguments = ["bless", "small.toml", "--threads", threads, "--baseline", &name];
        assert_exit(&raftcheck(&arguments, folder.path()), 0);
        std::fs::read_to_string(folder.path().join(name)).expect("it was written")
    };
    assert_eq!(with("1"), with("2"));
}

#[test]
fn a_change_of_behaviour_ends_with_4_and_shows_a_step() {
    let (folder, path) = folder_with("small.toml", &with_terms(1));
    bless(folder.path());
    std::fs::write(path, with_terms(2)).expect("it can be written");
    let arguments = ["check", "small.toml", "--baseline", "baseline.toml", "--json", "report.json"];
    let output = raftcheck(&arguments, folder.path());
    assert_exit(&output, 4);
    let text = stdout(&output);
    for part in ["CHANGED: 1 of 1", "local transitions", "input", "raftcheck bless"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let report = json(&folder.path().join("report.json"));
    assert_eq!(report["exit_code"], 4);
    let changes = &report["baseline_changes"][0];
    assert_eq!(changes["counts"][1]["name"], "local-transitions");
    assert!(changes["example"]["now"]["input"].is_string(), "{changes}");
    bless(folder.path());
    let again = raftcheck(&arguments[..4], folder.path());
    assert_exit(&again, 0);
}

#[test]
fn a_configuration_that_is_not_in_the_baseline_ends_with_4() {
    let (folder, path) = folder_with("small.toml", SMALL);
    bless(folder.path());
    std::fs::rename(path, folder.path().join("other.toml")).expect("it can be renamed");
    let output = raftcheck(&["check", "other.toml", "--baseline", "baseline.toml"], folder.path());
    assert_exit(&output, 4);
    assert!(stdout(&output).contains("is not in the baseline"), "{}", stdout(&output));
}

#[test]
fn an_incomplete_exploration_is_not_accepted() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let arguments = ["bless", "replication-3", "--time-limit", "60ms", "--baseline", "new.toml"];
    assert_exit(&raftcheck(&arguments, folder.path()), 6);
    assert!(!folder.path().join("new.toml").exists(), "nothing was accepted");
}

#[test]
fn a_file_that_is_no_baseline_is_refused() {
    let (folder, _) = folder_with("small.toml", SMALL);
    bless(folder.path());
    let path = folder.path().join("baseline.toml");
    let good = std::fs::read_to_string(&path).expect("it was written");
    let other_schema = good.replace("schema = 1", "schema = 2");
    let unknown_key = good.replace("states-hash = ", "state-hash = ");
    let no_hash = good.replace("hash = \"", "hash = \"x");
    for (bad, message) in [
        (other_schema.as_str(), "schema 2"),
        (&unknown_key, "state-hash"),
        (&no_hash, "hexadecimal"),
        ("", "schema"),
    ] {
        std::fs::write(&path, bad).expect("it can be written");
        for command in ["check", "bless"] {
            let arguments = [command, "small.toml", "--baseline", "baseline.toml"];
            let output = raftcheck(&arguments, folder.path());
            assert_exit(&output, 2);
            assert!(stderr(&output).contains(message), "{}", stderr(&output));
            assert_eq!(std::fs::read_to_string(&path).expect("it stays"), bad);
        }
    }
    let output = raftcheck(&["check", "small.toml", "--baseline", "none.toml"], folder.path());
    assert_exit(&output, 2);
}

#[test]
fn every_local_transition_is_listed() {
    let (folder, _) = folder_with("small.toml", &with_terms(1));
    let arguments = ["check", "small.toml", "--transitions", "steps.txt", "--json", "report.json"];
    assert_exit(&raftcheck(&arguments, folder.path()), 0);
    let listed = std::fs::read_to_string(folder.path().join("steps.txt")).expect("it is there");
    let report = json(&folder.path().join("report.json"));
    let steps = listed.lines().count() as u64;
    // Servers that differ only in what the notation leaves out have the same line.
    let all = report["configs"][0]["local_transitions"].as_u64().expect("a number");
    assert!(steps > all / 2 && steps <= all, "{steps} of {all}");
    assert!(listed.contains("election timeout | C1 [] c0 votes n1"), "{listed}");
}

#[test]
fn a_part_of_an_exploration_is_not_compared() {
    let (folder, _) = folder_with("small.toml", SMALL);
    bless(folder.path());
    for option in [&["--no-symmetry"][..], &["--network", "any", "--checkpoint", "checkpoints"]] {
        let arguments = [&["check", "small.toml", "--baseline", "baseline.toml"], option].concat();
        assert_exit(&raftcheck(&arguments, folder.path()), 2);
    }
}
