//! The records of a log file.
//!
//! ```text
//! +-------+--------+--------+--------+----------+---------------+---------+
//! | magic | length | number | salt   | CRC-32   | body          | zeros   |
//! | 4     | 4      | 8      | 8      | 4        | `length`      | to 512  |
//! +-------+--------+--------+--------+----------+---------------+---------+
//! ```
//!
//! Numbers are little-endian. The checksum covers the fields between the magic and the checksum,
//! and the body. Records begin at multiples of 512 bytes, the unit that a disk writes as a whole.
//! All records of a file have the same salt, which is chosen anew whenever the file is begun. So
//! old contents of the file, and bytes that a client has put into a value, are not mistaken for
//! records.

use raft_core::Write;
use serde::{Deserialize, Serialize};

use super::Identity;

/// The unit in which records are placed, in bytes.
pub(super) const SECTOR: usize = 512;

const MAGIC: [u8; 4] = *b"RLOG";
const HEADER: usize = 28;

/// The contents of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Body {
    /// The first record of a file. The next `parts` records restore the state after a transaction,
    /// and carry the number of that transaction, like this record.
    Start { format: u32, identity: Identity, parts: u64 },
    /// One transaction.
    Writes(Vec<Write>),
    /// The file has everything. The other file is no longer needed.
    TakesOver,
}

/// The first bytes of the encodings of [`Body::Start`] and [`Body::TakesOver`].
const START: u8 = 0;
const TAKES_OVER: u8 = 2;

/// A complete record. Its body is decoded only on request.
#[derive(Debug)]
pub(super) struct Record<'a> {
    pub(super) number: u64,
    pub(super) salt: u64,
    /// The number of bytes that the record takes in the file.
    pub(super) size: usize,
    body: &'a [u8],
}

impl Record<'_> {
    /// Returns the version of the layout, if this is the first record of a file. Every layout has
    /// the version in this place. The rest of the record can be read if the version is the right
    /// one.
    pub(super) fn format(&self) -> Option<u32> {
        let rest = self.body.strip_prefix(&[START])?;
        postcard::take_from_bytes(rest).ok().map(|(format, _)| format)
    }

    /// Returns whether this record is [`Body::TakesOver`].
    pub(super) fn takes_over(&self) -> bool {
        self.body.first() == Some(&TAKES_OVER)
    }

    /// Decodes the body. Returns none if this program cannot decode it.
    pub(super) fn body(&self) -> Option<Body> {
        match postcard::take_from_bytes(self.body) {
            Ok((body, [])) => Some(body),
            _ => None,
        }
    }
}

/// Encodes a record, and fills it up with zeros to whole sectors.
pub(super) fn encode(number: u64, salt: u64, body: &Body) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes = postcard::to_extend(body, bytes).expect("plain data has a form in postcard");
    let length = u32::try_from(bytes.len() - HEADER).expect("a transaction is far below 4 GiB");
    bytes[0..4].copy_from_slice(&MAGIC);
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    bytes[16..24].copy_from_slice(&salt.to_le_bytes());
    let checksum = checksum(&bytes);
    bytes[24..28].copy_from_slice(&checksum.to_le_bytes());
    bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
    bytes
}

fn checksum(record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&record[4..24]);
    hasher.update(&record[HEADER..]);
    hasher.finalize()
}

/// Returns the record at the beginning of `bytes`, if there is a complete one.
pub(super) fn read(bytes: &[u8]) -> Option<Record<'_>> {
    let header = bytes.first_chunk::<HEADER>()?;
    if header[0..4] != MAGIC {
        return None;
    }
    let number = |from: usize| -> u64 {
        header[from..from + 8].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    };
    let [.., c0, c1, c2, c3] = *header;
    let length = usize::try_from(number(4) & u64::from(u32::MAX)).ok()?;
    let record = bytes.get(..HEADER.checked_add(length)?)?;
    if checksum(record) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return None;
    }
    let size = record.len().next_multiple_of(SECTOR);
    Some(Record { number: number(8), salt: number(16), size, body: &record[HEADER..] })
}

/// Returns whether a record with this salt may begin here.
pub(super) fn has_salt(bytes: &[u8], salt: u64) -> bool {
    bytes.get(0..4) == Some(&MAGIC) && bytes.get(16..24) == Some(&salt.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_beginning_of_a_file_fits_into_a_sector_and_says_its_layout() {
        use crate::wire::{MAX_CLUSTER_NAME, MAX_VOTERS};
        use raft_core::NodeId;

        let voters = (0..MAX_VOTERS as u64).map(|below| NodeId(u64::MAX - below)).collect();
        let cluster = "c".repeat(MAX_CLUSTER_NAME);
        let identity = Identity { cluster, node: NodeId(u64::MAX), voters, disk: u64::MAX };
        let start = Body::Start { format: u32::MAX, identity, parts: u64::MAX };
        let record = encode(1, 2, &start);
        assert_eq!(record.len(), SECTOR);
        let record = read(&record).expect("it is whole");
        assert_eq!((record.format(), record.body()), (Some(u32::MAX), Some(start)));
        let other = encode(1, 2, &Body::Writes(Vec::new()));
        assert_eq!(read(&other).expect("it is whole").format(), None);
    }

    #[test]
    fn a_file_that_takes_over_says_so() {
        let takes_over = encode(1, 2, &Body::TakesOver);
        assert!(read(&takes_over).expect("it is whole").takes_over());
        let writes = encode(1, 2, &Body::Writes(Vec::new()));
        assert!(!read(&writes).expect("it is whole").takes_over());
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_not_with_any_bit_changed() {
        let body = Body::Writes(vec![Write::default(), Write::default()]);
        let sound = encode(7, 1 << 60, &body);
        let found = read(&sound).expect("it is whole");
        assert_eq!((found.number, found.salt, found.size), (7, 1 << 60, SECTOR));
        assert_eq!(found.body(), Some(body));
        let used = sound.iter().rposition(|byte| *byte != 0).expect("it is not empty") + 1;
        for bit in 0..used * 8 {
            let mut damaged = sound.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&damaged).is_none(), "bit {bit}");
        }
    }
}
