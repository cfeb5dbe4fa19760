//! What can be wrong with a file.

use std::io;
use std::path::PathBuf;

use raft_core::NodeId;
use raft_trace::{NODE_LOG_SCHEMA, SCHEMA, TraceError};

/// Why a file is not shown, or not to its end. What stands before the damage is always shown.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The first line names no schema that can be shown.
    #[error("{}:1: neither a \"{SCHEMA}\" nor a \"{NODE_LOG_SCHEMA}\": {reason}", path.display())]
    OtherSchema {
        /// Which file.
        path: PathBuf,
        /// What the first line is instead.
        reason: String,
    },
    /// A line is not what should stand there.
    #[error("{}:{line}: {reason}", path.display())]
    Damaged {
        /// In which file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The last line has no end.
    #[error("{}:{line}: the last line is cut", path.display())]
    Cut {
        /// In which file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
    },
    /// A cluster trace of another version, or one that is truncated.
    #[error("{}: {source}", path.display())]
    Trace {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: TraceError,
    },
    /// A step of a cluster trace cannot be done.
    #[error("{}: step {step} is not possible: {reason}", path.display())]
    Impossible {
        /// Which file.
        path: PathBuf,
        /// The step, counted from 1.
        step: u64,
        /// Why.
        reason: String,
    },
    /// Two files are logs of the same server.
    #[error("{} and {} are both logs of {server}", first.display(), second.display())]
    SameServer {
        /// The server.
        server: NodeId,
        /// The file that is shown.
        first: PathBuf,
        /// The file that is not.
        second: PathBuf,
    },
    /// A cluster trace does not grow.
    #[error("{} is a cluster trace, and only node logs can be followed", path.display())]
    CannotFollow {
        /// Which file.
        path: PathBuf,
    },
}

impl LogError {
    /// What to do about it.
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
