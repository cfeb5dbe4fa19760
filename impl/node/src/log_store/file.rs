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
    /// The offset of the next record.
    pub(super) end: u64,
    /// The length of the file.
    length: u64,
    /// The minimum and maximum growth at a time.
    growth: (u64, u64),
}

/// Returns the identity in the first record, if the file begins as a log in this layout.
pub(super) fn owner(backend: &dyn StorageBackend) -> io::Result<Option<Identity>> {
    let mut sector = [0; SECTOR];
    if backend.len()? < SECTOR as u64 {
        return Ok(None);
    }
    backend.read(0, &mut sector)?;
    Ok(record::read(&sector).and_then(|start| match start.body()? {
        Body::Start { format: FORMAT, identity, .. } => Some(identity),
        _ => None,
    }))
}

/// The contents of a file, with the boundaries of its records.
#[derive(Debug)]
pub(super) struct Outline {
    bytes: Vec<u8>,
    pub(super) identity: Identity,
    /// The number of the last transaction.
    pub(super) number: u64,
    pub(super) salt: u64,
    /// The offset of the last record.
    last: usize,
    pub(super) end: usize,
    /// Whether the file has everything by itself: it is the very first file, or it has taken over.
    pub(super) complete: bool,
    /// The highest number of any record, including records after `end`.
    pub(super) highest: u64,
}

impl Outline {
    /// Returns the state after the last transaction.
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

    /// Begins the file again at its start, with a new salt.
    pub(super) fn begin(&mut self, salt: u64) {
        (self.salt, self.end) = (salt, 0);
    }

    /// Adds a record. The record is durable after the next [`sync`](File::sync).
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

    /// Writes the last record again, as it was read, and syncs it.
    pub(super) fn write_last_again(&self, contents: &Outline) -> io::Result<()> {
        let Outline { bytes, last, end, .. } = contents;
        self.backend.write(*last as u64, &bytes[*last..*end])?;
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

    /// Returns whether nothing was ever written to the file.
    pub(super) fn is_blank(&self) -> io::Result<bool> {
        Ok(self.bytes()?.iter().all(|byte| *byte == 0))
    }

    /// Returns the number of the first record, if the file begins as a log.
    pub(super) fn first_number(&self) -> io::Result<Option<u64>> {
        let mut sector = [0; SECTOR];
        if self.backend.len()? < SECTOR as u64 {
            return Ok(None);
        }
        self.backend.read(0, &mut sector)?;
        Ok(record::read(&sector).map(|start| start.number))
    }

    /// Reads the file, without decoding its transactions. Returns none if the file does not begin
    /// as a log.
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
        let (mut last, mut end, mut read) = (0, start.size, 0);
        let mut complete = number == 0;
        while let Some(next) = bytes.get(end..).and_then(record::read) {
            let takes_over = next.takes_over();
            let expected = if read < parts || takes_over { number } else { number + 1 };
            if next.salt != salt || next.number != expected {
                break;
            }
            complete |= takes_over && read >= parts;
            number = next.number;
            last = end;
            end += next.size;
            read += 1;
        }
        let behind = (end..bytes.len()).step_by(SECTOR).map(|place| &bytes[place..]);
        let highest = behind
            .filter(|bytes| record::has_salt(bytes, salt))
            .filter_map(|bytes| record::read(bytes).map(|found| found.number))
            .fold(number, u64::max);
        Ok(Some(Outline { bytes, identity, number, salt, last, end, complete, highest }))
    }
}
