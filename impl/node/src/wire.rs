//! What travels between two servers: frames of bytes, with a version, a length and a checksum.
//!
//! ```text
//! +---------+----------+-----------+------------------+
//! | version | length   | CRC-32    | body             |
//! | 1 byte  | 4 bytes  | 4 bytes   | `length` bytes   |
//! +---------+----------+-----------+------------------+
//! ```
//!
//! Numbers are little-endian; the checksum covers the body, which is a [`Frame`] in postcard's
//! encoding. A frame that is too long, of another version, damaged, or followed by something inside
//! its own body is refused, and the connection with it: after that, nothing says where the next
//! frame begins.

use std::collections::BTreeSet;

use raft_core::{
    AppendEntries, Entry, InstallSnapshot, LogPosition, Message, NodeId, Payload, Term,
};
use serde::{Deserialize, Serialize};

/// The version of the format that this program writes, and the only one that it reads.
pub const VERSION: u8 = 2;

/// The length of what stands before the body, in bytes.
pub const HEADER: usize = 9;

/// The longest body, in bytes. A batch is cut to [`BATCH_BYTES`] and then holds at most one entry
/// more, of at most [`MAX_COMMAND`].
pub const MAX_BODY: usize = 4 << 20;

/// The longest command that a node accepts from a client, in bytes.
pub const MAX_COMMAND: usize = 2 << 20;

/// Up to how many bytes of entries one AppendEntries carries, before the last entry.
pub const BATCH_BYTES: usize = 1 << 20;

/// How many bytes of a snapshot one frame carries.
pub const CHUNK: usize = 256 << 10;

/// The longest name of a cluster, in bytes.
pub const MAX_CLUSTER_NAME: usize = 64;

/// How many servers may vote in a cluster. Their ids have to fit into a greeting, and into the first
/// sector of a log file.
pub const MAX_VOTERS: usize = 32;

/// What one frame says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// The first frame of each connection, from the server that dialled.
    Hello(Hello),
    /// The answer to it.
    Welcome,
    /// The answer to a hello that is refused, with the reason for the people on the other side.
    Refused(String),
    /// A message of Raft.
    Raft(Message),
    /// A leader that is sending a snapshot, and therefore sends no heartbeat, is alive.
    LeaderAlive(Term),
    /// The first frame after the welcome on a connection for a snapshot.
    SnapshotOffer(InstallSnapshot),
    /// The answer to it: how many bytes of the file are here already.
    SnapshotWanted(u64),
    /// The next bytes of the file.
    SnapshotChunk(Chunk),
    /// The snapshot is stored, durably.
    SnapshotStored,
}

/// Who dials, and what for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The name of the cluster that the dialling server belongs to.
    pub cluster: String,
    /// The dialling server.
    pub from: NodeId,
    /// The server that it means to reach.
    pub to: NodeId,
    /// Among whom the dialling server votes.
    pub voters: BTreeSet<NodeId>,
    /// The name of the dialling server's disk. Two disks under one id are two servers that vote
    /// under one name.
    pub disk: u64,
    /// What the connection is for.
    pub purpose: Purpose,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// The messages of Raft, from the dialling server to the other one.
    Messages,
    /// One snapshot.
    Snapshot,
}

/// A part of a snapshot's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Where in the file it begins.
    pub offset: u64,
    /// The bytes.
    pub data: raft_core::Bytes,
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The first byte is not [`VERSION`].
    #[error("wire format version {0}, this program speaks version {VERSION}")]
    Version(u8),
    /// The body is longer than [`MAX_BODY`].
    #[error("a frame of {0} bytes, the limit is {MAX_BODY}")]
    TooLong(u32),
    /// The checksum does not fit the body.
    #[error("the checksum does not fit the frame")]
    Checksum,
    /// The body is not a [`Frame`].
    #[error("the frame's body makes no sense")]
    Body,
}

impl WireError {
    /// A word for counting.
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
/// When the body is longer than [`MAX_BODY`]: commands, batches and chunks are cut before.
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

/// What the first [`HEADER`] bytes of a frame say about its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How long it is, in bytes; at most [`MAX_BODY`].
    pub length: usize,
    checksum: u32,
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    ///
    /// Another version, or a body that is too long.
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

    /// Reads the body that follows.
    ///
    /// # Errors
    ///
    /// It is damaged, or not a frame.
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

/// How many bytes an entry takes in a frame, at most.
fn entry_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        Payload::Noop => 16,
        Payload::Command(command) => 32 + command.as_slice().len(),
    }
}

/// A message as the messages that fit into frames: an AppendEntries with many bytes becomes
/// several, each of which the leader could have sent under a smaller batch limit. `batch` is how many
/// bytes of entries each carries at most, before its last entry.
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
