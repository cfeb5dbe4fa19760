//! Checkpoints: a search on the disk, between two rounds.
//!
//! A checkpoint has every kept state, with its messages and its parent, and the states that wait. What
//! can be computed again is left out. A file is a list of frames, each with its length and a checksum,
//! and ends with a frame that says so. It is written under another name, synced, and renamed, so a
//! file with the name of a checkpoint is complete.
//!
//! Processes that explore together write the same round, and remove the round before when all have
//! written. So once there is a checkpoint, there is always a round that all of them have. The header
//! says which run of the search it is of: checkpoints of two runs are never put together.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::antichains::{Antichains, SHARDS, ShardContent};
use super::definitions::{Defined, Definitions, Translation};
use super::expansion::{Observed, Parent};
use crate::local::Local;
use crate::system::System;

/// Where and when a search is saved.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    /// The folder. It is made if it does not exist.
    pub folder: PathBuf,
    /// The time between two checkpoints. One more is written when a search is stopped.
    pub every: Duration,
    /// The most bytes that the checkpoints of this process may take, old and new one together.
    pub limit: Option<u64>,
    /// Where the search starts.
    pub start: Start,
}

/// Where a search with checkpoints starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// At the beginning. The folder must have no checkpoint.
    Beginning,
    /// At the checkpoint in the folder. There must be one, and of one round for all processes.
    Checkpoint,
    /// At the checkpoint in the folder, or at the beginning if there is none.
    Either,
}

impl Start {
    /// Returns the round that a search goes on from; none if it starts at the beginning. `processes`
    /// has what each process was asked for, and the rounds that it has.
    pub(crate) fn round(
        processes: &[(Start, Vec<Round>)],
    ) -> Result<Option<Round>, CheckpointError> {
        let all_have = |round: &Round| processes.iter().all(|(_, rounds)| rounds.contains(round));
        let common =
            processes.iter().flat_map(|(_, rounds)| rounds).copied().filter(all_have).max();
        let any = |start| processes.iter().any(|(other, _)| *other == start);
        match common {
            Some(round) => Ok(Some(round)),
            None if any(Start::Checkpoint) => Err(CheckpointError::NoCommonRound),
            None => Ok(None),
        }
    }
}

/// A round of a run of the search. Two runs differ in what they have done after the same number of
/// rounds, so their checkpoints do not belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) number: u64,
    pub(crate) run: u64,
}

/// A failure to write or to read a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The folder has a checkpoint, and a new search was asked for.
    #[error("{} has a checkpoint already", folder.display())]
    Exists {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder has no checkpoint to go on from.
    #[error("{} has no checkpoint of process {process} of {processes}", folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// This process.
        process: usize,
        /// The number of processes.
        processes: usize,
    },
    /// The processes have no checkpoint of the same round of the same run.
    #[error("the processes have no checkpoints of the same round of one run")]
    NoCommonRound,
    /// Another process uses the folder.
    #[error("another process writes its checkpoints to {}", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The file is no checkpoint, or not as it was written.
    #[error("{} is damaged or no checkpoint: {reason}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file belongs to another search.
    #[error(
        "{} is a checkpoint of another search: another configuration, other options, or another program",
        file.display()
    )]
    Foreign {
        /// The file.
        file: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The checkpoint is larger than the limit, or the disk is full.
    #[error("a checkpoint does not fit into {}", folder.display())]
    NoSpace {
        /// The folder.
        folder: PathBuf,
    },
}

/// The checkpoints of one process in a folder.
pub(crate) struct CheckpointFolder {
    checkpoints: Checkpoints,
    identity: u64,
    process: (usize, usize),
    /// Locked as long as the process runs.
    _lock: File,
}

/// The state of a search between two rounds, beside its kept states.
#[derive(Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) observed: Observed,
    pub(crate) expanded: u64,
    pub(crate) waiting: Vec<Parent>,
}

/// The first frame of a file.
#[derive(Serialize, Deserialize)]
struct Header {
    identity: u64,
    process: (usize, usize),
    round: Round,
}

/// The other frames.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
enum Frame<S: System> {
    Shard { number: usize, definitions: Definitions<S>, content: ShardContent },
    Position(Position),
    End,
}

/// The first bytes of every file. The last one is the version of the format.
const MAGIC: &[u8] = b"raft-explore checkpoint 1\n";

/// How the name of a file ends that is being written.
const UNFINISHED: &str = "unfinished";

/// The most bytes that are read at once, whatever a damaged file says about its length.
const READ_AT_ONCE: u64 = 1 << 20;

impl CheckpointFolder {
    /// Opens the folder for this process. `process` is its place and the number of all.
    pub(crate) fn open(
        checkpoints: &Checkpoints,
        identity: u64,
        process: (usize, usize),
    ) -> Result<CheckpointFolder, CheckpointError> {
        let Checkpoints { folder, start, .. } = checkpoints.clone();
        let failed = |source| CheckpointError::Io { path: folder.clone(), source };
        if start != Start::Checkpoint {
            fs::create_dir_all(&folder).map_err(failed)?;
        } else if !folder.is_dir() {
            let (process, processes) = process;
            return Err(CheckpointError::Missing { folder, process, processes });
        }
        let lock =
            File::create(folder.join(format!("process-{}-of-{}.lock", process.0, process.1)));
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(CheckpointError::InUse { folder }),
            Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
        let checkpoints = checkpoints.clone();
        let opened = CheckpointFolder { checkpoints, identity, process, _lock: lock };
        opened.remove_unfinished().map_err(failed)?;
        match (start, opened.numbers()?.is_empty()) {
            (Start::Checkpoint, true) => {
                let (process, processes) = process;
                Err(CheckpointError::Missing { folder, process, processes })
            }
            (Start::Beginning, false) => Err(CheckpointError::Exists { folder }),
            _ => Ok(opened),
        }
    }

    /// Removes files that were not finished: their process was killed while it wrote them.
    fn remove_unfinished(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.folder())? {
            let entry = entry?;
            let name = entry.file_name();
            let is_own = name.to_str().is_some_and(|name| name.starts_with(&self.prefix()));
            if is_own && Path::new(&name).extension().is_some_and(|end| end == UNFINISHED) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Returns where the search starts.
    pub(crate) fn start(&self) -> Start {
        self.checkpoints.start
    }

    /// Returns the time between two checkpoints.
    pub(crate) fn every(&self) -> Duration {
        self.checkpoints.every
    }

    fn folder(&self) -> &Path {
        &self.checkpoints.folder
    }

    /// Returns the rounds of the checkpoints of this process, in ascending order. Refuses those of
    /// other searches.
    pub(crate) fn rounds(&self) -> Result<Vec<Round>, CheckpointError> {
        self.numbers()?
            .into_iter()
            .map(|number| self.open_file(number).map(|(_, round)| round))
            .collect()
    }

    /// Returns the numbers of these rounds.
    fn numbers(&self) -> Result<Vec<u64>, CheckpointError> {
        let failed = |source| CheckpointError::Io { path: self.folder().to_owned(), source };
        let mut rounds = Vec::new();
        for entry in fs::read_dir(self.folder()).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            rounds.extend(name.to_str().and_then(|name| self.round_of(name)));
        }
        rounds.sort_unstable();
        Ok(rounds)
    }

    fn prefix(&self) -> String {
        format!("process-{}-of-{}.round-", self.process.0, self.process.1)
    }

    fn round_of(&self, name: &str) -> Option<u64> {
        let number =
            name.strip_prefix(&self.prefix())?.strip_suffix(".checkpoint")?.parse().ok()?;
        self.file(number).ends_with(name).then_some(number)
    }

    fn file(&self, number: u64) -> PathBuf {
        self.folder().join(format!("{}{number:08}.checkpoint", self.prefix()))
    }

    /// Writes the checkpoint of a round.
    pub(crate) fn write<S: System>(
        &self,
        round: Round,
        local: &Local<S>,
        antichains: &Antichains,
        position: Position,
    ) -> Result<(), CheckpointError> {
        let file = self.file(round.number);
        let unfinished = file.with_extension(UNFINISHED);
        let written = self.write_file(&unfinished, round, local, antichains, position);
        let written = written.and_then(|()| {
            fs::rename(&unfinished, &file)?;
            File::open(self.folder())?.sync_all()
        });
        written.map_err(|source| {
            // Removing it is a courtesy: nobody reads a file with this name.
            let _ = fs::remove_file(&unfinished);
            if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
                return CheckpointError::NoSpace { folder: self.folder().to_owned() };
            }
            CheckpointError::Io { path: file, source }
        })
    }

    fn write_file<S: System>(
        &self,
        path: &Path,
        round: Round,
        local: &Local<S>,
        antichains: &Antichains,
        position: Position,
    ) -> io::Result<()> {
        let file = File::create(path)?;
        let left =
            self.checkpoints.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.used()));
        let mut out = Limited { out: BufWriter::new(&file), left };
        out.write_all(MAGIC)?;
        let &CheckpointFolder { identity, process, .. } = self;
        write_frame(&mut out, &Header { identity, process, round })?;
        let mut defined = Defined::default();
        for number in 0..SHARDS {
            let mut definitions = Definitions::default();
            let content = antichains.content(number, local, &mut defined, &mut definitions);
            write_frame(&mut out, &Frame::Shard { number, definitions, content })?;
        }
        write_frame(&mut out, &Frame::<S>::Position(position))?;
        write_frame(&mut out, &Frame::<S>::End)?;
        out.flush()?;
        file.sync_all()
    }

    /// Returns the bytes of the checkpoints of this process.
    fn used(&self) -> u64 {
        let numbers = self.numbers().unwrap_or_default().into_iter();
        let sizes =
            numbers.map(|round| fs::metadata(self.file(round)).map_or(0, |file| file.len()));
        sizes.sum()
    }

    /// Removes the checkpoints of all rounds but one.
    pub(crate) fn keep_only(&self, round: Round) -> Result<(), CheckpointError> {
        for other in self.numbers()?.into_iter().filter(|other| *other != round.number) {
            self.remove(other)?;
        }
        Ok(())
    }

    /// Removes the checkpoint of a round.
    pub(crate) fn remove(&self, number: u64) -> Result<(), CheckpointError> {
        let path = self.file(number);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(CheckpointError::Io { path, source })
            }
            _ => Ok(()),
        }
    }

    /// Opens the file of a round and reads its header.
    fn open_file(&self, number: u64) -> Result<(BufReader<File>, Round), CheckpointError> {
        let path = self.file(number);
        let failed = |source| read_failed(&path, source);
        let mut file = BufReader::new(File::open(&path).map_err(failed)?);
        let mut magic = vec![0; MAGIC.len()];
        file.read_exact(&mut magic).map_err(failed)?;
        if magic != MAGIC {
            return Err(damaged(&path, "it does not begin as a checkpoint of this version"));
        }
        let header: Header = read_frame(&mut file).map_err(failed)?;
        let Header { identity, process, round } = header;
        if (identity, process, round.number) != (self.identity, self.process, number) {
            return Err(CheckpointError::Foreign { file: path });
        }
        Ok((file, round))
    }

    /// Reads the checkpoint of a round into a search that has not begun.
    pub(crate) fn read<S: System>(
        &self,
        round: Round,
        local: &Local<S>,
        antichains: &Antichains,
    ) -> Result<Position, CheckpointError> {
        let path = self.file(round.number);
        let damaged = |reason| damaged(&path, reason);
        let (mut file, _) = self.open_file(round.number)?;
        let mut translation = Translation::default();
        let mut shards = 0;
        let mut position = None;
        loop {
            match read_frame::<Frame<S>>(&mut file).map_err(|source| read_failed(&path, source))? {
                Frame::Shard { number, definitions, content } if number == shards => {
                    translation
                        .learn(local, &definitions)
                        .and_then(|()| antichains.restore(number, content, local, &translation))
                        .ok_or_else(|| damaged("its states contradict each other"))?;
                    shards += 1;
                }
                Frame::Position(found) if shards == SHARDS => position = Some(found),
                Frame::End => break,
                _ => return Err(damaged("its parts are in the wrong order")),
            }
        }
        let is_sound = |position: &Position| {
            antichains.parents_exist()
                && position.waiting.iter().all(|state| antichains.has(state.id))
                && position.observed.first.keys().all(|bit| *bit < u64::BITS)
        };
        position
            .filter(is_sound)
            .ok_or_else(|| damaged("it refers to states that it does not have"))
    }
}

fn damaged(file: &Path, reason: &str) -> CheckpointError {
    CheckpointError::Damaged { file: file.to_owned(), reason: reason.to_owned() }
}

fn read_failed(path: &Path, source: io::Error) -> CheckpointError {
    match source.kind() {
        ErrorKind::InvalidData => damaged(path, &source.to_string()),
        ErrorKind::UnexpectedEof => damaged(path, "it ends too early"),
        _ => CheckpointError::Io { path: path.to_owned(), source },
    }
}

fn write_frame(out: &mut impl Write, frame: &impl Serialize) -> io::Result<()> {
    let bytes = postcard::to_stdvec(frame).map_err(io::Error::other)?;
    out.write_all(&(bytes.len() as u64).to_le_bytes())?;
    out.write_all(&crc32fast::hash(&bytes).to_le_bytes())?;
    out.write_all(&bytes)
}

fn read_frame<T: DeserializeOwned>(file: &mut impl Read) -> io::Result<T> {
    let (mut length, mut checksum) = ([0; 8], [0; 4]);
    file.read_exact(&mut length)?;
    file.read_exact(&mut checksum)?;
    let mut left = u64::from_le_bytes(length);
    let mut bytes = Vec::new();
    while left > 0 {
        let read = file.take(left.min(READ_AT_ONCE)).read_to_end(&mut bytes)? as u64;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        left -= read;
    }
    let invalid = |reason: &str| io::Error::new(ErrorKind::InvalidData, reason.to_owned());
    if crc32fast::hash(&bytes) != u32::from_le_bytes(checksum) {
        return Err(invalid("a checksum does not fit"));
    }
    postcard::from_bytes(&bytes).map_err(|error| invalid(&error.to_string()))
}

/// A writer that ends at a limit.
struct Limited<W> {
    out: W,
    left: u64,
}

impl<W: Write> Write for Limited<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(ErrorKind::StorageFull)?;
        self.out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
