//! The messages between two servers: frames of bytes, with a version, a length and a checksum.
//!
//! ```text
//! +---------+----------+-----------+------------------+
//! | version | length   | CRC-32    | body             |
//! | 1 byte  | 4 bytes  | 4 bytes   | `length` bytes   |
//! +---------+----------+-----------+------------------+
//! ```
//!
//! Numbers are little-endian. The checksum covers the body, which is a [`Frame`] in postcard's
//! encoding. A frame is refused if it is too long, of another version, damaged, or has extra bytes
//! at the end of its body. The connection is refused with it, because the beginning of the next
//! frame is unknown after that.

use std::collections::BTreeSet;

use raft_core::{
    AppendEntries, Entry, InstallSnapshot, LogPosition, Message, NodeId, Payload, Term,
};
use serde::{Deserialize, Serialize};

/// The version of the format that this program writes, and the only one that it reads.
pub const VERSION: u8 = 2;

/// The length of the header before the body, in bytes.
pub const HEADER: usize = 9;

/// The maximum length of a body, in bytes. A batch is limited to [`BATCH_BYTES`] plus one entry,
/// whose command has at most [`MAX_COMMAND`] bytes.
pub const MAX_BODY: usize = 4 << 20;

/// The maximum length of a command that a node accepts from a client, in bytes.
pub const MAX_COMMAND: usize = 2 << 20;

/// The maximum number of bytes of the entries in one AppendEntries, without the last entry.
pub const BATCH_BYTES: usize = 1 << 20;

/// The number of bytes of a snapshot in one frame.
pub const CHUNK: usize = 256 << 10;

/// The maximum length of the name of a cluster, in bytes.
pub const MAX_CLUSTER_NAME: usize = 64;

/// The maximum number of voters in a cluster. Their ids have to fit into a greeting, and into the
/// first sector of a log file.
pub const MAX_VOTERS: usize = 32;

/// The contents of a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// The first frame of each connection, from the server that dialled.
    Hello(Hello),
    /// The answer to a hello that is accepted.
    Welcome,
    /// The answer to a hello that is refused, with the reason for the operators of the other
    /// server.
    Refused(String),
    /// A Raft message.
    Raft(Message),
    /// The sender leads this term and is alive. It is sending a snapshot, and therefore sends no
    /// heartbeat.
    LeaderAlive(Term),
    /// The first frame after the welcome on a connection for a snapshot.
    SnapshotOffer(InstallSnapshot),
    /// The answer to the offer: the number of bytes of the file that the receiver already has.
    SnapshotWanted(u64),
    /// The next bytes of the file.
    SnapshotChunk(Chunk),
    /// The receiver has stored the snapshot durably.
    SnapshotStored,
}

/// The greeting of the server that dials: its identity, and the purpose of the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The name of the cluster that the dialling server belongs to.
    pub cluster: String,
    /// The dialling server.
    pub from: NodeId,
    /// The server that it wants to reach.
    pub to: NodeId,
    /// The voters of the dialling server's cluster.
    pub voters: BTreeSet<NodeId>,
    /// The name of the dialling server's disk. Two disks with the same server id are two servers
    /// that vote under one id.
    pub disk: u64,
    /// The purpose of the connection.
    pub purpose: Purpose,
}

/// The purpose of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Raft messages, from the dialling server to the other one.
    Messages,
    /// One snapshot.
    Snapshot,
}

/// A part of a snapshot's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The offset of the part in the file.
    pub offset: u64,
    /// The bytes.
    pub data: raft_core::Bytes,
}

/// The reason why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The first byte is not [`VERSION`].
    #[error("wire format version {0}, this program speaks version {VERSION}")]
    Version(u8),
    /// The body is longer than [`MAX_BODY`].
    #[error("a frame of {0} bytes, the limit is {MAX_BODY}")]
    TooLong(u32),
    /// The checksum does not match the body.
    #[error("the checksum does not fit the frame")]
    Checksum,
    /// The body is not a [`Frame`].
    #[error("the frame's body makes no sense")]
    Body,
}

impl WireError {
    /// Returns a label for metrics.
    pub fn label(self) -> &'static str {
        match self {
            WireError::Version(_) => "version",
            WireError::TooLong(_) => "too_long",
            WireError::Checksum => "checksum",
            WireError::Body => "body",
        }
    }
}

/// Appends a frame to `out`.
///
/// # Panics
///
/// If the body is longer than [`MAX_BODY`]. Callers limit commands, batches and chunks before.
pub fn encode(frame: &Frame, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    let mut taken = std::mem::take(out);
    taken = postcard::to_extend(frame, taken).expect("memory takes every frame");
    *out = taken;
    let body = &out[start + HEADER..];
    assert!(body.len() <= MAX_BODY, "what is sent is cut to fit a frame");
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    let checksum = crc32fast::hash(body).to_le_bytes();
    out[start] = VERSION;
    out[start + 1..start + 5].copy_from_slice(&length);
    out[start + 5..start + HEADER].copy_from_slice(&checksum);
}

/// The header of a frame, which consists of its first [`HEADER`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The length of the body, in bytes; at most [`MAX_BODY`].
    pub length: usize,
    checksum: u32,
}

impl Header {
    /// Decodes a header.
    ///
    /// # Errors
    ///
    /// The version is not [`VERSION`], or the body is too long.
    pub fn decode(bytes: [u8; HEADER]) -> Result<Header, WireError> {
        let [version, l0, l1, l2, l3, c0, c1, c2, c3] = bytes;
        if version != VERSION {
            return Err(WireError::Version(version));
        }
        let announced = u32::from_le_bytes([l0, l1, l2, l3]);
        let length = usize::try_from(announced).unwrap_or(usize::MAX);
        if length > MAX_BODY {
            return Err(WireError::TooLong(announced));
        }
        Ok(Header { length, checksum: u32::from_le_bytes([c0, c1, c2, c3]) })
    }

    /// Decodes the body that follows the header.
    ///
    /// # Errors
    ///
    /// The body is damaged, or is not a frame.
    pub fn decode_body(self, body: &[u8]) -> Result<Frame, WireError> {
        if crc32fast::hash(body) != self.checksum {
            return Err(WireError::Checksum);
        }
        match postcard::take_from_bytes(body) {
            Ok((frame, [])) => Ok(frame),
            _ => Err(WireError::Body),
        }
    }
}

/// Returns the maximum number of bytes that an entry takes in a frame.
fn entry_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        Payload::Noop => 16,
        Payload::Command(command) => 32 + command.as_slice().len(),
    }
}

/// Splits a message into messages that fit into frames. A large AppendEntries becomes several
/// messages, each of which the leader could have sent with a smaller batch limit. `batch` is the
/// maximum number of bytes of the entries in each message, without the last entry.
pub fn split(message: Message, batch: usize) -> Vec<Message> {
    let Message::AppendEntries(mut rest) = message else {
        return vec![message];
    };
    let mut parts = Vec::new();
    loop {
        let mut bytes = 0;
        let fitting = rest.entries.iter().take_while(|entry| {
            let fits = bytes < batch.max(1);
            bytes += entry_bytes(entry);
            fits
        });
        let count = fitting.count();
        if count == rest.entries.len() {
            parts.push(Message::AppendEntries(rest));
            return parts;
        }
        let later = rest.entries.split_off(count);
        let last_term = rest.entries.last().map_or(rest.prev_log.term, |entry| entry.term);
        let prev_log = LogPosition { term: last_term, index: rest.prev_log.index.plus(count) };
        let next = AppendEntries { prev_log, entries: later, ..rest.clone() };
        parts.push(Message::AppendEntries(rest));
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use raft_core::{Bytes, Index, ReadRound};

    fn append(sizes: &[usize]) -> AppendEntries {
        let entry = |size: &usize| Entry {
            term: Term(2),
            payload: Payload::Command(Bytes::from(vec![b'x'; *size])),
        };
        AppendEntries {
            term: Term(3),
            prev_log: LogPosition { term: Term(1), index: Index(7) },
            entries: sizes.iter().map(entry).collect(),
            leader_commit: Index(9),
            read_round: ReadRound(4),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Frame, WireError> {
        let header = bytes.first_chunk().ok_or(WireError::Body)?;
        let header = Header::decode(*header)?;
        let body = bytes.get(HEADER..HEADER + header.length).ok_or(WireError::Body)?;
        header.decode_body(body)
    }

    proptest! {
        #[test]
        fn a_batch_is_cut_into_frames_that_fit_and_together_say_the_same(
            sizes in prop::collection::vec(0..MAX_COMMAND, 0..12),
        ) {
            let whole = append(&sizes);
            let mut entries = Vec::new();
            for part in split(Message::AppendEntries(whole.clone()), BATCH_BYTES) {
                let mut bytes = Vec::new();
                encode(&Frame::Raft(part.clone()), &mut bytes);
                prop_assert_eq!(decode(&bytes), Ok(Frame::Raft(part.clone())));
                let Message::AppendEntries(part) = part else { panic!("another message") };
                prop_assert_eq!(part.prev_log.index, whole.prev_log.index.plus(entries.len()));
                prop_assert_eq!(part.leader_commit, whole.leader_commit);
                entries.extend(part.entries);
            }
            prop_assert_eq!(entries, whole.entries);
        }

        #[test]
        fn whatever_arrives_is_refused_or_understood(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
            let _ = postcard::take_from_bytes::<Frame>(&bytes);
        }

        #[test]
        fn a_damaged_frame_is_refused(flip in 0..200usize, bit in 0..8u32) {
            let mut bytes = Vec::new();
            encode(&Frame::Raft(Message::AppendEntries(append(&[100, 60]))), &mut bytes);
            let place = flip % bytes.len();
            bytes[place] ^= 1u8 << bit;
            prop_assert!(decode(&bytes).is_err());
        }
    }
}
