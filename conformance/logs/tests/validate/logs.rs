//! Node logs as lines that a test can change, and their validation.

use std::fs;
use std::path::PathBuf;

use raft_logs::validate::{Options, ReadError, Refusal, Report, validate};
use raft_trace::NodeRecord;

/// The lines of each server's log.
#[derive(Clone, Debug)]
pub(crate) struct Logs {
    pub(crate) files: Vec<Vec<String>>,
}

/// A place where a log contradicts the model: the server, counted from 0, the line, counted from 1,
/// and the reason.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) server: usize,
    pub(crate) line: usize,
    pub(crate) refusal: Refusal,
}

impl Logs {
    pub(crate) fn new(servers: usize) -> Logs {
        Logs { files: vec![Vec::new(); servers] }
    }

    /// Returns the record on a line, counted from 0, if the line holds exactly one.
    pub(crate) fn record(&self, server: usize, line: usize) -> Option<NodeRecord> {
        NodeRecord::parse(self.files[server].get(line)?).ok()
    }

    /// Returns whether a line, counted from 0, holds a start.
    pub(crate) fn is_start(&self, server: usize, line: usize) -> bool {
        self.files[server].get(line).is_some_and(|line| line.contains("{\"schema\""))
    }

    /// Returns whether a line, counted from 0, is a step after which its incarnation continues.
    pub(crate) fn goes_on_after(&self, server: usize, line: usize) -> bool {
        let is_step = |line| matches!(self.record(server, line), Some(NodeRecord::Step { .. }));
        is_step(line) && is_step(line + 1)
    }

    /// Writes the files to a new directory.
    pub(crate) fn write(&self) -> (tempfile::TempDir, Vec<PathBuf>) {
        let directory = tempfile::tempdir().expect("there is room for files");
        let paths = self.files.iter().enumerate().map(|(place, lines)| {
            let path = directory.path().join(format!("n{}.jsonl", place + 1));
            fs::write(&path, lines.join("\n") + "\n").expect("there is room for files");
            path
        });
        let paths = paths.collect();
        (directory, paths)
    }

    pub(crate) fn validate(&self) -> Result<Report, ReadError> {
        self.validate_with(Options::default())
    }

    pub(crate) fn validate_with(&self, options: Options) -> Result<Report, ReadError> {
        let (_directory, paths) = self.write();
        validate(&paths, options, &mut |_| {})
    }

    /// Returns the places where the logs contradict the model. All lines must be readable.
    pub(crate) fn contradictions(&self) -> Vec<Place> {
        let report = self.validate().expect("every line can be read");
        let place = |(server, incomplete): (
            &raft_logs::validate::ServerReport,
            &raft_logs::validate::Incomplete,
        )| Place {
            server: usize::try_from(server.id.0 - 1).expect("one of three"),
            line: usize::try_from(incomplete.line).expect("a short file"),
            refusal: incomplete.refusal.clone(),
        };
        report.contradictions().map(place).collect()
    }

    /// Returns the only contradiction.
    pub(crate) fn contradiction(&self) -> Place {
        let mut places = self.contradictions();
        assert_eq!(places.len(), 1, "{places:?}");
        places.remove(0)
    }
}
