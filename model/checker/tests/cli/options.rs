//! Options that mean the same in every command, and options that would have no effect.

use crate::support::{SMALL, assert_exit, folder_with, raftcheck, stderr, stdout};

#[test]
fn an_option_without_effect_is_refused() {
    let (folder, _) = folder_with("small.toml", SMALL);
    for arguments in [
        &["check", "small.toml", "--seed", "3"][..],
        &["check", "small.toml", "--force"],
        &["check", "small.toml", "--json", "-", "--force"],
        &["--configs", ".", "replay", "run.jsonl"],
        &["list", "--properties", "--tier", "smoke"],
        &["list", "--properties", "--configs", "."],
        &["mutants", "--no-symmetry"],
        &["mutants", "--tier", "nightly"],
        &["mutants", "--list", "EL-04"],
        &["coverage", "--no-symmetry"],
        &["check", "small.toml", "--threads", "0"],
        &["check", "small.toml", "--time-limit", "soon"],
    ] {
        let output = raftcheck(arguments, folder.path());
        assert_exit(&output, 2);
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}

#[test]
fn a_time_without_a_unit_is_in_seconds() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let arguments = ["check", "small.toml", "--strategy", "simulation", "--time-limit", "0.1"];
    let began = std::time::Instant::now();
    assert_exit(&raftcheck(&arguments, folder.path()), 6);
    assert!(began.elapsed() < std::time::Duration::from_secs(9), "it is no default of 10 s");
}

#[test]
fn an_unknown_mutant_names_those_that_are_like_it_or_says_that_none_is() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let output = raftcheck(&["mutants", "EL-4"], folder.path());
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("did you mean EL-04"), "{}", stderr(&output));
    let output = raftcheck(&["mutants", "XX-99"], folder.path());
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("no id is like it"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("did you mean"), "{}", stderr(&output));
}
