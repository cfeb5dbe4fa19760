//! What clients ask of the key-value service, and what it answers.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Bytes;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// The value.
    Get,
    /// Gives the key a value.
    Put {
        /// Its value from now on.
        value: Bytes,
    },
    /// Lengthens the value. A key that does not exist has the empty one.
    Append {
        /// What comes behind it.
        suffix: Bytes,
    },
    /// Gives the key a value if it has a version.
    CompareAndSet {
        /// The version that it must have; `None`: it must not exist.
        expected: Option<u64>,
        /// Its value from now on.
        value: Bytes,
    },
    /// Removes the key.
    Delete,
}

/// What the service answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To a get: the key exists.
    Found {
        /// Its value.
        value: Bytes,
        /// The version that the value's write was given.
        version: u64,
    },
    /// To a get: the key does not exist.
    Missing,
    /// To a put, an append or a compare-and-set: the value was written.
    Written {
        /// Its version, from 1 on.
        version: u64,
        /// How many bytes it has now.
        length: u64,
    },
    /// To a compare-and-set: nothing was done.
    Conflict {
        /// The version that the key has; `None`: it does not exist.
        present: Option<u64>,
    },
    /// To a delete: the key does not exist now.
    Deleted {
        /// Whether it did before.
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
