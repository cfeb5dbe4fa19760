//! Term, vote, log and snapshot base on a disk: one redb file, one durable transaction for any
//! number of writes.
//!
//! Entries stand in *runs*: a row holds the consecutive entries that one transaction appended, under
//! the index of the first. So a transaction costs one row however many entries it brings, which is
//! what makes group commit cheap. A run is cut when its tail is overwritten, and goes away when a
//! snapshot covers all of it; until then the entries that are covered are skipped.
//!
//! # Torn or damaged?
//!
//! After a crash, redb falls back to the transaction before the last one if the last one is not
//! whole. That is right for a transaction that was being written, and a silent loss for one that had
//! been acknowledged and was damaged since. So transactions are numbered, and a *witness* beside the
//! file, written after each sync and never synced itself, holds the number of the last one that was
//! acknowledged. If the log is behind its witness, it is damaged.

use std::collections::VecDeque;
use std::io;

use raft_core::{
    Entry, Index, Log, LogWrite, NodeId, PersistentState, Snapshot, VoteRecord, Write,
};
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// One table for everything: what changes with most transactions then stands on one page, right
/// behind the newest run.
const ROWS: TableDefinition<u64, &[u8]> = TableDefinition::new("log");

/// Rows from here on are not runs. Indexes end far below.
const NOT_RUNS: u64 = u64::MAX - 3;
const IDENTITY: u64 = u64::MAX - 3;
const BASE: u64 = u64::MAX - 2;
const VOTE: u64 = u64::MAX - 1;
const NUMBER: u64 = u64::MAX;

/// The version of the layout that this program writes, and the only one that it reads.
const FORMAT: u32 = 1;

/// How many covered runs one transaction removes at most, so that compaction stalls no write.
const RUNS_REMOVED_AT_ONCE: usize = 64;

/// How much of the file redb may keep in memory, in bytes. The node itself holds the whole log.
const CACHE: usize = 16 << 20;

/// Whose disk this is. Written once, and checked at every start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The name of the cluster.
    pub cluster: String,
    /// The server.
    pub node: NodeId,
    /// The name of the disk, chosen at random when it was first used.
    pub disk: u64,
}

/// Why a log cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum LogStoreError {
    /// Another process has it open.
    #[error("another process is using it; a server's data belongs to one process")]
    InUse,
    /// It belongs to another server.
    #[error(
        "it belongs to {} of cluster \"{}\", not to {} of cluster \"{}\"; \
         check the configuration, or choose another data directory",
        found.node, found.cluster, wanted.node, wanted.cluster
    )]
    Foreign {
        /// Whose disk it is.
        found: Box<Identity>,
        /// Whose disk was wanted.
        wanted: Box<Identity>,
    },
    /// It was written in another layout.
    #[error("its layout has version {0}, this program reads version {FORMAT}")]
    Format(u32),
    /// Its contents contradict themselves.
    #[error(
        "it is damaged: {0}. Nothing was changed. Restore the file from a copy, or replace the \
         whole server"
    )]
    Damaged(String),
    /// The disk or the file system failed.
    #[error("{0}")]
    Io(io::Error),
    /// redb failed otherwise.
    #[error("{0}")]
    Store(Box<redb::Error>),
}

impl<E: Into<redb::Error>> From<E> for LogStoreError {
    fn from(error: E) -> LogStoreError {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen => LogStoreError::InUse,
            redb::Error::Corrupted(what) => LogStoreError::Damaged(what),
            redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                LogStoreError::Damaged(error.to_string())
            }
            redb::Error::Io(error) => LogStoreError::Io(error),
            other => LogStoreError::Store(Box::new(other)),
        }
    }
}

/// The number of the last acknowledged transaction, in a file of its own.
#[derive(Debug)]
struct Witness(Box<dyn StorageBackend>);

impl Witness {
    /// What it says, unless it says nothing or was torn itself.
    fn read(&self) -> io::Result<Option<u64>> {
        let mut bytes = [0; 12];
        if self.0.len()? < bytes.len() as u64 {
            return Ok(None);
        }
        self.0.read(0, &mut bytes)?;
        let ([n0, n1, n2, n3, n4, n5, n6, n7, ..], [.., c0, c1, c2, c3]) = (bytes, bytes);
        let number = [n0, n1, n2, n3, n4, n5, n6, n7];
        let whole = crc32fast::hash(&number) == u32::from_le_bytes([c0, c1, c2, c3]);
        Ok(whole.then(|| u64::from_le_bytes(number)))
    }

    fn write(&self, number: u64) -> io::Result<()> {
        let number = number.to_le_bytes();
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&number);
        bytes[8..].copy_from_slice(&crc32fast::hash(&number).to_le_bytes());
        if self.0.len()? < bytes.len() as u64 {
            self.0.set_len(bytes.len() as u64)?;
        }
        self.0.write(0, &bytes)
    }
}

/// A log on a disk. After an error the disk's state is unknown, and the store must not be used again
/// (a failed fsync may have dropped the very pages that it did not write).
#[derive(Debug)]
pub struct LogStore {
    database: Database,
    witness: Witness,
    identity: Identity,
    /// The number of the last transaction.
    number: u64,
    base: Index,
    last: Index,
}

impl LogStore {
    /// Opens the log, or makes an empty one, and reads all of it. `wanted` says whose it has to be;
    /// its disk name is used for a new one only.
    ///
    /// A transaction that was cut short by a crash or a power loss has no effect; everything that was
    /// ever reported durable is there, or this fails.
    ///
    /// # Errors
    ///
    /// It is in use, somebody else's, damaged, or cannot be read.
    pub fn open(
        backend: impl StorageBackend,
        witness: impl StorageBackend,
        wanted: &Identity,
    ) -> Result<(LogStore, PersistentState), LogStoreError> {
        let database = Database::builder()
            .set_cache_size(CACHE)
            .set_check_integrity_on_open(true)
            .create_with_backend(backend)?;
        let witness = Witness(Box::new(witness));
        let transaction = database.begin_write()?;
        let (identity, number, state) = {
            let mut rows = transaction.open_table(ROWS)?;
            let number = read(&rows, NUMBER)?.unwrap_or(0);
            if let Some(acknowledged) = witness.read().map_err(LogStoreError::Io)?
                && acknowledged > number
            {
                return Err(LogStoreError::Damaged(format!(
                    "transaction {acknowledged} was acknowledged, the last that can be read is \
                     {number}"
                )));
            }
            let identity = own(&mut rows, wanted)?;
            let number = number + 1;
            rows.insert(NUMBER, encode(&number).as_slice())?;
            let state = read_state(&rows)?;
            (identity, number, state)
        };
        transaction.commit()?;
        witness.write(number).map_err(LogStoreError::Io)?;
        let (base, last) = (state.log.base().index, state.log.last_index());
        Ok((LogStore { database, witness, identity, number, base, last }, state))
    }

    /// Whose disk this is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Puts writes on the disk, in order, all of them or none; when this returns, they are durable.
    ///
    /// # Errors
    ///
    /// The disk failed. It is unknown what is on it now.
    pub fn commit(&mut self, writes: Vec<Write>) -> Result<(), LogStoreError> {
        let mut vote = None;
        let mut changes = VecDeque::new();
        for write in writes {
            vote = write.vote.or(vote);
            if let Some(change) = write.log {
                coalesce(&mut changes, change);
            }
        }
        let number = self.number + 1;
        let transaction = self.database.begin_write()?;
        let mut rows = transaction.open_table(ROWS)?;
        rows.insert(NUMBER, encode(&number).as_slice())?;
        if let Some(vote) = vote {
            rows.insert(VOTE, encode(&vote).as_slice())?;
        }
        for change in changes {
            match change {
                LogWrite::Append { first, entries } => {
                    self.truncate_from(&mut rows, first)?;
                    rows.insert(first.0, encode(&entries).as_slice())?;
                    self.last = first.prev().plus(entries.len());
                }
                LogWrite::Compact(snapshot) => {
                    self.base = snapshot.last_included_index;
                    rows.insert(BASE, encode(&snapshot).as_slice())?;
                }
                LogWrite::Install(snapshot) => {
                    rows.retain_in(..NOT_RUNS, |_, _| false)?;
                    self.base = snapshot.last_included_index;
                    self.last = self.base;
                    rows.insert(BASE, encode(&snapshot).as_slice())?;
                }
            }
        }
        self.remove_covered(&mut rows)?;
        drop(rows);
        transaction.commit()?;
        self.number = number;
        self.witness.write(number).map_err(LogStoreError::Io)
    }

    /// Removes the entries from `first` on.
    fn truncate_from(&self, rows: &mut Rows<'_>, first: Index) -> Result<(), LogStoreError> {
        if first > self.last {
            return Ok(());
        }
        while let Some((start, entries)) = last_run(rows)? {
            if start >= first.0 {
                rows.remove(start)?;
                continue;
            }
            let kept = usize::try_from(first.0 - start).unwrap_or(usize::MAX);
            if kept < entries.len() {
                rows.insert(start, encode(&entries[..kept].to_vec()).as_slice())?;
            }
            break;
        }
        Ok(())
    }

    /// Removes runs that the snapshot covers, oldest first, a few at a time.
    fn remove_covered(&self, rows: &mut Rows<'_>) -> Result<(), LogStoreError> {
        for _ in 0..RUNS_REMOVED_AT_ONCE {
            let start = rows.first()?.map_or(NOT_RUNS, |(start, _)| start.value());
            if start > self.base.0 {
                break;
            }
            let following = rows.range(start + 1..NOT_RUNS)?.next().transpose()?;
            let end = following.map_or(self.last.0, |(next, _)| next.value() - 1);
            if end > self.base.0 {
                break;
            }
            rows.remove(start)?;
        }
        Ok(())
    }

    /// Reads everything again, as a start would.
    ///
    /// # Errors
    ///
    /// As for [`open`](LogStore::open).
    pub fn read(&self) -> Result<PersistentState, LogStoreError> {
        let transaction = self.database.begin_read()?;
        read_state(&transaction.open_table(ROWS)?)
    }
}

/// Whose disk this is; a new one becomes that of whoever wants it.
fn own(rows: &mut Rows<'_>, wanted: &Identity) -> Result<Identity, LogStoreError> {
    match read::<(u32, Identity)>(rows, IDENTITY)? {
        None => {
            rows.insert(IDENTITY, encode(&(FORMAT, wanted)).as_slice())?;
            Ok(wanted.clone())
        }
        Some((FORMAT, found)) if (&found.cluster, found.node) == (&wanted.cluster, wanted.node) => {
            Ok(found)
        }
        Some((FORMAT, found)) => {
            Err(LogStoreError::Foreign { found: Box::new(found), wanted: Box::new(wanted.clone()) })
        }
        Some((format, _)) => Err(LogStoreError::Format(format)),
    }
}

fn read_state(
    rows: &impl ReadableTable<u64, &'static [u8]>,
) -> Result<PersistentState, LogStoreError> {
    let vote: Option<VoteRecord> = read(rows, VOTE)?;
    let base = read(rows, BASE)?.unwrap_or_else(Snapshot::none);
    let entries = read_entries(rows, base.last_included_index)?;
    Ok(PersistentState {
        current_term: vote.map_or_else(Default::default, |vote| vote.current_term),
        voted_for: vote.and_then(|vote| vote.voted_for),
        log: Log::new(base, entries),
    })
}

type Rows<'a> = redb::Table<'a, u64, &'static [u8]>;

/// Adds a change to those that wait, as part of the last one if it continues or overwrites it.
fn coalesce(changes: &mut VecDeque<LogWrite>, change: LogWrite) {
    if let LogWrite::Append { first, entries } = &change
        && let Some(LogWrite::Append { first: start, entries: run }) = changes.back_mut()
        && *start <= *first
        && first.since(*start) <= run.len() as u64
    {
        run.truncate(usize::try_from(first.since(*start)).unwrap_or(usize::MAX));
        run.extend(entries.iter().cloned());
    } else {
        changes.push_back(change);
    }
}

fn last_run(rows: &Rows<'_>) -> Result<Option<(u64, Vec<Entry>)>, LogStoreError> {
    let Some((start, row)) = rows.range(..NOT_RUNS)?.next_back().transpose()? else {
        return Ok(None);
    };
    Ok(Some((start.value(), decode(row.value(), "a run of the log")?)))
}

fn read_entries(
    rows: &impl ReadableTable<u64, &'static [u8]>,
    base: Index,
) -> Result<Vec<Entry>, LogStoreError> {
    let mut entries = Vec::new();
    let mut next = base.next();
    for row in rows.range(..NOT_RUNS)? {
        let (start, row) = row?;
        let (start, run) = (Index(start.value()), decode::<Vec<Entry>>(row.value(), "a run")?);
        let end = start.prev().plus(run.len());
        if end < next {
            continue;
        }
        if start > next || (start < next && next > base.next()) {
            let what = format!("entry {next} is missing or twice there (a run begins at {start})");
            return Err(LogStoreError::Damaged(what));
        }
        let covered = usize::try_from(next.since(start)).unwrap_or(usize::MAX);
        entries.extend(run.into_iter().skip(covered));
        next = end.next();
    }
    Ok(entries)
}

fn read<T: DeserializeOwned>(
    rows: &impl ReadableTable<u64, &'static [u8]>,
    key: u64,
) -> Result<Option<T>, LogStoreError> {
    let Some(row) = rows.get(key)? else { return Ok(None) };
    decode(row.value(), "term, vote, base or number").map(Some)
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("plain data has a form in postcard")
}

fn decode<T: DeserializeOwned>(row: &[u8], what: &str) -> Result<T, LogStoreError> {
    match postcard::take_from_bytes(row) {
        Ok((value, [])) => Ok(value),
        _ => Err(LogStoreError::Damaged(format!("{what} cannot be decoded"))),
    }
}
