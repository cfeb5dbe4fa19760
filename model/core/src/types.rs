//! The numbers and names of the Raft paper. Each has its own type, so that they cannot be mixed up.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The largest term or index that is accepted from a peer: 2^62. Message validation rejects larger
/// numbers, so adding one to a term or a length to an index in this crate cannot overflow.
pub const NUMBER_LIMIT: u64 = 1 << 62;

/// The largest term or index that is accepted from a server's own disk: 2^63. The range above
/// [`NUMBER_LIMIT`] is for the terms and entries that the server itself can add in its lifetime.
pub const DISK_LIMIT: u64 = 1 << 63;

/// A term: Raft's logical clock (paper, section 5.1). Terms start at 1; 0 means "no term yet".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Term(pub u64);

impl Term {
    /// The term before the first election.
    pub const ZERO: Term = Term(0);

    /// Returns the next term, which a candidate enters when it leaves this one.
    pub fn next(self) -> Term {
        Term(self.0.saturating_add(1))
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A position in the log. The first entry has index 1; 0 is the position before it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Index(pub u64);

impl Index {
    /// The position before the first entry.
    pub const ZERO: Index = Index(0);

    /// Returns the position right after this one.
    pub fn next(self) -> Index {
        Index(self.0.saturating_add(1))
    }

    /// Returns the position right before this one; the position before 0 is 0.
    pub fn prev(self) -> Index {
        Index(self.0.saturating_sub(1))
    }

    /// Returns the position `count` entries further on.
    pub fn plus(self, count: usize) -> Index {
        Index(self.0.saturating_add(count as u64))
    }

    /// Returns the number of entries after `earlier` up to and including this position; 0 if this
    /// position is not after `earlier`.
    pub fn since(self, earlier: Index) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of a server in the cluster. The transition functions compare ids for equality only: the
/// order of ids decides nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// The number of a write request to the disk. A node issues 1, 2, 3, ..; requests reach the disk in
/// that order, so if mark 5 is durable, marks 1 to 4 are durable too. Marks start again with each
/// process.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Mark(pub u64);

impl Mark {
    /// Returns the mark of the write issued after this one.
    pub fn next(self) -> Mark {
        Mark(self.0.saturating_add(1))
    }
}

/// The id that the caller gives to a read request. It is unique among the reads that a node has
/// pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReadId(pub u64);

/// The number of reads that a leader has registered in its term. The leader's messages carry the
/// newest round, and the replies return it. So a reply proves leadership only for reads that were
/// registered before the leader sent the answered message.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ReadRound(pub u64);

/// Bytes that Raft carries and does not interpret: a client's command, or a handle to a snapshot's
/// data. Cheap to clone. In readable formats (JSON) they are a string in which everything but
/// printable ASCII is escaped as in a Rust byte string.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(Arc<[u8]>);

impl Bytes {
    /// Returns an empty byte string.
    pub fn empty() -> Bytes {
        Bytes(Arc::from([]))
    }

    /// Returns the bytes as a slice.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Bytes {
        Bytes(Arc::from(bytes))
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        Bytes(Arc::from(bytes))
    }
}

impl From<&str> for Bytes {
    fn from(text: &str) -> Bytes {
        Bytes::from(text.as_bytes())
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            unescape(&text).map(Bytes::from).map_err(serde::de::Error::custom)
        } else {
            deserializer.deserialize_byte_buf(BytesVisitor)
        }
    }
}

struct BytesVisitor;

impl serde::de::Visitor<'_> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes::from(bytes))
    }

    fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
        Ok(Bytes::from(bytes))
    }
}

/// Decodes the output of [`slice::escape_ascii`].
fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if !first.is_ascii() {
            return Err(format!("not an escaped byte string: {text:?} holds more than ASCII"));
        }
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (byte, tail) = match rest {
            [b't', tail @ ..] => (b'\t', tail),
            [b'r', tail @ ..] => (b'\r', tail),
            [b'n', tail @ ..] => (b'\n', tail),
            [quoted @ (b'\\' | b'\'' | b'"'), tail @ ..] => (*quoted, tail),
            [b'x', high, low, tail @ ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high * 16 + low, tail),
                _ => return Err(format!("bad \\x escape in {text:?}")),
            },
            _ => return Err(format!("bad escape in {text:?}")),
        };
        bytes.push(byte);
        rest = tail;
    }
    Ok(bytes)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The content of a log entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// The blank entry with which a leader starts its term (paper, section 8).
    Noop,
    /// A client's command for the state machine.
    Command(Bytes),
}

/// One entry of the log. Its index is its position in the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// The term of the leader that created the entry.
    pub term: Term,
    /// The content of the entry.
    pub payload: Payload,
}
