//! Restores a state from the bytes that [`snapshot`](super::snapshot) describes. The bytes come
//! from another server, so all of them are checked.

use std::io::{BufReader, ErrorKind, Read};
use std::ops::Bound;

use raft_core::Index;
use redb::Database;

use super::error::SnapshotError;
use super::sessions::{MAX_SESSIONS, Session, Sessions};
use super::snapshot::{END, FORMAT, FORMER_FORMAT, KEY, MAGIC, SESSION};
use super::state::{DATA, VERSION_LENGTH, begin};
use crate::command::{Answer, MAX_ANSWER, MAX_KEY, MAX_VALUE, Owner};

/// The number of bytes of records that are collected in memory before they are written to the
/// database.
const BATCH_BYTES: usize = 4 << 20;

/// One record of a snapshot.
pub(super) enum Record {
    /// A key, and its version and value in the form of [`DATA`].
    Key(Vec<u8>, Vec<u8>),
    Session {
        client: u64,
        owner: u64,
        last_use: u64,
        last_serial: u64,
        last_answer: Vec<u8>,
    },
}

impl Record {
    fn bytes(&self) -> usize {
        let variable = match self {
            Record::Key(key, stored) => key.len() + stored.len(),
            Record::Session { last_answer, .. } => last_answer.len(),
        };
        size_of::<Record>() + variable
    }
}

/// A reader that reads a snapshot record by record and checks each record.
pub(super) struct SnapshotReader<'r> {
    input: BufReader<&'r mut dyn Read>,
    offset: u64,
    format: u32,
    index: Index,
    last_key: Vec<u8>,
    last_client: u64,
    keys: u64,
    sessions: u64,
    ended: bool,
}

impl<'r> SnapshotReader<'r> {
    /// Reads the header, which must name `index`.
    pub(super) fn new(
        index: Index,
        data: &'r mut dyn Read,
    ) -> Result<SnapshotReader<'r>, SnapshotError> {
        let mut reader = SnapshotReader {
            input: BufReader::with_capacity(1 << 16, data),
            offset: 0,
            format: FORMAT,
            index,
            last_key: Vec::new(),
            last_client: 0,
            keys: 0,
            sessions: 0,
            ended: false,
        };
        if reader.array()? != MAGIC {
            return Err(SnapshotError::NotASnapshot);
        }
        reader.format = reader.u32()?;
        if ![FORMAT, FORMER_FORMAT].contains(&reader.format) {
            return Err(SnapshotError::OtherFormat { found: reader.format, expected: FORMAT });
        }
        let found = Index(reader.u64()?);
        if found != index {
            return Err(SnapshotError::OtherIndex { found, expected: index });
        }
        Ok(reader)
    }

    /// Reads the next records, about [`BATCH_BYTES`] in total. Returns no records after the last
    /// one.
    pub(super) fn batch(&mut self) -> Result<Vec<Record>, SnapshotError> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES && !self.ended {
            let [kind] = self.array()?;
            let record = match kind {
                KEY => self.key()?,
                SESSION => self.session()?,
                END => {
                    self.end()?;
                    continue;
                }
                _ => return self.damaged("there is no such kind of record"),
            };
            bytes += record.bytes();
            batch.push(record);
        }
        Ok(batch)
    }

    fn key(&mut self) -> Result<Record, SnapshotError> {
        let key_length = self.u32()? as usize;
        let value_length = self.u32()? as usize;
        if !(1..=MAX_KEY).contains(&key_length) || value_length > MAX_VALUE {
            return self.damaged("a key or a value is longer or shorter than they can be");
        }
        let key = self.bytes(key_length)?;
        let stored = self.bytes(VERSION_LENGTH + value_length)?;
        if self.sessions > 0 || key <= self.last_key {
            return self.damaged("the keys are not in order");
        }
        let version = stored.first_chunk().copied().map_or(0, u64::from_le_bytes);
        if !(1..=self.index.0).contains(&version) {
            return self.damaged("a version is not in the log that the snapshot reflects");
        }
        self.keys += 1;
        self.last_key.clone_from(&key);
        Ok(Record::Key(key, stored))
    }

    fn session(&mut self) -> Result<Record, SnapshotError> {
        let client = self.u64()?;
        let owner = if self.format == FORMER_FORMAT { Owner::UNKNOWN.0 } else { self.u64()? };
        let (last_use, last_serial) = (self.u64()?, self.u64()?);
        let [length] = self.array()?;
        if usize::from(length) > MAX_ANSWER {
            return self.damaged("an answer is longer than it can be");
        }
        let last_answer = self.bytes(usize::from(length))?;
        if client <= self.last_client || self.sessions >= MAX_SESSIONS {
            return self.damaged("the sessions are not in order, or too many");
        }
        if !(client..=self.index.0).contains(&last_use) {
            return self.damaged("a session's use is not in the log that the snapshot reflects");
        }
        let is_new = last_serial == 0;
        if is_new != last_answer.is_empty() || !is_new && Answer::decode(&last_answer).is_err() {
            return self.damaged("what a session remembers is no answer");
        }
        self.sessions += 1;
        self.last_client = client;
        Ok(Record::Session { client, owner, last_use, last_serial, last_answer })
    }

    fn end(&mut self) -> Result<(), SnapshotError> {
        if (self.u64()?, self.u64()?) != (self.keys, self.sessions) {
            return self.damaged("the end counts other records than there are");
        }
        match self.array::<1>() {
            Err(SnapshotError::Truncated { .. }) => {
                self.ended = true;
                Ok(())
            }
            Err(error) => Err(error),
            Ok(_) => self.damaged("something follows the end"),
        }
    }

    fn damaged<T>(&self, reason: &'static str) -> Result<T, SnapshotError> {
        Err(SnapshotError::Damaged { offset: self.offset, reason })
    }

    fn u32(&mut self) -> Result<u32, SnapshotError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, SnapshotError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>, SnapshotError> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), SnapshotError> {
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => SnapshotError::Truncated { offset: self.offset },
            _ => SnapshotError::Unreadable(error),
        })?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

/// Adds records after the existing records.
pub(super) fn insert(database: &Database, records: &[Record]) -> Result<(), redb::Error> {
    let transaction = begin(database)?;
    {
        let mut keys = transaction.open_table(DATA)?;
        let mut keys = keys.upper_bound_mut(Bound::<&[u8]>::Unbounded)?;
        let mut sessions = Sessions::open(&transaction, MAX_SESSIONS)?;
        for record in records {
            match record {
                Record::Key(key, stored) => {
                    keys.insert_before(key.as_slice(), stored.as_slice())?;
                }
                Record::Session { client, owner, last_use, last_serial, last_answer } => {
                    let (owner, last_use, last_serial) = (*owner, *last_use, *last_serial);
                    sessions
                        .add(*client, &Session { owner, last_use, last_serial, last_answer })?;
                }
            }
        }
        keys.close()?;
    }
    Ok(transaction.commit()?)
}
