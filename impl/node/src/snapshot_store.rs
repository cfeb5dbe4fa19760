//! Snapshots as files: written beside, synced, renamed, and named by what they hold.
//!
//! The *handle* that raft-core carries is the file's name: the position in the log, the length and
//! the checksum. So a file says by itself whether it is whole, a follower knows what it is about to
//! receive, and two servers that took the same snapshot gave it the same name.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use raft_core::{Bytes, Index, LogPosition, Snapshot, Term};

use crate::state_machine::{SnapshotView, StateMachineError};

/// How many bytes of a snapshot are written between two calls to sync them. Small parts keep the
/// disk's queue short, and so the log's own syncs quick.
const SYNC_EVERY: u64 = 256 << 10;

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
    directory: PathBuf,
    /// How fast files are written, in bytes per second.
    rate: u64,
}

impl SnapshotStore {
    /// Opens the directory, or makes it. Files are written at `rate` bytes per second at most.
    ///
    /// # Errors
    ///
    /// The file system fails.
    pub fn open(directory: &Path, rate: u64) -> Result<SnapshotStore, SnapshotError> {
        let store = SnapshotStore { directory: directory.to_owned(), rate };
        fs::create_dir_all(directory).map_err(store.io(directory))?;
        Ok(store)
    }

    /// Where a snapshot's file is, or would be.
    pub fn path(&self, name: SnapshotName) -> PathBuf {
        self.directory.join(name.to_string())
    }

    /// Writes a view out, durably, under its name. A crash leaves either the whole file or a part
    /// that [`keep_only`](SnapshotStore::keep_only) removes.
    ///
    /// # Errors
    ///
    /// The state machine or the file system fails.
    pub fn store(
        &self,
        view: &dyn SnapshotView,
        term: Term,
    ) -> Result<SnapshotName, SnapshotError> {
        let part = self.directory.join(TAKING);
        let file = File::create(&part).map_err(self.io(&part))?;
        let mut out = BufWriter::with_capacity(256 << 10, Paced::new(file, self.rate));
        view.write_to(&mut out).map_err(SnapshotError::StateMachine)?;
        let paced = out.into_inner().map_err(|error| self.io(&part)(error.into_error()))?;
        paced.file.sync_all().map_err(self.io(&part))?;
        let name = SnapshotName {
            last_included: LogPosition { term, index: view.index() },
            length: paced.length,
            checksum: paced.checksum.finalize(),
        };
        self.publish(&part, name)?;
        Ok(name)
    }

    fn publish(&self, part: &Path, name: SnapshotName) -> Result<(), SnapshotError> {
        let path = self.path(name);
        fs::rename(part, &path).map_err(self.io(&path))?;
        let directory = File::open(&self.directory).map_err(self.io(&self.directory))?;
        directory.sync_all().map_err(self.io(&self.directory))
    }

    /// Reads a snapshot to the end and compares it with its name.
    ///
    /// # Errors
    ///
    /// The file is missing, damaged, or cannot be read.
    pub fn verify(&self, name: SnapshotName) -> Result<(), SnapshotError> {
        let mut data = self.read(name)?;
        io::copy(&mut data, &mut io::sink()).map_err(self.io(&self.path(name)))?;
        data.finish()
    }

    /// Whether the file is there with the length that its name says. Its contents are compared when
    /// they are used.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn require(&self, name: SnapshotName) -> Result<(), SnapshotError> {
        let path = self.path(name);
        let found = fs::metadata(&path).map_err(self.io(&path))?.len();
        if found == name.length {
            return Ok(());
        }
        let reason = format!("{found} bytes instead of {}", name.length);
        Err(SnapshotError::Damaged { path, reason })
    }

    /// Opens a snapshot for reading.
    ///
    /// # Errors
    ///
    /// As for [`require`](SnapshotStore::require).
    pub fn read(&self, name: SnapshotName) -> Result<SnapshotReader, SnapshotError> {
        self.require(name)?;
        let path = self.path(name);
        let file = File::open(&path).map_err(self.io(&path))?;
        let inner = BufReader::with_capacity(256 << 10, file);
        let checksum = crc32fast::Hasher::new();
        Ok(SnapshotReader { inner, path, name, checksum, pace: None })
    }

    /// Removes everything but this snapshot and those further on in the log. Files that somebody
    /// still reads go away when they are done.
    ///
    /// # Errors
    ///
    /// The file system fails.
    pub fn keep_only(&self, keep: Option<SnapshotName>) -> Result<(), SnapshotError> {
        let base = keep.map_or(Index::ZERO, |name| name.last_included.index);
        for entry in fs::read_dir(&self.directory).map_err(self.io(&self.directory))? {
            let entry = entry.map_err(self.io(&self.directory))?;
            let name = entry.file_name();
            let name = name.to_str().and_then(|name| name.parse::<SnapshotName>().ok());
            let stays =
                name.is_none_or(|name| Some(name) == keep || name.last_included.index > base);
            if !stays {
                fs::remove_file(entry.path()).map_err(self.io(&entry.path()))?;
            }
        }
        Ok(())
    }

    /// Removes what a crash has left: a snapshot that was being taken, and those that the log does
    /// not refer to. What was being received stays, and is gone on with.
    ///
    /// # Errors
    ///
    /// The file system fails.
    pub fn clean(&self, keep: Option<SnapshotName>) -> Result<(), SnapshotError> {
        for entry in fs::read_dir(&self.directory).map_err(self.io(&self.directory))? {
            let entry = entry.map_err(self.io(&self.directory))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let ours = name.starts_with("snapshot-") || name == TAKING;
            if ours && keep.map(|keep| keep.to_string()) != Some(name) {
                fs::remove_file(entry.path()).map_err(self.io(&entry.path()))?;
            }
        }
        Ok(())
    }

    /// Begins to receive a snapshot, or goes on where a broken connection left off.
    ///
    /// # Errors
    ///
    /// The file system fails.
    pub fn receive(&self, name: SnapshotName) -> Result<Incoming, SnapshotError> {
        let part = self.directory.join(format!("{INCOMING}{name}"));
        self.remove_other_parts(&part)?;
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&part);
        let mut file = open.map_err(self.io(&part))?;
        let mut checksum = crc32fast::Hasher::new();
        let mut length = 0;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let read = file.read(&mut buffer).map_err(self.io(&part))?;
            if read == 0 {
                break;
            }
            checksum.update(&buffer[..read]);
            length += read as u64;
        }
        if length > name.length {
            file.set_len(0).map_err(self.io(&part))?;
            file.seek(SeekFrom::Start(0)).map_err(self.io(&part))?;
            (checksum, length) = (crc32fast::Hasher::new(), 0);
        }
        let paced = Paced { checksum, length, ..Paced::new(file, self.rate) };
        Ok(Incoming { store: self.clone(), name, part, paced })
    }

    /// Only one snapshot is received at a time, the newest; what is left of others is of no use.
    fn remove_other_parts(&self, part: &Path) -> Result<(), SnapshotError> {
        for entry in fs::read_dir(&self.directory).map_err(self.io(&self.directory))? {
            let path = entry.map_err(self.io(&self.directory))?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            if name.is_some_and(|name| name.starts_with(INCOMING)) && path != part {
                fs::remove_file(&path).map_err(self.io(&path))?;
            }
        }
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "reads as a sentence at the place of the error")]
    fn io(&self, path: &Path) -> impl FnOnce(io::Error) -> SnapshotError + use<> {
        let path = path.to_owned();
        move |error| SnapshotError::Io { path, error }
    }
}

/// A snapshot that is being read; at the end it must turn out to be what its name says.
#[derive(Debug)]
pub struct SnapshotReader {
    inner: BufReader<File>,
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
    part: PathBuf,
    paced: Paced,
}

impl Incoming {
    /// How many bytes are here.
    pub fn length(&self) -> u64 {
        self.paced.length
    }

    /// Adds the next bytes; true if that was all.
    ///
    /// # Errors
    ///
    /// They are not the next ones, too many, or the file system fails.
    pub fn add(&mut self, offset: u64, data: &[u8]) -> Result<bool, SnapshotError> {
        let end = self.paced.length.saturating_add(data.len() as u64);
        if offset != self.paced.length || end > self.name.length {
            let reason = format!("bytes {offset} to {end} do not belong at {}", self.paced.length);
            return Err(SnapshotError::Damaged { path: self.part.clone(), reason });
        }
        self.paced.write_all(data).map_err(self.store.io(&self.part))?;
        Ok(end == self.name.length)
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
            fs::remove_file(&part).map_err(store.io(&part))?;
            let reason = "what arrived is not what was announced".to_owned();
            return Err(SnapshotError::Damaged { path: part, reason });
        }
        paced.file.sync_all().map_err(store.io(&part))?;
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
        let written = self.file.write(data)?;
        self.checksum.update(&data[..written]);
        self.length += written as u64;
        self.pace.passed += written as u64;
        self.unsynced += written as u64;
        if self.unsynced >= SYNC_EVERY {
            self.file.sync_data()?;
            self.unsynced = 0;
            self.pace.wait();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
