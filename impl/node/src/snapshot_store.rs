//! Snapshots as files: written beside, synced, renamed, and named by what they hold.
//!
//! The *handle* that raft-core carries is the file's name: the position in the log, the length and
//! the checksum. So a file says by itself whether it is whole, a follower knows what it is about to
//! receive, and two servers that took the same snapshot gave it the same name.

use std::fmt;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use raft_core::{Bytes, Index, LogPosition, Snapshot, Term};

use crate::directory::{Directory, File};
use crate::state_machine::{SnapshotView, StateMachineError};

/// How many bytes of a snapshot are written between two calls to sync them. Small parts keep the
/// disk's queue short, and so the log's own syncs quick.
const SYNC_EVERY: u64 = 256 << 10;

/// How much is read at a time, in bytes.
const CHUNK: usize = 256 << 10;

/// What the file of a snapshot that is being taken is called.
const TAKING: &str = "taking";

/// What stands before the name of a snapshot that is being received.
const INCOMING: &str = "incoming-";

/// What a snapshot's file is called, and what it must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotName {
    /// The last entry that it covers.
    pub last_included: LogPosition,
    /// The length of the file, in bytes.
    pub length: u64,
    /// The CRC-32 of the file.
    pub checksum: u32,
}

impl SnapshotName {
    /// The name as the handle that raft-core carries.
    pub fn handle(&self) -> Bytes {
        Bytes::from(self.to_string().as_str())
    }

    /// The name in a snapshot's handle.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::BadName`] if it is none, or that of another position.
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
        // Exactly what `Display` writes, so that a name from the network is no path.
        if name.to_string() == text { Ok(name) } else { Err(()) }
    }
}

/// What can be wrong with a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A handle is not the name of a snapshot, or of another one.
    #[error("\"{0}\" is not the name of this snapshot")]
    BadName(String),
    /// A file is not what its name says.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
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
        /// What happened.
        error: io::Error,
    },
}

/// A directory of snapshots.
#[derive(Clone, Debug)]
pub struct SnapshotStore {
    directory: Arc<dyn Directory>,
    /// How fast files are written, in bytes per second.
    rate: u64,
    /// The snapshot that is being received, if this process has written all that is here of it, and no
    /// sync of it failed.
    begun: Arc<Mutex<Option<SnapshotName>>>,
}

impl SnapshotStore {
    /// The snapshots in a directory. Files are written at `rate` bytes per second at most.
    pub fn new(directory: Arc<dyn Directory>, rate: u64) -> SnapshotStore {
        SnapshotStore { directory, rate, begun: Arc::default() }
    }

    /// Writes a view out, durably, under its name. A crash leaves either the whole file or a part
    /// that [`clean`](SnapshotStore::clean) removes.
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

    /// Opens the file, which has to be there with the length that its name says. Its contents are
    /// compared when they are used.
    ///
    /// # Errors
    ///
    /// It is not.
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

    /// Whether the snapshot is here, durably: if it is, its name is synced once more, because the
    /// process that gave it may have ended before it did that.
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

    /// Removes everything but this snapshot and those further on in the log. Files that somebody
    /// still reads go away when they are done.
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

    /// Removes what a crash has left: a snapshot that was being taken, and those that the log does
    /// not refer to. What was being received stays, and is gone on with.
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

    /// Begins to receive a snapshot, or goes on where a broken connection left off. What an earlier
    /// process has received is written again: it may have ended because it could not be synced, and is
    /// read all the same.
    ///
    /// # Errors
    ///
    /// The file system fails.
    pub fn receive(&self, name: SnapshotName) -> Result<Incoming, SnapshotError> {
        let part = format!("{INCOMING}{name}");
        // Only one snapshot is received at a time, the newest; what is left of others is of no use.
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

    /// A file could not be written or synced. It goes away: what is read of it may never reach the disk,
    /// and a later sync would not say so.
    fn give_up(&self, part: &str, error: io::Error) -> SnapshotError {
        *self.begun() = None;
        // If that fails as well, the first failure says more.
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

/// What is in a file, from a place on.
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

/// A snapshot that is being read; at the end it must turn out to be what its name says.
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
    /// Reads no faster than the store writes: what becomes of the bytes is written, too.
    #[must_use]
    pub fn paced(self, store: &SnapshotStore) -> SnapshotReader {
        SnapshotReader { pace: Some(Pace::new(store.rate)), ..self }
    }

    /// Compares what was read, which has to be everything, with the name.
    ///
    /// # Errors
    ///
    /// It is something else.
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
    /// How many bytes are here.
    pub fn length(&self) -> u64 {
        self.paced.length
    }

    /// Adds the next bytes.
    ///
    /// # Errors
    ///
    /// They are not the next ones, too many, or the file system fails.
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

    /// Makes the file durable and gives it its name.
    ///
    /// # Errors
    ///
    /// It is not what the name says (and is removed, so that the next attempt begins at the start),
    /// or the file system fails.
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

/// How many bytes of a snapshot may pass at four times the rate: what is small is soon done, and the
/// log soon short again.
const BURST: u64 = 128 << 20;

/// Lets bytes pass no faster than a rate, but for the first ones.
#[derive(Debug)]
struct Pace {
    /// In bytes per second.
    rate: u64,
    began: Instant,
    passed: u64,
}

impl Pace {
    fn new(rate: u64) -> Pace {
        Pace { rate: rate.max(1), began: Instant::now(), passed: 0 }
    }

    /// Waits until all that passed was allowed to.
    fn wait(&self) {
        let burst = self.passed.min(BURST);
        let quarters = 4 * u128::from(self.passed - burst) + u128::from(burst);
        let nanoseconds = quarters * 250_000_000 / u128::from(self.rate);
        let due = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        std::thread::sleep(due.saturating_sub(self.began.elapsed()));
    }
}

/// A file that is written no faster than a rate, and synced as it grows.
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
