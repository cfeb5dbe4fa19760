//! The format of snapshots: a state as a stream of bytes.
//!
//! All numbers are little-endian.
//!
//! | part | content |
//! | --- | --- |
//! | header | the magic `RAFT-KV\0`, the format `u32` = 2, the last applied index `u64` |
//! | key, in ascending order | `u8` = 1, length of the key `u32`, length of the value `u32`, the key, its version `u64`, the value |
//! | session, in ascending order of ids | `u8` = 2, id `u64`, owner `u64`, index of its last use `u64`, last serial `u64` (0: none yet), length of the answer `u8` (0: none yet), the answer |
//! | end | `u8` = 0, number of keys `u64`, number of sessions `u64` |
//!
//! In format 1, sessions have no owner. This crate reads format 1 too, and sets the owner to 0.
//!
//! The bytes depend only on the state, not on its history or its layout on disk, so equal states
//! are written as equal bytes. The format has no checksum, because the code that stores or sends a
//! snapshot adds one.

use std::error::Error;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use raft_core::Index;
use raft_node::{SnapshotView, StateMachineError};
use redb::{Database, ReadTransaction, ReadableDatabase};

use super::error::{StoreError, damaged};
use super::sessions::SESSIONS;
use super::state::{DATA, read_meta, split_version};

pub(super) const MAGIC: [u8; 8] = *b"RAFT-KV\0";

/// The version of the format that this crate writes.
pub(super) const FORMAT: u32 = 2;

/// The former format, in which sessions have no owner. This crate reads it too.
pub(super) const FORMER_FORMAT: u32 = 1;

pub(super) const KEY: u8 = 1;
pub(super) const SESSION: u8 = 2;
pub(super) const END: u8 = 0;

/// The state at one log index.
pub(super) struct View {
    index: Index,
    path: PathBuf,
    transaction: ReadTransaction,
    // This field must be dropped last, because a database closes its file even while it is being
    // read.
    _database: Arc<Database>,
}

impl View {
    pub(super) fn new(database: Arc<Database>, path: PathBuf) -> Result<View, redb::Error> {
        let transaction = database.begin_read()?;
        let (_, index) = read_meta(&transaction)?;
        Ok(View { index, path, transaction, _database: database })
    }

    fn stream(&self, out: &mut dyn Write) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut out = BufWriter::with_capacity(1 << 16, out);
        out.write_all(&MAGIC)?;
        out.write_all(&FORMAT.to_le_bytes())?;
        out.write_all(&self.index.0.to_le_bytes())?;
        let keys = self.stream_keys(&mut out)?;
        let sessions = self.stream_sessions(&mut out)?;
        out.write_all(&[END])?;
        out.write_all(&keys.to_le_bytes())?;
        out.write_all(&sessions.to_le_bytes())?;
        Ok(out.flush()?)
    }

    fn stream_keys(&self, out: &mut impl Write) -> Result<u64, Box<dyn Error + Send + Sync>> {
        let mut count = 0;
        for pair in self.transaction.open_table(DATA)?.range::<&[u8]>(..)? {
            let (key, stored) = pair?;
            let (key, stored) = (key.value(), stored.value());
            let (_, value) = split_version(stored)?;
            out.write_all(&[KEY])?;
            out.write_all(&u32::try_from(key.len())?.to_le_bytes())?;
            out.write_all(&u32::try_from(value.len())?.to_le_bytes())?;
            out.write_all(key)?;
            out.write_all(stored)?;
            count += 1;
        }
        Ok(count)
    }

    fn stream_sessions(&self, out: &mut impl Write) -> Result<u64, Box<dyn Error + Send + Sync>> {
        let mut count = 0;
        for session in self.transaction.open_table(SESSIONS)?.range::<u64>(..)? {
            let (client, remembered) = session?;
            let (owner, last_use, last_serial, answer) = remembered.value();
            out.write_all(&[SESSION])?;
            for number in [client.value(), owner, last_use, last_serial] {
                out.write_all(&number.to_le_bytes())?;
            }
            let length =
                u8::try_from(answer.len()).map_err(|_| damaged("an answer in `sessions`"))?;
            out.write_all(&[length])?;
            out.write_all(answer)?;
            count += 1;
        }
        Ok(count)
    }
}

impl SnapshotView for View {
    fn index(&self) -> Index {
        self.index
    }

    fn write_to(&self, out: &mut dyn Write) -> Result<(), StateMachineError> {
        let written = self.stream(out);
        Ok(written
            .map_err(|source| StoreError::WriteSnapshot { path: self.path.clone(), source })?)
    }
}
