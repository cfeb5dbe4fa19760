//! One of the two files of a log.

use std::io;

use raft_core::PersistentState;
use redb::StorageBackend;

use super::record::{self, Body, Record, SECTOR};
use super::{FORMAT, Identity, LogStoreError};

#[derive(Debug)]
pub(super) struct File {
    backend: Box<dyn StorageBackend>,
    pub(super) salt: u64,
    /// Where the next record goes.
    pub(super) end: u64,
    /// How long the file is.
    length: u64,
    /// By how much it grows at least and at most.
    growth: (u64, u64),
}

/// What a file holds, as far as its records are concerned.
#[derive(Debug)]
pub(super) struct Outline {
    bytes: Vec<u8>,
    pub(super) identity: Identity,
    /// The number of the last transaction.
    pub(super) number: u64,
    pub(super) salt: u64,
    pub(super) end: usize,
    /// Whether the file has taken over, so that the other one does not matter.
    pub(super) rules: bool,
    /// The highest number of a record behind the end: there must not be a higher one.
    pub(super) stray: Option<u64>,
}

impl Outline {
    /// The state after the last transaction.
    pub(super) fn state(&self) -> Result<PersistentState, LogStoreError> {
        let mut state = PersistentState::default();
        let mut at = 0;
        while at < self.end {
            let record = record::read(&self.bytes[at..]);
            let body = record.as_ref().and_then(Record::body);
            let (Some(record), Some(body)) = (record, body) else {
                let what = format!("a record at byte {at} has a sound checksum and no meaning");
                return Err(LogStoreError::Damaged(what));
            };
            if let Body::Writes(writes) = body {
                for write in &writes {
                    state.write(write);
                }
            }
            at += record.size;
        }
        Ok(state)
    }
}

impl File {
    pub(super) fn new(backend: Box<dyn StorageBackend>, growth: (u64, u64)) -> io::Result<File> {
        let length = backend.len()?;
        Ok(File { backend, salt: 0, end: 0, length, growth })
    }

    /// Begins the file anew.
    pub(super) fn begin(&mut self, salt: u64) {
        (self.salt, self.end) = (salt, 0);
    }

    /// Adds a record; it is durable after the next [`sync`](File::sync).
    pub(super) fn append(&mut self, number: u64, body: &Body) -> io::Result<()> {
        let bytes = record::encode(number, self.salt, body);
        let end = self.end + bytes.len() as u64;
        if end > self.length {
            let growth = end.next_power_of_two().clamp(self.growth.0, self.growth.1);
            let grown = end.next_multiple_of(growth);
            self.backend.set_len(grown)?;
            let zeros = vec![0; usize::try_from(growth).unwrap_or(SECTOR)];
            let mut at = self.length;
            while at < grown {
                let part = (grown - at).min(growth);
                self.backend.write(at, &zeros[..usize::try_from(part).unwrap_or(SECTOR)])?;
                at += part;
            }
            self.length = grown;
        }
        self.backend.write(self.end, &bytes)?;
        self.end = end;
        Ok(())
    }

    /// Writes the records from that number on again, as they were read, and syncs them.
    pub(super) fn write_again(&self, contents: &Outline, number: u64) -> io::Result<()> {
        let mut at = 0;
        while at < contents.end
            && let Some(record) = record::read(&contents.bytes[at..])
            && record.number < number
        {
            at += record.size;
        }
        self.backend.write(at as u64, &contents.bytes[at..contents.end])?;
        self.backend.sync_data()
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.backend.sync_data()
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let length = self.backend.len()?;
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.backend.read(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Whether nothing was ever written to the file.
    pub(super) fn is_blank(&self) -> io::Result<bool> {
        Ok(self.bytes()?.iter().all(|byte| *byte == 0))
    }

    /// The number with which the file begins, if it is the beginning of a log.
    pub(super) fn first_number(&self) -> io::Result<Option<u64>> {
        let mut sector = [0; SECTOR];
        if self.backend.len()? < SECTOR as u64 {
            return Ok(None);
        }
        self.backend.read(0, &mut sector)?;
        Ok(record::read(&sector).map(|start| start.number))
    }

    /// Reads the file, without looking into its records; none if it is not the beginning, at least,
    /// of a log.
    pub(super) fn read(&self) -> Result<Option<Outline>, LogStoreError> {
        let bytes = self.bytes()?;
        let Some(start) = record::read(&bytes) else { return Ok(None) };
        match start.format() {
            Some(FORMAT) => {}
            Some(other) => return Err(LogStoreError::Format(other)),
            None => return Ok(None),
        }
        let Some(Body::Start { identity, parts, .. }) = start.body() else { return Ok(None) };
        let (mut number, salt) = (start.number, start.salt);
        let (mut end, mut read, mut rules) = (start.size, 0, number == 0);
        while let Some(next) = bytes.get(end..).and_then(record::read) {
            let takes_over = next.takes_over();
            let expected = if read < parts || takes_over { number } else { number + 1 };
            rules |= takes_over;
            if next.salt != salt || next.number != expected {
                break;
            }
            number = next.number;
            end += next.size;
            read += 1;
        }
        if read < parts {
            return Ok(None);
        }
        let behind = (end..bytes.len()).step_by(SECTOR).map(|place| &bytes[place..]);
        let stray = behind
            .filter(|bytes| record::has_salt(bytes, salt))
            .filter_map(|bytes| record::read(bytes).map(|found| found.number))
            .max();
        Ok(Some(Outline { bytes, identity, number, salt, end, rules, stray }))
    }
}
