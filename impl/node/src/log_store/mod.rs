//! Term, vote, log and snapshot base on a disk.
//!
//! The log's file is the sequence of [`Write`]s that raft-core asked for: one record for each durable
//! transaction, which may hold many. To open it is to do all of them again, with the very function
//! that the model checker's disk uses ([`PersistentState::write`]).
//!
//! A transaction is one contiguous write and one sync, to room that is there already. That is what
//! a put of a single client waits for, and why this is not kept in redb like the rest: a
//! transaction there takes about twice as long and five times the CPU time (`impl/BENCHMARKS.md`
//! has both).
//!
//! # Two files
//!
//! Most of a file is of no use after a compaction. Then the other file is begun: first the state as
//! it is, a part with each of the next transactions so that none of them waits long, then the
//! transactions since. All of that is synced. Then one more record says that this file takes over, and
//! when it is synced, too, transactions go to this file and no longer to the first one.
//!
//! What is opened is the file that was begun later if that record is in it, and otherwise the other
//! one, which has everything until then. How far each of them has got does not matter.
//!
//! # What a failed sync leaves
//!
//! After a sync that failed, what was to be synced is read as if it had been written, and may never
//! be: the system takes the pages for clean (Rebello et al., *Can Applications Recover from fsync
//! Failures?*, 2020). The store stops then; but the next process reads what the last one has not made
//! durable. So a start makes durable whatever it relies on, before anybody relies on it.
//!
//! That is the last record of the file that it opens, and nothing else:
//!
//! - *What precedes the last record is durable.* A record is written when the sync of what precedes it
//!   in its file has succeeded: a transaction after the one before it; the record that takes over
//!   after all parts and transactions that it vouches for; the first transaction after that one. The
//!   process that writes a record has either seen that sync succeed or is a new one, which has
//!   written and synced the last record that it found. So a record can be read, durable or not, only
//!   if everything before it is durable. (Between the beginning of a file and the record that takes
//!   over, one sync serves several records. Such a file is never opened.)
//! - *To write the last record again is harmless.* It has the same bytes. If it had been acknowledged,
//!   it is durable, and a torn write leaves it as it is. If not, nobody relies on it before its sync
//!   has succeeded. A start that fails here, or is interrupted, leaves the same case to the next one.
//! - *The file that is not opened cannot win later.* If the file begun later has taken over, its
//!   record that says so is durable when the start is done, and whatever becomes of the other one, it
//!   was begun earlier. If it has not, that record was never in it, or was lost; it comes back
//!   no more than anything else that is gone from cache and disk, and the file is begun anew, in place,
//!   with a new salt.
//! - *What is begun anew loses nothing.* A file is begun when the other one is the one that is opened,
//!   for good. Its first record fits into a sector: it is there, or what was there before is, whose
//!   beginning is earlier than that of the file that is opened. A start that finds the first record of
//!   the very first file finds a log without transactions.
//! - *The length is not relied on.* A file that was to grow and did not is written again at its
//!   end, which makes it as long as it has to be.
//! - *The witness is there and sound.* It is made, and synced, before the first record of a log is
//!   written. Later it is only overwritten, within a sector, by a number whose transaction is
//!   durable. So it may be behind, but not ahead.
//!
//! # Torn or damaged?
//!
//! A record that is not whole may have been cut short by a power loss; then it was never
//! acknowledged, and is ignored. Or it was damaged since; then ignoring it would lose what was
//! promised. It counts as damage if a later record follows it in either file, or if it is not later
//! than what the *witness* says: a file of its own that holds the number of the last acknowledged
//! transaction, written after each sync, and synced only when it is made.
//! (What remains is the damage of the very last transaction together with a power loss that takes the
//! witness back. Nobody can tell that from a torn write without a second sync.)

mod file;
mod record;

use std::collections::{BTreeSet, VecDeque};
use std::io;

use raft_core::{
    Entry, Index, LogWrite, Mark, NodeId, Payload, PersistentState, VoteRecord, Write,
};
use redb::StorageBackend;
use serde::{Deserialize, Serialize};

use file::{File, Outline};
use record::{Body, SECTOR};

/// The version of the layout that this program writes, and the only one that it reads.
const FORMAT: u32 = 3;

/// The sizes of files. The defaults are production's; small ones make files change over all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// By how much a file grows at a time, in bytes: at first, and later. New room is filled with
    /// zeros, so that writing a record later changes no metadata of the file system.
    pub growth: (u64, u64),
    /// How many bytes of a new file are written with one transaction.
    pub part: usize,
    /// How long a file must be for another one to be begun, in bytes; and longer than twice what it
    /// would hold.
    pub worthwhile: u64,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes { growth: (32 << 10, 1 << 20), part: 1 << 20, worthwhile: 8 << 20 }
    }
}

/// Whose disk this is. Written once, and checked at every start. In a sector of a log file, it has to
/// fit beside the little that stands there with it: see [`MAX_VOTERS`](crate::wire::MAX_VOTERS).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The name of the cluster.
    pub cluster: String,
    /// The server.
    pub node: NodeId,
    /// Among whom it votes. Two lists of voters have majorities without a common server, so a server
    /// never changes from one to another. Addresses may change, and are not part of it.
    pub voters: BTreeSet<NodeId>,
    /// The name of the disk, chosen at random when it was first used.
    pub disk: u64,
}

impl Identity {
    /// Whether it is the wanted one, but for the name of the disk.
    fn check(&self, wanted: &Identity) -> Result<(), LogStoreError> {
        if (&self.cluster, self.node) != (&wanted.cluster, wanted.node) {
            let (found, wanted) = (Box::new(self.clone()), Box::new(wanted.clone()));
            return Err(LogStoreError::Foreign { found, wanted });
        }
        if self.voters != wanted.voters {
            let (found, wanted) = (self.voters.clone(), wanted.voters.clone());
            return Err(LogStoreError::OtherVoters { found, wanted });
        }
        Ok(())
    }
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
    /// The name of the cluster, and whatever else says whose disk it is, does not fit into a sector.
    #[error(
        "what says whose log it is does not fit into {SECTOR} bytes; choose a shorter cluster name"
    )]
    IdentityTooLong,
    /// It belongs to the right server, but among other voters.
    #[error(
        "its data belongs to a cluster of the members {}, the configuration names {}. The members of \
         a cluster cannot be changed. Nothing was changed; name the same ids again",
        members(found),
        members(wanted)
    )]
    OtherVoters {
        /// Among whom the server voted so far.
        found: BTreeSet<NodeId>,
        /// Among whom it was to vote.
        wanted: BTreeSet<NodeId>,
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
}

/// A list of members for people: `1 2 3`.
pub(crate) fn members(voters: &BTreeSet<NodeId>) -> String {
    let ids: Vec<String> = voters.iter().map(|id| id.0.to_string()).collect();
    ids.join(" ")
}

impl From<io::Error> for LogStoreError {
    fn from(error: io::Error) -> LogStoreError {
        match error.kind() {
            io::ErrorKind::ResourceBusy => LogStoreError::InUse,
            _ => LogStoreError::Io(error),
        }
    }
}

/// The number of the last acknowledged transaction, in a file of its own.
#[derive(Debug)]
struct Witness(Box<dyn StorageBackend>);

impl Witness {
    /// What it says, unless it is blank or damaged.
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

/// The files of a log.
#[derive(Debug)]
pub struct Files {
    /// The two files that take turns.
    pub logs: [Box<dyn StorageBackend>; 2],
    /// The witness.
    pub witness: Box<dyn StorageBackend>,
}

/// A log on a disk. After an error the disk's state is unknown, and the store must not be used again
/// (a failed fsync may have dropped the very pages that it did not write).
#[derive(Debug)]
pub struct LogStore {
    files: [File; 2],
    /// Which of the files is in use.
    active: usize,
    witness: Witness,
    identity: Identity,
    /// Nobody can guess the salts that come from it.
    seed: u64,
    sizes: Sizes,
    /// What is on the disk. Entries share their bytes with the node's.
    state: PersistentState,
    /// The number of the last transaction.
    number: u64,
    checkpoint: Option<Checkpoint>,
}

/// The other file, on its way to take over.
#[derive(Debug)]
struct Checkpoint {
    number: u64,
    parts: VecDeque<Write>,
    since: VecDeque<(u64, Vec<Write>)>,
}

/// Compares whose a file of a log is with whose it has to be, and changes nothing. Whatever else is
/// wrong with it, [`LogStore::open`] finds out.
///
/// # Errors
///
/// It is somebody else's, or cannot be read.
pub fn check_identity(file: &dyn StorageBackend, wanted: &Identity) -> Result<(), LogStoreError> {
    match file::owner(file)? {
        Some(found) => found.check(wanted),
        None => Ok(()),
    }
}

/// A write that is durable, with all before it. Only a log store that has made it so has one to give,
/// so nobody can report a write too early.
#[derive(Debug)]
pub struct Durable(Mark);

impl Durable {
    /// Which write.
    pub fn mark(&self) -> Mark {
        self.0
    }
}

impl LogStore {
    /// Opens the log, or makes an empty one, and reads all of it. `wanted` says whose it has to be;
    /// its disk name is used for a new one only. `seed` is a fresh random number.
    ///
    /// A transaction that was cut short by a crash or a power loss has no effect; everything that was
    /// ever reported durable is there, or this fails.
    ///
    /// # Errors
    ///
    /// It is in use, somebody else's, damaged, or cannot be read.
    pub fn open(
        files: Files,
        wanted: &Identity,
        seed: u64,
        sizes: Sizes,
    ) -> Result<(LogStore, PersistentState), LogStoreError> {
        let witness = Witness(files.witness);
        let [first, second] = files.logs;
        let mut files = [File::new(first, sizes.growth)?, File::new(second, sizes.growth)?];
        let said = witness.read()?;
        let acknowledged = said.unwrap_or(0);
        let found = find_active(&files)?;

        let (number, highest) =
            found.as_ref().map_or((0, 0), |found| (found.contents.number, found.highest));
        let written = acknowledged.max(highest);
        if written > number {
            return Err(LogStoreError::Damaged(format!(
                "transaction {written} was written, the last that can be read is {number}"
            )));
        }
        let Some(Found { active, contents, .. }) = found else {
            return LogStore::create(files, witness, wanted, seed, sizes);
        };
        if said.is_none() {
            let what = "the file \"acknowledged\" beside it is gone or damaged; without it nobody can \
                        tell whether the log is complete";
            return Err(LogStoreError::Damaged(what.to_owned()));
        }
        let identity = contents.identity.clone();
        identity.check(wanted)?;
        let state = contents.state()?;
        (files[active].salt, files[active].end) = (contents.salt, contents.end as u64);
        files[active].write_last_again(&contents)?;
        if acknowledged < number {
            witness.write(number)?;
        }
        let store = LogStore {
            files,
            active,
            witness,
            identity,
            seed,
            sizes,
            state: state.clone(),
            number,
            checkpoint: None,
        };
        Ok((store, state))
    }

    fn create(
        mut files: [File; 2],
        witness: Witness,
        identity: &Identity,
        seed: u64,
        sizes: Sizes,
    ) -> Result<(LogStore, PersistentState), LogStoreError> {
        let identity = identity.clone();
        let start = Body::Start { format: FORMAT, identity: identity.clone(), parts: u64::MAX };
        let bytes = record::encode(0, 0, &start).len();
        if bytes > SECTOR {
            return Err(LogStoreError::IdentityTooLong);
        }
        // From here on it is there, and in one sector, so that no power loss tears it.
        witness.write(0)?;
        witness.0.sync_data()?;
        files[0].begin(salt(seed, 0));
        let start = Body::Start { format: FORMAT, identity: identity.clone(), parts: 0 };
        files[0].append(0, &start)?;
        files[0].sync()?;
        let state = PersistentState::default();
        let store = LogStore {
            files,
            active: 0,
            witness,
            identity,
            seed,
            sizes,
            state: state.clone(),
            number: 0,
            checkpoint: None,
        };
        Ok((store, state))
    }

    /// Whose disk this is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// [Commits](LogStore::commit) all writes up to this one that are not durable yet.
    ///
    /// # Errors
    ///
    /// As for [`commit`](LogStore::commit).
    pub fn commit_up_to(
        &mut self,
        mark: Mark,
        writes: Vec<Write>,
    ) -> Result<Durable, LogStoreError> {
        self.commit(writes)?;
        Ok(Durable(mark))
    }

    /// Puts writes on the disk, in order, all of them or none; when this returns, they are durable.
    ///
    /// # Errors
    ///
    /// The disk failed. It is unknown what is on it now.
    pub fn commit(&mut self, writes: Vec<Write>) -> Result<(), LogStoreError> {
        let number = self.number + 1;
        let file = &mut self.files[self.active];
        let body = Body::Writes(writes);
        file.append(number, &body)?;
        file.sync()?;
        self.number = number;
        self.witness.write(number)?;

        let Body::Writes(writes) = body else { return Ok(()) };
        for write in &writes {
            self.state.write(write);
        }
        let compacts =
            |write: &Write| matches!(write.log, Some(LogWrite::Compact(_) | LogWrite::Install(_)));
        if let Some(checkpoint) = &mut self.checkpoint {
            checkpoint.since.push_back((number, writes));
            self.continue_checkpoint()?;
        } else if writes.iter().any(compacts) {
            self.begin_checkpoint()?;
        }
        Ok(())
    }

    /// Begins the other file, if that is worth the while.
    fn begin_checkpoint(&mut self) -> Result<(), LogStoreError> {
        let live: usize = self.state.log.entries().iter().map(entry_bytes).sum();
        let end = self.files[self.active].end;
        if end < self.sizes.worthwhile || end < 2 * live as u64 {
            return Ok(());
        }
        let (number, parts) = (self.number, parts(&self.state, self.sizes.part));
        let identity = self.identity.clone();
        let start = Body::Start { format: FORMAT, identity, parts: parts.len() as u64 };
        let salt = salt(self.seed, number);
        let other = &mut self.files[1 - self.active];
        other.begin(salt);
        other.append(number, &start)?;
        other.sync()?;
        self.checkpoint = Some(Checkpoint { number, parts, since: VecDeque::new() });
        Ok(())
    }

    /// Adds some bytes to the other file, and lets it take over when it has everything.
    fn continue_checkpoint(&mut self) -> Result<(), LogStoreError> {
        let other = &mut self.files[1 - self.active];
        let Some(checkpoint) = &mut self.checkpoint else { return Ok(()) };
        let limit = other.end + self.sizes.part as u64;
        while other.end < limit {
            if let Some(part) = checkpoint.parts.pop_front() {
                other.append(checkpoint.number, &Body::Writes(vec![part]))?;
            } else if let Some((number, writes)) = checkpoint.since.pop_front() {
                other.append(number, &Body::Writes(writes))?;
            } else {
                break;
            }
        }
        other.sync()?;
        if checkpoint.parts.is_empty() && checkpoint.since.is_empty() {
            other.append(self.number, &Body::TakesOver)?;
            other.sync()?;
            self.active = 1 - self.active;
            self.checkpoint = None;
        }
        Ok(())
    }

    /// Reads everything again, as a start would.
    ///
    /// # Errors
    ///
    /// As for [`open`](LogStore::open).
    pub fn read(&self) -> Result<PersistentState, LogStoreError> {
        let contents = self.files[self.active].read()?;
        let contents =
            contents.ok_or_else(|| LogStoreError::Damaged("it is not a log".to_owned()))?;
        contents.state()
    }
}

/// The file that is to be opened.
struct Found {
    active: usize,
    contents: Outline,
    /// The highest number of a record in the files that were read.
    highest: u64,
}

/// Finds the file that has everything: the one that was begun later if it has taken over, and
/// otherwise the other one. None if neither was ever written.
fn find_active(files: &[File; 2]) -> Result<Option<Found>, LogStoreError> {
    let begun = [files[0].first_number()?, files[1].first_number()?];
    for (file, begun) in files.iter().zip(begun) {
        // The first record fits into a sector, so a power loss cannot tear it.
        if begun.is_none() && !file.is_blank()? {
            return Err(LogStoreError::Damaged("a file of it does not begin as one".to_owned()));
        }
    }
    if begun == [None, None] {
        return Ok(None);
    }
    let mut highest = 0;
    for active in if begun[1] > begun[0] { [1, 0] } else { [0, 1] } {
        let Some(contents) = files[active].read()? else { continue };
        highest = highest.max(contents.highest);
        if contents.complete {
            return Ok(Some(Found { active, contents, highest }));
        }
    }
    Err(LogStoreError::Damaged("neither of its files has everything".to_owned()))
}

/// A salt that nobody else can guess: a step of the `SplitMix64` generator.
fn salt(seed: u64, number: u64) -> u64 {
    let mixed = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn entry_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        Payload::Noop => 16,
        Payload::Command(command) => 16 + command.as_slice().len(),
    }
}

/// Writes that lead from nothing to a state.
fn parts(state: &PersistentState, most: usize) -> VecDeque<Write> {
    let PersistentState { current_term, voted_for, log } = state;
    let (current_term, voted_for) = (*current_term, *voted_for);
    let vote = Some(VoteRecord { current_term, voted_for });
    let install = Some(LogWrite::Install(log.snapshot().clone()));
    let mut parts = VecDeque::from([Write { vote, log: install }]);
    let mut first = log.base().index.next();
    let mut rest = log.entries();
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += entry_bytes(entry);
            bytes <= most
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (part, later) = rest.split_at(count);
        let append = LogWrite::Append { first, entries: part.to_vec() };
        parts.push_back(Write { vote: None, log: Some(append) });
        (first, rest) = (Index(first.0 + count as u64), later);
    }
    parts
}
