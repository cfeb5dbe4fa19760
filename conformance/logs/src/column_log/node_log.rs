//! Reads a node log, record by record, also while it grows.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use raft_core::NodeId;
use raft_trace::{NODE_LOG_SCHEMA, NodeRecord};

use super::error::LogError;

/// A file that may grow, and that need not exist yet. At the current end of the file, a read
/// returns 0 bytes. A later read may return more.
#[derive(Debug)]
pub struct GrowingFile {
    path: PathBuf,
    file: Option<File>,
    read: u64,
}

impl GrowingFile {
    /// Creates a reader of the file. The file is opened at the first read.
    pub fn new(path: &Path) -> GrowingFile {
        GrowingFile { path: path.to_owned(), file: None, read: 0 }
    }
}

impl Read for GrowingFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
                Err(error) => return Err(error),
            }
        }
        let Some(file) = &mut self.file else { return Ok(0) };
        let count = file.read(buffer)?;
        if count == 0 && file.metadata()?.len() < self.read {
            return Err(io::Error::other("it has become shorter while it was read"));
        }
        self.read += count as u64;
        Ok(count)
    }
}

/// A record and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The line, counted from 1.
    pub line: u64,
    /// The record.
    pub record: NodeRecord,
}

/// A reader of a node log. It holds one line in memory.
pub struct NodeLog {
    path: PathBuf,
    input: Box<dyn BufRead>,
    /// Whether the file may continue after its current end.
    grows: bool,
    line: u64,
    text: Vec<u8>,
    server: Option<NodeId>,
    /// The number of the next step.
    next: u64,
}

impl NodeLog {
    /// Creates a reader of a complete log. `path` is used only in messages.
    pub fn new(path: &Path, input: Box<dyn BufRead>) -> NodeLog {
        let (path, text) = (path.to_owned(), Vec::new());
        NodeLog { path, input, grows: false, line: 0, text, server: None, next: 1 }
    }

    /// Creates a reader of a log that is still being written.
    pub fn growing(path: &Path) -> NodeLog {
        let input = Box::new(BufReader::new(GrowingFile::new(path)));
        NodeLog { grows: true, ..NodeLog::new(path, input) }
    }

    /// Returns the path of the log, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the server of the log, once it is known.
    pub fn server(&self) -> Option<NodeId> {
        self.server
    }

    /// Forgets the server of the log, because another log is shown for this server.
    pub(super) fn disown(&mut self) {
        self.server = None;
    }

    /// Returns whether the log may continue after its current end.
    pub fn grows(&self) -> bool {
        self.grows
    }

    /// Returns the next record, or `None` at the end, which may be only the current end.
    ///
    /// # Errors
    ///
    /// [`LogError`] if the file cannot be read, or the line is damaged or cut. After that, nothing
    /// more can be read.
    pub fn next_record(&mut self) -> Result<Option<Located>, LogError> {
        let read = self.input.read_until(b'\n', &mut self.text);
        read.map_err(|source| LogError::Read { path: self.path.clone(), source })?;
        let ended = self.text.last() == Some(&b'\n');
        if self.text.is_empty() || (!ended && self.grows) {
            return Ok(None);
        }
        let text = std::mem::take(&mut self.text);
        self.line += 1;
        let line = self.line;
        let record = parse(&text).map_err(|reason| {
            let path = self.path.clone();
            if ended {
                LogError::Damaged { path, line, reason }
            } else {
                LogError::Cut { path, line }
            }
        })?;
        self.check(&record).map_err(|reason| LogError::Damaged {
            path: self.path.clone(),
            line,
            reason,
        })?;
        self.text = text;
        self.text.clear();
        Ok(Some(Located { line, record }))
    }

    /// Checks that the record may follow the one before.
    fn check(&mut self, record: &NodeRecord) -> Result<(), String> {
        match (record, self.server) {
            (NodeRecord::Start { config, .. }, server) => {
                if let Some(server) = server.filter(|server| *server != config.id) {
                    return Err(format!("{} starts in the log of {server}", config.id));
                }
                self.server = Some(config.id);
                self.next = 1;
            }
            (NodeRecord::Step { .. }, None) => {
                return Err("a step before the first start".to_owned());
            }
            (NodeRecord::Step { seq, .. }, Some(_)) => {
                if *seq != self.next {
                    let last = self.next - 1;
                    return Err(format!("step {seq} follows step {last}: lines are missing"));
                }
                self.next += 1;
            }
        }
        Ok(())
    }
}

/// Parses a line. A server that was killed may leave an incomplete record. When the server starts
/// again, its start record follows in the same line. In this case the incomplete record is ignored:
/// no other server has seen anything of it.
fn parse(line: &[u8]) -> Result<NodeRecord, String> {
    let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
    let text = text.trim_end();
    // Most records are steps, and steps have no schema that must be checked.
    if text.starts_with("{\"step\":") {
        let step = serde_json::from_str(text);
        if let Ok(record) = step {
            return Ok(record);
        }
    }
    NodeRecord::parse(text).or_else(|reason| {
        let start = text.rfind(&format!("{{\"schema\":\"{NODE_LOG_SCHEMA}\"")).filter(|at| *at > 0);
        start.and_then(|at| NodeRecord::parse(&text[at..]).ok()).ok_or(reason)
    })
}
