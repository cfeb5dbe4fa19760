//! Commands and answers as bytes: what stands in the log, and what a session remembers.
//!
//! Both are one byte, the format's version, and then the type in postcard's encoding. Logs and
//! snapshots outlive the program that wrote them, so variants and fields keep their order.

use std::fmt;
use std::net::IpAddr;

use raft_core::Bytes;
use serde::{Deserialize, Serialize};

/// The longest key, in bytes; the shortest has one.
pub const MAX_KEY: usize = 4 << 10;

/// The longest value, in bytes.
pub const MAX_VALUE: usize = 1 << 20;

/// The version of the encoding that this crate writes, and the only one that it reads.
const FORMAT: u8 = 1;

/// Room for any [`Answer`]: the format, the variant, and two numbers of at most ten bytes each.
pub(crate) const MAX_ANSWER: usize = 32;

/// A session: the index of the log entry that opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(pub u64);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whose a session is: the clients that are counted together when sessions are too many.
///
/// An IPv4 address is an owner by itself. Of an IPv6 address the first 64 bits are: whoever has one
/// address of such a network has all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Owner(pub u64);

impl Owner {
    /// The owner of sessions that were opened by nobody in particular. No client has the address
    /// 0.0.0.0, but the loopback network of IPv6 is counted here.
    pub const UNKNOWN: Owner = Owner(0);
}

impl From<IpAddr> for Owner {
    fn from(address: IpAddr) -> Owner {
        match address.to_canonical() {
            IpAddr::V4(address) => Owner(u64::from(u32::from(address))),
            // The 64-bit networks whose upper half is 0 are reserved, so IPv4 addresses fit in there.
            IpAddr::V6(address) => {
                let network = address.octets().first_chunk().copied();
                Owner(network.map_or(0, u64::from_be_bytes))
            }
        }
    }
}

/// A request's name. Commands of the same name are applied once, however often the log holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// The session.
    pub client: ClientId,
    /// The request's number there, from 1 on. Numbers only grow, perhaps with gaps; a retry has the
    /// number of what it repeats.
    pub serial: u64,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The request's name; a command without one is applied as often as the log holds it.
    pub request: Option<RequestId>,
    /// What to do.
    pub operation: Operation,
}

/// A change of the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Gives a key a value.
    Put {
        /// The key.
        key: Bytes,
        /// Its value from now on.
        value: Bytes,
    },
    /// Removes a key.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Lengthens a value. A key that does not exist has the empty one.
    Append {
        /// The key.
        key: Bytes,
        /// What comes behind its value.
        suffix: Bytes,
    },
    /// Gives a key a value if nobody has changed the key since its version was read.
    CompareAndSet {
        /// The key.
        key: Bytes,
        /// The version that the key must have; `None`: it must not exist.
        expected: Option<u64>,
        /// Its value from now on.
        value: Bytes,
    },
    /// Opens a session of [`Owner::UNKNOWN`]. Its [`ClientId`] is the index of this command's entry.
    OpenSession,
    /// Opens a session. Its [`ClientId`] is the index of this command's entry.
    OpenSessionFor {
        /// Whose it is.
        owner: Owner,
    },
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// A value was written.
    Written {
        /// The key's new version: the index of the command's entry.
        version: u64,
        /// The length of the value now, in bytes.
        length: u64,
    },
    /// The key is gone.
    Deleted {
        /// Whether it was there before.
        existed: bool,
    },
    /// Nothing was done: the key's version is not the expected one.
    Conflict {
        /// The version that it has; `None`: it does not exist.
        present: Option<u64>,
    },
    /// A session was opened.
    SessionOpened {
        /// Its name.
        client: ClientId,
    },
    /// Nothing was done: the session was never opened, or has ended to make room for another one.
    UnknownSession,
    /// Nothing was done now: the session has gone on to a higher serial, and what became of this
    /// one is forgotten.
    StaleSerial,
    /// Nothing was done: the value would be longer than [`MAX_VALUE`].
    TooLarge,
    /// Nothing was done: [`Command::decode`] refuses the bytes.
    BadCommand,
}

/// Why bytes are no command or no answer, or why a command cannot become bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There are no bytes.
    #[error("a command or answer is not empty")]
    Empty,
    /// The bytes are of another format.
    #[error("format {found} is unknown; this program knows format {FORMAT}")]
    OtherFormat {
        /// The format's version.
        found: u8,
    },
    /// The bytes encode nothing.
    #[error("the encoding is broken: {0}")]
    Malformed(#[from] postcard::Error),
    /// Something stands behind the encoding.
    #[error("{count} bytes follow the end")]
    Trailing {
        /// How many bytes.
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
    /// The command as the log carries it.
    ///
    /// # Errors
    ///
    /// The key, the value or the serial is outside its limits.
    pub fn encode(&self) -> Result<Vec<u8>, CommandError> {
        self.check()?;
        Ok(postcard::to_extend(self, vec![FORMAT])?)
    }

    /// The inverse of [`encode`](Command::encode).
    ///
    /// # Errors
    ///
    /// The bytes are not what `encode` makes of any command.
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
    /// The answer as a session remembers it.
    pub fn encode(&self) -> Bytes {
        let mut buffer = [0; MAX_ANSWER];
        // The buffer has room for every answer. If it had not, readers would refuse no bytes.
        postcard::to_slice(&(FORMAT, self), &mut buffer)
            .map_or_else(|_| Bytes::empty(), |encoded| Bytes::from(&*encoded))
    }

    /// The inverse of [`encode`](Answer::encode).
    ///
    /// # Errors
    ///
    /// The bytes are not what `encode` makes of any answer.
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
