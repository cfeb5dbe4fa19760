//! Errors in the files that are shown.

use std::io;
use std::path::PathBuf;

use raft_core::NodeId;
use raft_trace::{NODE_LOG_SCHEMA, SCHEMA, TraceError};

/// The reason why a file is not shown, or not shown completely. The part before the damage is
/// always shown.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The first line names no schema that can be shown.
    #[error("{}:1: neither a \"{SCHEMA}\" nor a \"{NODE_LOG_SCHEMA}\": {reason}", path.display())]
    OtherSchema {
        /// The file.
        path: PathBuf,
        /// The problem with the first line.
        reason: String,
    },
    /// A line does not hold a valid record for its place.
    #[error("{}:{line}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The problem with the line.
        reason: String,
    },
    /// The last line is incomplete.
    #[error("{}:{line}: the last line is cut", path.display())]
    Cut {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
    },
    /// A cluster trace has another version, or is truncated.
    #[error("{}: {source}", path.display())]
    Trace {
        /// The file.
        path: PathBuf,
        /// The problem with the trace.
        source: TraceError,
    },
    /// A step of a cluster trace is impossible.
    #[error("{}: step {step} is not possible: {reason}", path.display())]
    Impossible {
        /// The file.
        path: PathBuf,
        /// The step, counted from 1.
        step: u64,
        /// The reason why it is impossible.
        reason: String,
    },
    /// Two files are logs of the same server.
    #[error("{} and {} are both logs of {server}", first.display(), second.display())]
    SameServer {
        /// The server.
        server: NodeId,
        /// The file that is shown.
        first: PathBuf,
        /// The file that is not shown.
        second: PathBuf,
    },
    /// A cluster trace cannot be followed, because it does not grow.
    #[error("{} is a cluster trace, and only node logs can be followed", path.display())]
    CannotFollow {
        /// The file.
        path: PathBuf,
    },
}

impl LogError {
    /// Returns advice for the user.
    pub fn advice(&self) -> &'static str {
        match self {
            LogError::Read { .. } => "name files that exist, or wait for node logs with --follow",
            LogError::OtherSchema { .. } => {
                "node logs are written by raftd --trace-log, cluster traces by raftcheck"
            }
            LogError::Damaged { .. } => {
                "what stands before that line was shown; copy the file again"
            }
            LogError::Cut { .. } => {
                "what stands before it was shown; if the server still writes, use --follow"
            }
            LogError::Trace { source: TraceError::OtherVersion { .. }, .. } => {
                "nothing was shown of this file"
            }
            LogError::Trace { .. } => "what stands before it was shown; copy the whole file again",
            LogError::Impossible { .. } => {
                "the steps before it were shown; the trace was made with other rules or by hand"
            }
            LogError::SameServer { .. } => "name one log for each server",
            LogError::CannotFollow { .. } => "leave out --follow, or the trace",
        }
    }
}
