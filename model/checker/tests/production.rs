//! A production binary contains nothing of the checker: neither mutants nor coverage, and not even
//! the rules' names, because the questions to [`raft_core::Paper`] are compiled away.

use std::path::Path;
use std::process::Command;

#[test]
fn a_minimal_program_has_no_trace_of_mutants_or_coverage() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("production");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--release", "-p", "raft-core"])
        .args(["--example", "minimal", "--target-dir"])
        .arg(&target)
        .current_dir(&root)
        .status();
    assert!(built.expect("cargo runs").success(), "the example compiles");

    let binary = target.join("release/examples/minimal");
    let run = Command::new(&binary).output().expect("the example runs");
    assert_eq!(String::from_utf8_lossy(&run.stdout), "committed up to 2\n");

    let bytes = std::fs::read(&binary).expect("it was just built");
    let contains = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(contains("raft_core"), "the binary has its symbols, so looking for others is worth it");
    for trace in ["raft_checker", "stateright", "mutant", "overage", "own-term-only", "OwnTermOnly"]
    {
        assert!(!contains(trace), "{trace:?} is in the production binary");
    }
}
