//! Snapshots as files. A snapshot is written under a temporary name, synced, and then renamed. Its
//! final name describes its contents.
//!
//! The *handle* that raft-core carries is the name of the file. It consists of the position in the
//! log, the length and the checksum. So a file can be verified with its name alone, a follower
//! knows the length and checksum before it receives a file, and two servers that take the same
//! snapshot give it the same name.

use std::fmt;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use raft_core::{Bytes, Index, LogPosition, Snapshot, Term};

use crate::directory::{Directory, File};
use crate::state_machine::{SnapshotView, StateMachineError};

/// The number of bytes of a snapshot that are written between two syncs. Small parts keep the
/// disk's queue short, so that the syncs of the log stay fast.
const SYNC_EVERY: u64 = 256 << 10;

/// The number of bytes that are read at a time.
const CHUNK: usize = 256 << 10;

/// The name of the file of a snapshot that is being taken.
const TAKING: &str = "taking";

/// The prefix of the file name of a snapshot that is being received.
const INCOMING: &str = "incoming-";

/// The name of a snapshot's file, which describes the contents of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotName {
    /// The position of the last entry that the snapshot covers.
    pub last_included: LogPosition,
    /// The length of the file, in bytes.
    pub length: u64,
    /// The CRC-32 of the file.
    pub checksum: u32,
}

impl SnapshotName {
    /// Returns the name as the handle that raft-core carries.
    pub fn handle(&self) -> Bytes {
        Bytes::from(self.to_string().as_str())
    }

    /// Returns the name in a snapshot's handle.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::BadName`] if the handle is not a name, or is the name for another position.
    pub fn of(snapshot: &Snapshot) -> Result<SnapshotName, SnapshotError> {
        let bad = || SnapshotError::BadName(snapshot.handle.to_string());
        let text = std::str::from_utf8(snapshot.handle.as_slice()).map_err(|_| bad())?;
        let name: SnapshotName = text.parse().map_err(|()| bad())?;
        let position =
            LogPosition { term: snapshot.last_included_term, index: snapshot.last_included_index };
        if name.last_included == position { Ok(name) } else { Err(bad()) }
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SnapshotName { last_included: LogPosition { term, index }, length, checksum } = self;
        write!(f, "snapshot-{index}-{term}-{length}-{checksum:08x}")
    }
}

impl FromStr for SnapshotName {
    type Err = ();

    fn from_str(text: &str) -> Result<SnapshotName, ()> {
        let mut parts = text.strip_prefix("snapshot-").ok_or(())?.split('-');
        let mut number = || parts.next().ok_or(())?.parse::<u64>().map_err(|_| ());
        let (index, term, length) = (Index(number()?), Term(number()?), number()?);
        let checksum = u32::from_str_radix(parts.next().ok_or(())?, 16).map_err(|_| ())?;
        let name = SnapshotName { last_included: LogPosition { term, index }, length, checksum };
        // Only the output of `Display` is accepted, so that a name from the network cannot be a
        // path.
        if name.to_string() == text { Ok(name) } else { Err(()) }
    }
}

/// An error of a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The handle is not the name of a snapshot, or is the name of another snapshot.
    #[error("\"{0}\" is not the name of this snapshot")]
    BadName(String),
    /// The contents of a file do not match its name.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The mismatch.
        reason: String,
    },
    /// The state machine could not be written or read.
    #[error("the state machine: {0}")]
    StateMachine(StateMachineError),
    /// The file system failed.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
}

/// A directory of snapshots.
#[derive(Clone, Debug)]
pub struct SnapshotStore {
    directory: Arc<dyn Directory>,
    /// The rate at which files are written, in bytes per second.
    rate: u64,
    /// The snapshot that is being received, if this process has written all bytes that are in its
    /// file, and no sync of the file has failed.
    begun: Arc<Mutex<Option<SnapshotName>>>,
}

impl SnapshotStore {
    /// Creates a store for the snapshots in a directory. Files are written at a rate of `rate`
    /// bytes per second.
    pub fn new(directory: Arc<dyn Directory>, rate: u64) -> SnapshotStore {
        SnapshotStore { directory, rate, begun: Arc::default() }
    }

    /// Writes a view durably to a file under its final name. A crash leaves either the complete
    /// file or a partial file that [`clean`](SnapshotStore::clean) removes.
    ///
    /// # Errors
    ///
    /// The state machine or the file system fails.
    pub fn store(
        &self,
        view: &dyn SnapshotView,
        term: Term,
    ) -> Result<SnapshotName, SnapshotError> {
        let file = self.directory.create(TAKING).map_err(self.io(TAKING))?;
        let mut out = BufWriter::with_capacity(256 << 10, Paced::new(file, self.rate));
        view.write_to(&mut out).map_err(SnapshotError::StateMachine)?;
        let paced = out.into_inner().map_err(|error| self.io(TAKING)(error.into_error()))?;
        paced.file.sync_data().map_err(self.io(TAKING))?;
        let name = SnapshotName {
            last_included: LogPosition { term, index: view.index() },
            length: paced.length,
            checksum: paced.checksum.finalize(),
        };
        self.publish(TAKING, name)?;
        Ok(name)
    }

    fn publish(&self, part: &str, name: SnapshotName) -> Result<(), SnapshotError> {
        let name = name.to_string();
        self.directory.rename(part, &name).map_err(self.io(&name))?;
        self.sync_names()
    }

    /// Makes the names of the files durable.
    ///
    /// # Errors
    ///
    /// The file system fails.
    pub fn sync_names(&self) -> Result<(), SnapshotError> {
        self.directory.sync().map_err(self.io(""))
    }

    /// Reads a snapshot to the end and compares it with its name.
    ///
    /// # Errors
    ///
    /// The file is missing, damaged, or cannot be read.
    pub fn verify(&self, name: SnapshotName) -> Result<(), SnapshotError> {
        let mut data = self.read(name)?;
        io::copy(&mut data, &mut io::sink()).map_err(self.io(&name.to_string()))?;
        data.finish()
    }

    /// Opens the file of a snapshot. The file must exist and have the length in its name. The
    /// checksum is verified when the contents are used.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, or has another length.
    pub fn open(&self, name: SnapshotName) -> Result<File, SnapshotError> {
        let text = name.to_string();
        let file = self.directory.open(&text).map_err(self.io(&text))?;
        let found = file.len().map_err(self.io(&text))?;
        if found == name.length {
            return Ok(file);
        }
        let reason = format!("{found} bytes instead of {}", name.length);
        Err(SnapshotError::Damaged { path: self.directory.path(&text), reason })
    }

    /// Returns whether the snapshot is stored durably. If the file exists, its name is synced once
    /// more, because the process that renamed the file may have ended before its sync.
    ///
    /// # Errors
    ///
    /// The file system fails.
    pub fn has(&self, name: SnapshotName) -> Result<bool, SnapshotError> {
        if self.open(name).is_err() {
            return Ok(false);
        }
        self.directory.sync().map_err(self.io(&name.to_string()))?;
        Ok(true)
    }

    /// Opens a snapshot for reading.
    ///
    /// # Errors
    ///
    /// As for [`open`](SnapshotStore::open).
    pub fn read(&self, name: SnapshotName) -> Result<SnapshotReader, SnapshotError> {
        let contents = Contents { file: self.open(name)?, offset: 0, length: name.length };
        Ok(SnapshotReader {
            inner: BufReader::with_capacity(256 << 10, contents),
            path: self.directory.path(&name.to_string()),
            name,
            checksum: crc32fast::Hasher::new(),
            pace: None,
        })
    }

    /// Removes all snapshots except this one and those with a higher index. A file that is open can
    /// still be read until it is closed.
    ///
    /// # Errors
    ///
    /// The file system fails.
    pub fn keep_only(&self, keep: SnapshotName) -> Result<(), SnapshotError> {
        self.remove_all(|file| {
            let name = file.parse::<SnapshotName>();
            name.is_ok_and(|name| {
                name != keep && name.last_included.index <= keep.last_included.index
            })
        })
    }

    /// Removes the files that a crash has left: a snapshot that was being taken, and snapshots that
    /// the log does not refer to. The file of a snapshot that was being received is kept, so that
    /// the transfer can continue.
    ///
    /// # Errors
    ///
    /// The file system fails.
    pub fn clean(&self, keep: Option<SnapshotName>) -> Result<(), SnapshotError> {
        let keep = keep.map(|keep| keep.to_string());
        self.remove_all(|file| {
            let ours = file.starts_with("snapshot-") || file == TAKING;
            ours && keep.as_deref() != Some(file)
        })
    }

    fn remove_all(&self, unwanted: impl Fn(&str) -> bool) -> Result<(), SnapshotError> {
        for file in self.directory.list().map_err(self.io(""))? {
            if unwanted(&file) {
                self.directory.remove(&file).map_err(self.io(&file))?;
            }
        }
        Ok(())
    }

    /// Begins to receive a snapshot, or continues where a broken connection ended. The data that an
    /// earlier process received is written again: that process may have ended because the data
    /// could not be synced, and the data can be read nevertheless.
    ///
    /// # Errors
    ///
    /// The file system fails.
    pub fn receive(&self, name: SnapshotName) -> Result<Incoming, SnapshotError> {
        let part = format!("{INCOMING}{name}");
        // Only one snapshot is received at a time, the newest. Partial files of other snapshots are
        // of no use.
        self.remove_all(|file| file.starts_with(INCOMING) && file != part)?;
        let there = self.directory.contains(&part).map_err(self.io(&part))?;
        let opened = if there { self.directory.open(&part) } else { self.directory.create(&part) };
        let mut file = opened.map_err(self.io(&part))?;
        let mut length = file.len().map_err(self.io(&part))?;
        if length > name.length {
            file = self.directory.create(&part).map_err(self.io(&part))?;
            length = 0;
        }
        let ours = self.begun().take() == Some(name);
        let mut contents = Contents { file, offset: 0, length };
        let mut checksum = crc32fast::Hasher::new();
        let mut buffer = vec![0; usize::try_from(length).unwrap_or(CHUNK).min(CHUNK)];
        while contents.offset < length {
            let read = contents.read(&mut buffer).map_err(self.io(&part))?;
            checksum.update(&buffer[..read]);
            if !ours {
                let written = contents.file.write(contents.offset - read as u64, &buffer[..read]);
                written.map_err(self.io(&part))?;
            }
        }
        *self.begun() = Some(name);
        let paced = Paced { checksum, length, ..Paced::new(contents.file, self.rate) };
        Ok(Incoming { store: self.clone(), name, part, paced })
    }

    /// Removes a file that could not be written or synced. Its contents can be read, but may never
    /// reach the disk, and a later sync would not report that.
    fn give_up(&self, part: &str, error: io::Error) -> SnapshotError {
        *self.begun() = None;
        // If the removal fails as well, the first error is more useful.
        let _ = self.directory.remove(part);
        self.io(part)(error)
    }

    fn begun(&self) -> MutexGuard<'_, Option<SnapshotName>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn io(&self, name: &str) -> impl FnOnce(io::Error) -> SnapshotError + use<> {
        let path = self.directory.path(name);
        move |error| SnapshotError::Io { path, error }
    }
}

/// The contents of a file from an offset on.
#[derive(Debug)]
struct Contents {
    file: File,
    offset: u64,
    length: u64,
}

impl Read for Contents {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length - self.offset).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        self.file.read(self.offset, &mut buffer[..wanted])?;
        self.offset += wanted as u64;
        Ok(wanted)
    }
}

/// A reader of a snapshot, which compares the data with the name of the snapshot at the end.
#[derive(Debug)]
pub struct SnapshotReader {
    inner: BufReader<Contents>,
    path: PathBuf,
    name: SnapshotName,
    checksum: crc32fast::Hasher,
    pace: Option<Pace>,
}

impl Read for SnapshotReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.checksum.update(&buffer[..read]);
        if let Some(pace) = &mut self.pace {
            pace.passed += read as u64;
            pace.wait();
        }
        Ok(read)
    }
}

impl SnapshotReader {
    /// Limits the speed to the rate at which the store writes, because the state machine writes the
    /// data to the disk again.
    #[must_use]
    pub fn paced(self, store: &SnapshotStore) -> SnapshotReader {
        SnapshotReader { pace: Some(Pace::new(store.rate)), ..self }
    }

    /// Compares the checksum of the data with the name. The snapshot must have been read
    /// completely.
    ///
    /// # Errors
    ///
    /// The checksum does not match.
    pub fn finish(self) -> Result<(), SnapshotError> {
        if self.checksum.finalize() == self.name.checksum {
            return Ok(());
        }
        let reason = "its checksum is another one".to_owned();
        Err(SnapshotError::Damaged { path: self.path, reason })
    }
}

/// A snapshot that is being received.
#[derive(Debug)]
pub struct Incoming {
    store: SnapshotStore,
    name: SnapshotName,
    part: String,
    paced: Paced,
}

impl Incoming {
    /// Returns the number of bytes that have been received.
    pub fn length(&self) -> u64 {
        self.paced.length
    }

    /// Adds the next bytes.
    ///
    /// # Errors
    ///
    /// The bytes are not the next ones, there are too many of them, or the file system fails.
    pub fn add(&mut self, offset: u64, data: &[u8]) -> Result<(), SnapshotError> {
        let end = self.paced.length.saturating_add(data.len() as u64);
        if offset != self.paced.length || end > self.name.length {
            let reason = format!("bytes {offset} to {end} do not belong at {}", self.paced.length);
            let path = self.store.directory.path(&self.part);
            return Err(SnapshotError::Damaged { path, reason });
        }
        let added = self.paced.write_all(data);
        added.map_err(|error| self.store.give_up(&self.part, error))
    }

    /// Makes the file durable and gives it its final name.
    ///
    /// # Errors
    ///
    /// The file does not match the name, or the file system fails. A file that does not match is
    /// removed, so that the next attempt begins at the start.
    pub fn finish(self) -> Result<(), SnapshotError> {
        let Incoming { store, name, part, paced } = self;
        if paced.length != name.length || paced.checksum.finalize() != name.checksum {
            store.directory.remove(&part).map_err(store.io(&part))?;
            let reason = "what arrived is not what was announced".to_owned();
            return Err(SnapshotError::Damaged { path: store.directory.path(&part), reason });
        }
        paced.file.sync_data().map_err(|error| store.give_up(&part, error))?;
        store.publish(&part, name)
    }
}

/// The number of bytes of a snapshot that may pass at four times the rate. So a small snapshot is
/// finished soon, and the log can be compacted soon.
const BURST: u64 = 128 << 20;

/// A limit on the rate of bytes. The first [`BURST`] bytes may pass at four times the rate.
#[derive(Debug)]
struct Pace {
    /// The rate, in bytes per second.
    rate: u64,
    began: Instant,
    passed: u64,
}

impl Pace {
    fn new(rate: u64) -> Pace {
        Pace { rate: rate.max(1), began: Instant::now(), passed: 0 }
    }

    /// Waits until the rate permits the bytes that have passed.
    fn wait(&self) {
        let burst = self.passed.min(BURST);
        let quarters = 4 * u128::from(self.passed - burst) + u128::from(burst);
        let nanoseconds = quarters * 250_000_000 / u128::from(self.rate);
        let due = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        std::thread::sleep(due.saturating_sub(self.began.elapsed()));
    }
}

/// A file that is written at a limited rate, and synced as it grows.
#[derive(Debug)]
struct Paced {
    file: File,
    checksum: crc32fast::Hasher,
    length: u64,
    unsynced: u64,
    pace: Pace,
}

impl Paced {
    fn new(file: File, rate: u64) -> Paced {
        let checksum = crc32fast::Hasher::new();
        Paced { file, checksum, length: 0, unsynced: 0, pace: Pace::new(rate) }
    }
}

impl Write for Paced {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.file.write(self.length, data)?;
        self.checksum.update(data);
        self.length += data.len() as u64;
        self.pace.passed += data.len() as u64;
        self.unsynced += data.len() as u64;
        if self.unsynced >= SYNC_EVERY {
            self.file.sync_data()?;
            self.unsynced = 0;
            self.pace.wait();
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
