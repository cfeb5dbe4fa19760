//! Reading and writing trace files.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::action::{Action, Settings};

/// The name of the schema in the first line of a cluster trace.
pub const SCHEMA: &str = "raft-cluster-trace";

/// The version of the schema that this crate writes, and the only one that it reads.
pub const VERSION: u64 = 2;

/// A run of a cluster, from its first start on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterTrace {
    /// The settings of the cluster.
    pub settings: Settings,
    /// A description of the trace, in words.
    pub about: String,
    /// The actions of the run, in order.
    pub actions: Vec<Action>,
}

/// The reason why a trace file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be read at all.
    #[error("cannot read the trace: {0}")]
    Io(#[from] io::Error),
    /// The first line is not a header.
    #[error("not a cluster trace: the first line is not a \"{SCHEMA}\" header ({0})")]
    NotATrace(String),
    /// The file was written under another version of the schema.
    #[error(
        "this is a cluster trace of schema version {found}; this program reads version {VERSION}. \
         Replay it with the release that wrote it"
    )]
    OtherVersion {
        /// The version that the header names.
        found: u64,
    },
    /// A line is malformed or out of place.
    #[error("line {line}, column {column}: {reason}")]
    BadLine {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
        /// The mistake.
        reason: String,
    },
    /// The file ends too early.
    #[error("the trace is truncated: it ends after step {steps}, without the closing line")]
    Truncated {
        /// The last complete step.
        steps: usize,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    schema: String,
    version: u64,
    settings: Settings,
    about: String,
}

/// A line after the header: a step, or the end.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<End>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    steps: usize,
}

impl ClusterTrace {
    /// Writes the trace as JSON lines.
    ///
    /// # Errors
    ///
    /// The errors of `out`.
    pub fn write(&self, mut out: impl Write) -> io::Result<()> {
        let header = Header {
            schema: SCHEMA.to_owned(),
            version: VERSION,
            settings: self.settings.clone(),
            about: self.about.clone(),
        };
        writeln!(out, "{}", serde_json::to_string(&header)?)?;
        for (place, action) in self.actions.iter().enumerate() {
            let (step, action) = (Some(place + 1), Some(action.clone()));
            let line = Line { step, action, end: None };
            writeln!(out, "{}", serde_json::to_string(&line)?)?;
        }
        let end = Line { end: Some(End { steps: self.actions.len() }), ..Line::default() };
        writeln!(out, "{}", serde_json::to_string(&end)?)?;
        out.flush()
    }

    /// Reads a trace.
    ///
    /// # Errors
    ///
    /// [`TraceError`] says which line is wrong and why.
    pub fn read(input: impl BufRead) -> Result<ClusterTrace, TraceError> {
        let mut lines = input.lines();
        let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        let Header { settings, about, .. } = read_header(&first)?;
        let mut actions = Vec::new();
        let mut ended = false;
        for (place, line) in lines.enumerate() {
            let (line, number) = (line?, place + 2);
            let bad = |reason| TraceError::BadLine { line: number, column: 1, reason };
            if ended {
                return Err(bad("something follows the closing line".to_owned()));
            }
            let parsed: Line = serde_json::from_str(&line).map_err(|error| {
                // A line cut in the middle is the usual end of a truncated file.
                if error.is_eof() {
                    TraceError::Truncated { steps: actions.len() }
                } else {
                    let (column, reason) = (error.column().max(1), error.to_string());
                    TraceError::BadLine { line: number, column, reason }
                }
            })?;
            match (parsed.step, parsed.action, parsed.end) {
                (Some(step), Some(action), None) if step == actions.len() + 1 => {
                    actions.push(action);
                }
                (Some(step), Some(_), None) => {
                    return Err(bad(format!("step {step} follows step {}", actions.len())));
                }
                (None, None, Some(end)) if end.steps == actions.len() => ended = true,
                (None, None, Some(end)) => {
                    let found = actions.len();
                    return Err(bad(format!("{} steps announced, {found} found", end.steps)));
                }
                _ => return Err(bad("neither a step with its action nor the end".to_owned())),
            }
        }
        if !ended {
            return Err(TraceError::Truncated { steps: actions.len() });
        }
        Ok(ClusterTrace { settings, about, actions })
    }
}

fn read_header(line: &str) -> Result<Header, TraceError> {
    let not_a_trace = |reason: &str| TraceError::NotATrace(reason.to_owned());
    let value: serde_json::Value =
        serde_json::from_str(line).map_err(|_| not_a_trace("it is not JSON"))?;
    if value.get("schema").and_then(|schema| schema.as_str()) != Some(SCHEMA) {
        return Err(not_a_trace("it names no such schema"));
    }
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(VERSION) => {}
        Some(found) => return Err(TraceError::OtherVersion { found }),
        None => return Err(not_a_trace("it names no version")),
    }
    serde_json::from_value(value).map_err(|error| TraceError::BadLine {
        line: 1,
        column: 1,
        reason: error.to_string(),
    })
}
