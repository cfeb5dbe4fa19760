//! Ctrl-C and SIGTERM.

use std::time::Duration;

use crate::support::{SMALL, assert_exit, end_with, folder_with, json, start, stderr, stdout};

/// The longest time until the program ends. On a quiet machine it takes at most a second, but tests
/// share the machine.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn a_signal_ends_a_check_with_what_was_counted() {
    let (folder, _) = folder_with("small.toml", SMALL);
    for (signal, option, value) in [
        ("INT", "--strategy", "level"),
        ("TERM", "--strategy", "dfs"),
        ("INT", "--strategy", "simulation"),
        ("TERM", "--network", "any"),
    ] {
        let name = format!("{value}.json");
        let arguments =
            ["check", "replication-3-wide", "small-not-begun.toml", option, value, "--json", &name];
        let other = folder.path().join("small-not-begun.toml");
        std::fs::write(other, SMALL).expect("the folder is ours");
        let (output, time) = end_with(signal, start(&arguments, folder.path()));
        assert_exit(&output, 6);
        assert!(time < SOON, "{time:?}");
        let text = stdout(&output);
        assert!(text.contains("INCOMPLETE: ") && text.contains("it was interrupted"), "{text}");
        assert!(text.contains("not begun: small-not-begun"), "{text}");
        assert_eq!(stderr(&output), "");
        let report = json(&folder.path().join(name));
        assert_eq!((&report["verdict"], &report["exit_code"]), (&"INCOMPLETE".into(), &6.into()));
        assert!(report["configs"][0]["distinct_states"].as_u64() > Some(0), "{report}");
        assert_eq!(report["configs_not_begun"], serde_json::json!(["small-not-begun"]));
    }
}

#[test]
fn a_signal_ends_mutants_and_coverage() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let child = start(&["mutants", "--json", "mutants.json"], folder.path());
    let (output, time) = end_with("INT", child);
    assert_exit(&output, 6);
    assert!(time < SOON && stdout(&output).contains("INCOMPLETE: "), "{}", stdout(&output));
    let report = json(&folder.path().join("mutants.json"));
    assert_eq!(report["verdict"], "INCOMPLETE");
    assert!(report["mutants_not_tried"].as_u64() > Some(0), "{report}");

    let child = start(&["coverage", "--write", "rules.md"], folder.path());
    let (output, time) = end_with("TERM", child);
    assert_exit(&output, 6);
    assert!(time < SOON && stdout(&output).contains("INCOMPLETE: "), "{}", stdout(&output));
    assert!(!folder.path().join("rules.md").exists(), "a part of a rule map is none");
}
