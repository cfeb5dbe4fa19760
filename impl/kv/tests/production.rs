//! The production server contains nothing of the checker: neither mutants nor coverage, and not even
//! the rules' names, because the questions to [`raft_core::Paper`] are compiled away.

#[test]
fn raftd_has_no_trace_of_mutants_or_coverage() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_raftd")).expect("it was just built");
    let contains = |text: &str| program.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(contains("raft_core"), "the binary has its symbols, so looking for others is worth it");
    for trace in ["raft_checker", "stateright", "mutant", "overage", "own-term-only", "OwnTermOnly"]
    {
        assert!(!contains(trace), "{trace:?} is in the production binary");
    }
}
