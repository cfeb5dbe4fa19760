//! The log of one server: what it was told, what it asked for, and where that left it.

use std::io;

use raft_core::{
    Config, Effect, Index, Input, LogPosition, Node, NodeId, PersistentState, Role, Term,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One line of a server's log. A file holds any number of starts, each followed by the steps of that
/// incarnation, numbered from 1. There is no clock in it: how the logs of several servers fit
/// together follows from the messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NodeRecord {
    /// The server started, for the first time or again.
    Start {
        /// Who it is, among whom.
        config: Config,
        /// What was on its disk.
        state: PersistentState,
        /// What its state machine reflected.
        applied: Index,
    },
    /// Something happened to the server.
    Step {
        /// The number of the step since the start: 1, 2, 3, ..
        seq: u64,
        /// What happened.
        input: Input,
        /// What the server asked for.
        effects: Vec<Effect>,
        /// Where that left it.
        after: NodeDigest,
    },
}

/// What of a node's state stands in its log after each step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeDigest {
    /// `f`, `c` or `l`: follower, candidate or leader.
    pub role: char,
    /// Its current term.
    pub term: Term,
    /// Whom it voted for in that term.
    pub vote: Option<NodeId>,
    /// Where its log ends.
    pub last: LogPosition,
    /// Where its log begins.
    pub base: LogPosition,
    /// Up to where its log is durable.
    pub durable: Index,
    /// Its commit index.
    pub commit: Index,
    /// The last index that it knows to be applied.
    pub applied: Index,
}

impl NodeDigest {
    /// The digest of a node.
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

/// What the first field of each line of a node log says.
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
    /// Whatever `out` reports.
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
    /// A sentence about what is wrong with it.
    pub fn parse(line: &str) -> Result<NodeRecord, String> {
        // Nearly every line is a sound step, which is read many times faster without a `Value` on
        // the way. Whatever this refuses is looked at more closely below.
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
