//! Saves failures for later: the log of every server, and the story of the run.

use std::fmt::Write as _;
use std::path::Path;

use raft_lab::{Outcome, Test};
use raft_trace::NodeRecord;

use raft_cli::file::{FileError, write_new};
use raft_cli::options::shell_word;
use raft_cli::output::Output;

use super::report;
use crate::failure::Failure;

/// Repeats the run of a failure, and writes the log of every server and the story into new files in
/// a separate directory.
pub(super) fn keep(
    out: &mut Output,
    directory: &Path,
    test: &Test,
    failed: &Outcome,
) -> Result<(), Failure> {
    let again = raft_lab::run(test, failed.seed, true);
    let directory = directory.join(format!("{}-seed-{}", failed.test, failed.seed));
    std::fs::create_dir_all(&directory)
        .map_err(|source| FileError::Write { path: directory.clone(), source })?;
    let mut logs = Vec::new();
    for (id, records) in &again.node_logs {
        let path = directory.join(format!("{id}.jsonl"));
        write_new(&path, &lines(records))?;
        logs.push(shell_word(&path.to_string_lossy()));
    }
    let path = directory.join("story.txt");
    let mut story = report::failure(failed).trim_start().to_owned();
    if again.hash != failed.hash {
        story.push_str("\nThe run was not the same when it was repeated for the logs.\n");
    }
    let _ = writeln!(story, "\nIn columns: raftgate log {}\n", logs.join(" "));
    story += &again.story.join("\n");
    story.push('\n');
    write_new(&path, story.as_bytes())?;
    writeln!(out, "kept in {}", directory.display());
    Ok(())
}

fn lines(records: &[NodeRecord]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        record.write(&mut bytes).expect("a vector takes everything");
    }
    bytes
}

#[cfg(test)]
mod tests {
    use raft_core::NodeId;
    use raft_lab::{Test, Tester, run, select};

    use super::*;

    /// Returns a test that must fail: it demands agreement of a follower that is down.
    fn failing() -> Test {
        let scenario = |tester: &mut Tester| {
            tester.one("with all", 3, true)?;
            tester.crash(NodeId(2))?;
            tester.one("without n2", 3, true).map(|_| ())
        };
        Test { scenario, ..*select(&["FailAgree".to_owned()]).expect("a test")[0] }
    }

    #[test]
    fn a_failure_is_kept_whole_and_never_in_the_place_of_another() {
        let directory = tempfile::tempdir().expect("a directory");
        let (test, place) = (failing(), directory.path().join("FailAgree-seed-5"));
        let failed = run(&test, 5, false);
        assert!(failed.unmet.is_some());
        keep(&mut Output::stderr(), directory.path(), &test, &failed).expect("it is kept");
        for name in ["n1.jsonl", "n2.jsonl", "n3.jsonl"] {
            let log = std::fs::read_to_string(place.join(name)).expect("a log");
            assert!(log.lines().count() > 10, "{name}");
            assert!(log.lines().all(|line| NodeRecord::parse(line).is_ok()), "{name}");
        }
        let story = std::fs::read_to_string(place.join("story.txt")).expect("a story");
        assert!(story.starts_with("FailAgree FAILED with seed 5\n"), "{story}");
        assert!(story.contains("demanded: command without n2 is committed on 3"), "{story}");
        assert!(story.contains("again:    raftgate lab FailAgree --seeds 5..6"), "{story}");
        assert!(story.contains("s  crash n2"), "{story}");
        assert!(!story.contains("not the same"), "{story}");

        let refused = keep(&mut Output::stderr(), directory.path(), &test, &failed);
        let refused = refused.expect_err("it is there");
        assert!(matches!(refused, Failure::File(FileError::Exists { .. })), "{refused}");
        let after = std::fs::read_to_string(place.join("story.txt")).expect("a story");
        assert_eq!(after, story);
    }
}
