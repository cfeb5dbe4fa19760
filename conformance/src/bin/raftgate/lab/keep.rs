//! Failures for later: the log of every server, and the story.

use std::fmt::Write as _;
use std::path::Path;

use raft_conformance::lab::{self, Outcome, Test};
use raft_trace::NodeRecord;

use super::report;
use crate::failure::{Failure, write_new};

const ADVICE: &str = "name another directory, or move what is in this one";

/// Runs a failure again, and writes what it needs to be looked at into new files of a directory of its
/// own.
pub(super) fn keep(directory: &Path, test: &Test, failed: &Outcome) -> Result<(), Failure> {
    let again = lab::run(test, failed.seed, true);
    let directory = directory.join(format!("{}-seed-{}", failed.test, failed.seed));
    std::fs::create_dir_all(&directory)
        .map_err(|source| Failure::Write { path: directory.clone(), source })?;
    let mut logs = Vec::new();
    for (id, records) in &again.node_logs {
        let path = directory.join(format!("{id}.jsonl"));
        write_new(&path, &lines(&path, records)?, ADVICE)?;
        logs.push(path.display().to_string());
    }
    let path = directory.join("story.txt");
    let mut story = report::failure(failed).trim_start().to_owned();
    if again.hash != failed.hash {
        story.push_str("\nThe run was not the same when it was repeated for the logs.\n");
    }
    let _ = writeln!(story, "\nIn columns: raftgate log {}\n", logs.join(" "));
    story += &again.story.join("\n");
    story.push('\n');
    write_new(&path, story.as_bytes(), ADVICE)?;
    println!("kept in {}", directory.display());
    Ok(())
}

fn lines(path: &Path, records: &[NodeRecord]) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    for record in records {
        record
            .write(&mut bytes)
            .map_err(|source| Failure::Write { path: path.to_owned(), source })?;
    }
    Ok(bytes)
}
