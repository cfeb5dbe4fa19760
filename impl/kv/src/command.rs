//! Commands, which are stored in the log, and answers, which are stored in sessions, with their
//! encodings.
//!
//! Both encodings are one byte with the version of the format, followed by the value in postcard's
//! encoding. Logs and snapshots outlive the program that wrote them, so variants and fields keep
//! their order.

use std::fmt;
use std::net::IpAddr;

use raft_core::Bytes;
use serde::{Deserialize, Serialize};

/// The maximum length of a key, in bytes. The minimum length is 1.
pub const MAX_KEY: usize = 4 << 10;

/// The maximum length of a value, in bytes.
pub const MAX_VALUE: usize = 1 << 20;

/// The version of the encoding that this crate writes, and the only one that it reads.
const FORMAT: u8 = 1;

/// An upper bound on the length of an encoded [`Answer`], in bytes: the format, the variant, and
/// two numbers of at most ten bytes each.
pub(crate) const MAX_ANSWER: usize = 32;

/// The id of a session: the index of the log entry that opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(pub u64);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The owner of a session: the group of clients whose sessions are counted together when there are
/// too many sessions.
///
/// Each IPv4 address is an owner. For an IPv6 address, the owner is the first 64 bits, because a
/// client that has one address of such a network has all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Owner(pub u64);

impl Owner {
    /// The owner of sessions whose client address is not known. No client has the address 0.0.0.0,
    /// but clients with the IPv6 loopback address are counted here too.
    pub const UNKNOWN: Owner = Owner(0);
}

impl From<IpAddr> for Owner {
    fn from(address: IpAddr) -> Owner {
        match address.to_canonical() {
            IpAddr::V4(address) => Owner(u64::from(u32::from(address))),
            // IPv6 networks whose first 32 bits are 0 are reserved, so IPv4 addresses can use these
            // numbers.
            IpAddr::V6(address) => {
                let network = address.octets().first_chunk().copied();
                Owner(network.map_or(0, u64::from_be_bytes))
            }
        }
    }
}

/// The id of a request. Commands with the same id are applied once, even if the log contains
/// several of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// The session.
    pub client: ClientId,
    /// The serial number of the request in its session, from 1 on. Serial numbers only increase,
    /// possibly with gaps. A retry has the serial number of the request that it repeats.
    pub serial: u64,
}

/// A command from a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The id of the request. A command without an id is applied each time it occurs in the log.
    pub request: Option<RequestId>,
    /// The operation to perform.
    pub operation: Operation,
}

/// A change of the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Sets the value of a key.
    Put {
        /// The key.
        key: Bytes,
        /// The new value.
        value: Bytes,
    },
    /// Removes a key.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Appends to the value of a key. A key that does not exist counts as a key with an empty
    /// value.
    Append {
        /// The key.
        key: Bytes,
        /// The bytes to append to the value.
        suffix: Bytes,
    },
    /// Sets the value of a key if the key has the expected version.
    CompareAndSet {
        /// The key.
        key: Bytes,
        /// The version that the key must have, or `None` if the key must not exist.
        expected: Option<u64>,
        /// The new value.
        value: Bytes,
    },
    /// Opens a session for [`Owner::UNKNOWN`]. Its [`ClientId`] is the index of this command's
    /// entry.
    OpenSession,
    /// Opens a session. Its [`ClientId`] is the index of this command's entry.
    OpenSessionFor {
        /// The owner of the session.
        owner: Owner,
    },
}

/// The result of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// A value was written.
    Written {
        /// The key's new version: the index of the command's entry.
        version: u64,
        /// The length of the value now, in bytes.
        length: u64,
    },
    /// The key does not exist any more.
    Deleted {
        /// Whether the key existed before.
        existed: bool,
    },
    /// Nothing was done: the key's version is not the expected one.
    Conflict {
        /// The current version of the key, or `None` if it does not exist.
        present: Option<u64>,
    },
    /// A session was opened.
    SessionOpened {
        /// The id of the session.
        client: ClientId,
    },
    /// Nothing was done: the session was never opened, or was removed to make room for another one.
    UnknownSession,
    /// Nothing was done this time: the session has already executed a request with a higher serial
    /// number, and no longer stores the result of this request.
    StaleSerial,
    /// Nothing was done: the value would be longer than [`MAX_VALUE`].
    TooLarge,
    /// Nothing was done: [`Command::decode`] refuses the bytes.
    BadCommand,
}

/// The reason why bytes cannot be decoded to a command or an answer, or why a command cannot be
/// encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There are no bytes.
    #[error("a command or answer is not empty")]
    Empty,
    /// The bytes have another format.
    #[error("format {found} is unknown; this program knows format {FORMAT}")]
    OtherFormat {
        /// The format's version.
        found: u8,
    },
    /// The bytes are not a valid encoding.
    #[error("the encoding is broken: {0}")]
    Malformed(#[from] postcard::Error),
    /// Further bytes follow the encoding.
    #[error("{count} bytes follow the end")]
    Trailing {
        /// The number of these bytes.
        count: usize,
    },
    /// The key is empty or too long.
    #[error("a key has 1 to {MAX_KEY} bytes, not {length}")]
    KeyLength {
        /// The key's length, in bytes.
        length: usize,
    },
    /// The value, or the suffix, is too long.
    #[error("a value has at most {MAX_VALUE} bytes, not {length}")]
    ValueLength {
        /// The value's length, in bytes.
        length: usize,
    },
    /// The serial is 0.
    #[error("a session's requests are numbered from 1")]
    SerialZero,
}

impl Command {
    /// Returns the command as bytes for the log.
    ///
    /// # Errors
    ///
    /// The key, the value or the serial is outside its limits.
    pub fn encode(&self) -> Result<Vec<u8>, CommandError> {
        self.check()?;
        Ok(postcard::to_extend(self, vec![FORMAT])?)
    }

    /// Decodes the bytes that [`encode`](Command::encode) returns.
    ///
    /// # Errors
    ///
    /// The bytes are not the encoding of a command.
    pub fn decode(bytes: &[u8]) -> Result<Command, CommandError> {
        let command: Command = decode(bytes)?;
        command.check()?;
        Ok(command)
    }

    fn check(&self) -> Result<(), CommandError> {
        if self.request.is_some_and(|request| request.serial == 0) {
            return Err(CommandError::SerialZero);
        }
        let (key, value) = match &self.operation {
            Operation::Put { key, value } | Operation::CompareAndSet { key, value, .. } => {
                (key, value.as_slice())
            }
            Operation::Append { key, suffix } => (key, suffix.as_slice()),
            Operation::Delete { key } => (key, [].as_slice()),
            Operation::OpenSession | Operation::OpenSessionFor { .. } => return Ok(()),
        };
        if !(1..=MAX_KEY).contains(&key.as_slice().len()) {
            return Err(CommandError::KeyLength { length: key.as_slice().len() });
        }
        if value.len() > MAX_VALUE {
            return Err(CommandError::ValueLength { length: value.len() });
        }
        Ok(())
    }
}

impl Answer {
    /// Returns the answer as bytes for a session.
    pub fn encode(&self) -> Bytes {
        let mut buffer = [0; MAX_ANSWER];
        // The buffer has room for every answer. If it were too small, the result would be empty,
        // and `decode` refuses empty bytes.
        postcard::to_slice(&(FORMAT, self), &mut buffer)
            .map_or_else(|_| Bytes::empty(), |encoded| Bytes::from(&*encoded))
    }

    /// Decodes the bytes that [`encode`](Answer::encode) returns.
    ///
    /// # Errors
    ///
    /// The bytes are not the encoding of an answer.
    pub fn decode(bytes: &[u8]) -> Result<Answer, CommandError> {
        decode(bytes)
    }
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, CommandError> {
    match bytes {
        [] => Err(CommandError::Empty),
        [FORMAT, encoded @ ..] => match postcard::take_from_bytes(encoded)? {
            (decoded, []) => Ok(decoded),
            (_, rest) => Err(CommandError::Trailing { count: rest.len() }),
        },
        [found, ..] => Err(CommandError::OtherFormat { found: *found }),
    }
}
