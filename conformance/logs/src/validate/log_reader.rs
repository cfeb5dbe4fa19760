//! Reads a node log, line by line, including lines that a kill has cut short.
//!
//! A server that is killed may leave a last line that is cut short. The next start is appended to
//! the same file, and so to the same line: `{"step":{"seq":7,"in{"schema":"raft-node-log",..`. The
//! reader splits such a line where the start begins. No text inside a record can look like the
//! beginning of a start, because its quotes would be escaped. A line counts as cut short only if it
//! ends too early. Any other wrong line is an error. Only a start, or nothing, may follow a line
//! that is cut short.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use raft_trace::{NODE_LOG_SCHEMA, NodeRecord};
use serde::de::IgnoredAny;

/// The reason why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// A line is not a line of a node log.
    #[error("{}:{line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The problem with the line.
        what: String,
    },
    /// The logs do not belong together.
    #[error("{what}")]
    Mixed {
        /// The reason why they do not.
        what: String,
    },
}

/// A record and its line.
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
    /// The remaining parts of a line that held more than one record.
    parts: VecDeque<String>,
    /// The lines that were cut short.
    cut: Vec<u64>,
    /// Whether the last part that was read was cut short.
    after_cut: bool,
    bytes: u64,
    /// Whether the end was reached. If the file grows after that, the new lines are not read.
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

    /// Returns the number of bytes that were read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the lines that were cut short so far.
    pub(super) fn cut_lines(&self) -> &[u64] {
        &self.cut
    }

    /// Returns the next record, or `None` at the end of the file.
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

    /// Reads a part of a line, from one start to the next. Returns `None` if the part is cut short.
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

    /// Creates an error about a line of this log.
    pub(super) fn wrong(&self, line: u64, what: &str) -> ReadError {
        ReadError::Line { path: self.path.clone(), line, what: what.to_owned() }
    }
}

/// Returns whether a text is an incomplete beginning of valid JSON.
fn ends_early(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_err_and(|error| error.is_eof())
}

/// Splits a line into parts. Each part after the first begins like a start record.
fn split_at_starts(line: &str) -> impl Iterator<Item = &str> {
    let beginning = format!("{{\"schema\":\"{NODE_LOG_SCHEMA}\"");
    let starts: Vec<usize> = line.match_indices(&beginning).map(|(place, _)| place).collect();
    let ends = starts.clone().into_iter().chain([line.len()]).skip_while(|end| *end == 0);
    let starts = [0].into_iter().chain(starts.into_iter().filter(|start| *start > 0));
    starts.zip(ends).map(|(start, end)| &line[start..end])
}
