//! Reading a node log, line by line, with the traces that a kill leaves in it.
//!
//! A server that is killed may leave a last line that is cut short. The next start is appended to the
//! same file, and so to the same line: `{"step":{"seq":7,"in{"schema":"raft-node-log",..`. No text
//! inside a record can look like the beginning of a start, because its quotes would be escaped; so
//! such a line is taken apart there. What is cut short is a line that ends too early, not one that is
//! wrong, and only a start, or nothing, may follow it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use raft_trace::{NODE_LOG_SCHEMA, NodeRecord};
use serde::de::IgnoredAny;

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// A line is not one of a node log.
    #[error("{}:{line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The logs do not belong together.
    #[error("{what}")]
    Mixed {
        /// Why not.
        what: String,
    },
}

/// A record and where it stands.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) line: u64,
    pub(super) record: NodeRecord,
}

/// A node log that is read from its beginning, one record at a time.
#[derive(Debug)]
pub(super) struct LogReader {
    path: PathBuf,
    input: BufReader<File>,
    line: u64,
    buffer: Vec<u8>,
    /// What is left of a line that held more than one record.
    parts: VecDeque<String>,
    /// The lines that were cut short.
    cut: Vec<u64>,
    /// Whether the last thing that was read was cut short.
    after_cut: bool,
    bytes: u64,
    /// Whether the end was reached: a file that grows meanwhile is read up to where it ended then.
    ended: bool,
}

impl LogReader {
    pub(super) fn open(path: &Path) -> Result<LogReader, ReadError> {
        let file =
            File::open(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
        Ok(LogReader {
            path: path.to_owned(),
            input: BufReader::with_capacity(256 << 10, file),
            line: 0,
            buffer: Vec::new(),
            parts: VecDeque::new(),
            cut: Vec::new(),
            after_cut: false,
            bytes: 0,
            ended: false,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes were read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The lines that were cut short, so far.
    pub(super) fn cut_lines(&self) -> &[u64] {
        &self.cut
    }

    /// The next record; none at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Located>, ReadError> {
        loop {
            let found = match self.parts.pop_front() {
                Some(part) => self.read_part(&part)?,
                None if self.read_line()? => self.parse_line()?,
                None => return Ok(None),
            };
            let Some(record) = found else { continue };
            if self.after_cut && matches!(record, NodeRecord::Step { .. }) {
                let line = self.cut.last().copied().unwrap_or(self.line);
                let what = "the line is cut short, and the incarnation goes on after it";
                return Err(self.wrong(line, what));
            }
            self.after_cut = false;
            return Ok(Some(Located { line: self.line, record }));
        }
    }

    fn read_line(&mut self) -> Result<bool, ReadError> {
        if self.ended {
            return Ok(false);
        }
        self.buffer.clear();
        let read = self.input.read_until(b'\n', &mut self.buffer);
        let read = read.map_err(|source| ReadError::Io { path: self.path.clone(), source })?;
        self.line += 1;
        self.bytes += read as u64;
        self.ended = read == 0;
        Ok(!self.ended)
    }

    fn parse_line(&mut self) -> Result<Option<NodeRecord>, ReadError> {
        let Ok(text) = std::str::from_utf8(&self.buffer) else {
            return Err(self.wrong(self.line, "it is not text"));
        };
        let text = text.trim_end_matches(['\n', '\r']);
        match NodeRecord::parse(text) {
            Ok(record) => Ok(Some(record)),
            Err(what) if text.is_empty() => Err(self.wrong(self.line, &what)),
            Err(_) => {
                self.parts = split_at_starts(text).map(str::to_owned).collect();
                Ok(None)
            }
        }
    }

    /// Reads what stands between two starts on one line; none if it is cut short.
    fn read_part(&mut self, part: &str) -> Result<Option<NodeRecord>, ReadError> {
        match NodeRecord::parse(part) {
            Ok(record) => Ok(Some(record)),
            Err(what) => {
                if !ends_early(part) {
                    return Err(self.wrong(self.line, &what));
                }
                self.cut.push(self.line);
                self.after_cut = true;
                Ok(None)
            }
        }
    }

    /// What is wrong with a line of it.
    pub(super) fn wrong(&self, line: u64, what: &str) -> ReadError {
        ReadError::Line { path: self.path.clone(), line, what: what.to_owned() }
    }
}

/// Whether a text would be JSON if it went on.
fn ends_early(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_err_and(|error| error.is_eof())
}

/// A line in parts, each but the first of which begins as a start does.
fn split_at_starts(line: &str) -> impl Iterator<Item = &str> {
    let beginning = format!("{{\"schema\":\"{NODE_LOG_SCHEMA}\"");
    let starts: Vec<usize> = line.match_indices(&beginning).map(|(place, _)| place).collect();
    let ends = starts.clone().into_iter().chain([line.len()]).skip_while(|end| *end == 0);
    let starts = [0].into_iter().chain(starts.into_iter().filter(|start| *start > 0));
    starts.zip(ends).map(|(start, end)| &line[start..end])
}
