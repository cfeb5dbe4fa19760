//! The node log of one server: its inputs, its effects, and a digest of its state after each step.

use std::io;

use raft_core::{
    Config, Effect, Index, Input, LogPosition, Node, NodeId, PersistentState, Role, Term,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One line of a node log. A file holds any number of starts. Each start is followed by the steps
/// of that incarnation, numbered from 1. The log contains no times: the messages show how the logs
/// of several servers fit together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NodeRecord {
    /// The server started, for the first time or again.
    Start {
        /// The server's configuration.
        config: Config,
        /// The contents of its disk.
        state: PersistentState,
        /// The last index that its state machine reflected.
        applied: Index,
    },
    /// The server handled an input.
    Step {
        /// The number of the step since the start: 1, 2, 3, ..
        seq: u64,
        /// The input.
        input: Input,
        /// The effects of the step.
        effects: Vec<Effect>,
        /// The digest of the server's state after the step.
        after: NodeDigest,
    },
}

/// The part of a node's state that its log records after each step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeDigest {
    /// `f`, `c` or `l`: follower, candidate or leader.
    pub role: char,
    /// Its current term.
    pub term: Term,
    /// The candidate that it voted for in that term.
    pub vote: Option<NodeId>,
    /// The position of the last entry of its log.
    pub last: LogPosition,
    /// The base of its log.
    pub base: LogPosition,
    /// The index up to which its log is durable.
    pub durable: Index,
    /// Its commit index.
    pub commit: Index,
    /// The last index that it knows to be applied.
    pub applied: Index,
}

impl NodeDigest {
    /// Makes the digest of a node.
    pub fn of(node: &Node) -> NodeDigest {
        let role = match node.role {
            Role::Follower { .. } => 'f',
            Role::Candidate { .. } => 'c',
            Role::Leader(_) => 'l',
        };
        NodeDigest {
            role,
            term: node.current_term,
            vote: node.voted_for,
            last: node.log.last(),
            base: node.log.base(),
            durable: node.durable_index(),
            commit: node.commit_index,
            applied: node.last_applied,
        }
    }
}

/// The name of the schema, in the first field of each start.
pub const NODE_LOG_SCHEMA: &str = "raft-node-log";

/// The version of the schema that this crate writes, and the only one that it reads.
pub const NODE_LOG_VERSION: u64 = 2;

#[derive(Serialize)]
struct Started<'a> {
    schema: &'a str,
    version: u64,
    #[serde(flatten)]
    record: &'a NodeRecord,
}

impl NodeRecord {
    /// Writes the record as a line of JSON. A start names the schema and its version.
    ///
    /// # Errors
    ///
    /// The errors of `out`.
    pub fn write(&self, mut out: impl io::Write) -> io::Result<()> {
        match self {
            NodeRecord::Start { .. } => {
                let (schema, version) = (NODE_LOG_SCHEMA, NODE_LOG_VERSION);
                serde_json::to_writer(&mut out, &Started { schema, version, record: self })?;
            }
            NodeRecord::Step { .. } => serde_json::to_writer(&mut out, self)?,
        }
        out.write_all(b"\n")
    }

    /// Reads a line.
    ///
    /// # Errors
    ///
    /// A sentence that describes the mistake in the line.
    pub fn parse(line: &str) -> Result<NodeRecord, String> {
        // Nearly every line is a valid step. Reading it directly, without a `Value` in between, is
        // many times faster. The code below examines all other lines.
        if line.starts_with("{\"step\"")
            && let Ok(record) = serde_json::from_str(line)
        {
            return Ok(record);
        }
        let mut value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        if let Some(fields) = value.as_object_mut()
            && fields.contains_key("start")
        {
            let (schema, version) = (fields.remove("schema"), fields.remove("version"));
            if schema.as_ref().and_then(Value::as_str) != Some(NODE_LOG_SCHEMA) {
                return Err(format!("it is not a line of a \"{NODE_LOG_SCHEMA}\""));
            }
            if version.as_ref().and_then(Value::as_u64) != Some(NODE_LOG_VERSION) {
                let found = version.unwrap_or_default();
                return Err(format!(
                    "schema version {found}; this program reads version {NODE_LOG_VERSION}"
                ));
            }
        }
        serde_json::from_value(value).map_err(|error| error.to_string())
    }
}
