//! Operations and answers of the key-value service.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Bytes;

/// An operation that a client requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Reads the value.
    Get,
    /// Sets the value.
    Put {
        /// The new value.
        value: Bytes,
    },
    /// Appends to the value. A key that does not exist counts as empty.
    Append {
        /// The bytes to append.
        suffix: Bytes,
    },
    /// Sets the value if the key has the expected version.
    CompareAndSet {
        /// The expected version; `None` if the key must not exist.
        expected: Option<u64>,
        /// The new value.
        value: Bytes,
    },
    /// Removes the key.
    Delete,
}

/// An answer of the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The answer to a get if the key exists.
    Found {
        /// The value.
        value: Bytes,
        /// The version of the write that set this value.
        version: u64,
    },
    /// The answer to a get if the key does not exist.
    Missing,
    /// The answer to a put, an append or a compare-and-set that wrote the value.
    Written {
        /// The version of the value, from 1 on.
        version: u64,
        /// The length of the value after the write, in bytes.
        length: u64,
    },
    /// The answer to a compare-and-set that had no effect.
    Conflict {
        /// The version of the key; `None` if it does not exist.
        present: Option<u64>,
    },
    /// The answer to a delete. The key does not exist any more.
    Deleted {
        /// Whether the key existed before.
        existed: bool,
    },
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Get => write!(f, "get"),
            Operation::Put { value } => write!(f, "put {value}"),
            Operation::Append { suffix } => write!(f, "append {suffix}"),
            Operation::CompareAndSet { expected: Some(version), value } => {
                write!(f, "cas v{version} {value}")
            }
            Operation::CompareAndSet { expected: None, value } => write!(f, "cas absent {value}"),
            Operation::Delete => write!(f, "delete"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Found { value, version } => write!(f, "{value} v{version}"),
            Answer::Missing => write!(f, "absent"),
            Answer::Written { version, length } => write!(f, "wrote v{version}, length {length}"),
            Answer::Conflict { present: Some(version) } => write!(f, "conflict: v{version}"),
            Answer::Conflict { present: None } => write!(f, "conflict: absent"),
            Answer::Deleted { existed: true } => write!(f, "deleted"),
            Answer::Deleted { existed: false } => write!(f, "was absent"),
        }
    }
}
