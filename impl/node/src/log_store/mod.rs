//! The durable storage of term, vote, log and snapshot base.
//!
//! A log file contains the sequence of [`Write`]s that raft-core issued. It has one record for each
//! durable transaction, which may contain many writes. Opening the log applies all writes again,
//! with the same function that the model checker's disk uses ([`PersistentState::write`]).
//!
//! A transaction is one contiguous write, to space that is already allocated, and one sync. A put
//! of a single client waits for it. For this reason the log is not stored in redb like the other
//! data: a transaction in redb takes about twice as long and five times the CPU time
//! (`impl/BENCHMARKS.md` has both).
//!
//! # Two files
//!
//! After a compaction, most of a file is no longer needed. Then the store begins the other file. It
//! first writes the current state to it, one part with each of the next transactions, so that none
//! of them waits long. Then it writes the transactions that came meanwhile. All of that is synced.
//! Then the store writes one more record, which states that this file takes over (`TakesOver`).
//! When that record is also synced, transactions go to this file and no longer to the first one.
//!
//! At a start, the store opens the file that was begun later, if that file contains the `TakesOver`
//! record. Otherwise it opens the other file, which has all transactions until then. The last
//! transaction numbers of the two files do not matter for this choice.
//!
//! # After a failed sync
//!
//! After a failed sync, the data can be read as if it had been written, but may never reach the
//! disk: the operating system marks the pages as clean (Rebello et al., *Can Applications Recover
//! from fsync Failures?*, 2020). The store stops then. But the next process can read data that the
//! last process has not made durable. So at a start, the store makes all data durable that it
//! relies on, before anything else uses the data.
//!
//! The only such data is the last record of the file that the store opens:
//!
//! - *Everything before the last record is durable.* A record is written only after the sync of the
//!   earlier records in its file has succeeded. A transaction is written after the sync of the
//!   transaction before it. The `TakesOver` record is written after the sync of all parts and
//!   transactions that it covers. The first transaction after the `TakesOver` record is written
//!   after the sync of that record. The process that writes a record has either seen this sync
//!   succeed, or is a new process that has written and synced the last record that it found. So if
//!   a record can be read, durable or not, everything before it is durable. (Between the beginning
//!   of a file and its `TakesOver` record, one sync covers several records. A file in this state is
//!   never opened.)
//! - *Writing the last record again is harmless.* It has the same bytes. If the record was
//!   acknowledged, it is durable, and a torn write does not change it. If it was not acknowledged,
//!   nothing relies on it before its sync has succeeded. If a start fails or is interrupted here,
//!   the next start finds the same situation.
//! - *No later start opens the other file instead.* If the later file has taken over, its
//!   `TakesOver` record is durable when the start is complete. The other file was begun earlier,
//!   whatever its contents are. If the later file has not taken over, its `TakesOver` record was
//!   never written or was lost. A lost record is neither in the cache nor on the disk, and cannot
//!   come back. The later file is begun again, in place, with a new salt.
//! - *Beginning a file again loses nothing.* A file is begun only when every start would open the
//!   other file. Its first record fits into a sector, so a power loss leaves either the new first
//!   record or the old contents. The old contents begin earlier than the file that is opened. If a
//!   start finds only the first record of the very first file, the log has no transactions.
//! - *The store does not rely on the length of a file.* If the growth of a file was lost, writing
//!   the last record again extends the file as far as necessary.
//! - *The witness exists and is valid.* It is created and synced before the first record of a log
//!   is written. Later it is only overwritten, within a sector, by the number of a durable
//!   transaction. So it may be behind the log, but not ahead of it.
//!
//! # Torn or damaged?
//!
//! An incomplete record may have been cut short by a power loss. Then it was never acknowledged,
//! and is ignored. But it may also have been damaged later. Then ignoring it would lose
//! acknowledged data. The record counts as damaged if a later record follows it in either file, or
//! if its number is not higher than the number in the *witness*. The witness is a separate file
//! that holds the number of the last acknowledged transaction. It is written after each sync, and
//! synced only when it is created.
//! (One case is not detected: the very last transaction is damaged, and a power loss also reverts
//! the witness. Without a second sync for each transaction, this case looks the same as a torn
//! write.)

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

/// The sizes of files. The defaults are for production. Small sizes make the store change files
/// very often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The minimum and maximum number of bytes by which a file grows at a time. New space is filled
    /// with zeros, so that writing a record later changes no metadata of the file system.
    pub growth: (u64, u64),
    /// The number of bytes of a new file that are written with one transaction.
    pub part: usize,
    /// The minimum length of a file for the other one to be begun, in bytes. The file must also be
    /// at least twice as long as its live entries.
    pub worthwhile: u64,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes { growth: (32 << 10, 1 << 20), part: 1 << 20, worthwhile: 8 << 20 }
    }
}

/// The identity of the server to which a disk belongs. It is written once, and checked at every
/// start. It has to fit into a sector of a log file, together with the other fields of the first
/// record: see [`MAX_VOTERS`](crate::wire::MAX_VOTERS).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The name of the cluster.
    pub cluster: String,
    /// The server.
    pub node: NodeId,
    /// The voters of the cluster. Two lists of voters can have majorities without a common server,
    /// so a server never changes from one list to another. Addresses may change, and are not part
    /// of the identity.
    pub voters: BTreeSet<NodeId>,
    /// The name of the disk, chosen at random when it was first used.
    pub disk: u64,
}

impl Identity {
    /// Checks that this is the wanted identity, except for the name of the disk.
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

/// The reason why a log cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum LogStoreError {
    /// Another process has the log open.
    #[error("another process is using it; a server's data belongs to one process")]
    InUse,
    /// The log belongs to another server.
    #[error(
        "it belongs to {} of cluster \"{}\", not to {} of cluster \"{}\"; \
         check the configuration, or choose another data directory",
        found.node, found.cluster, wanted.node, wanted.cluster
    )]
    Foreign {
        /// The identity on the disk.
        found: Box<Identity>,
        /// The identity that was wanted.
        wanted: Box<Identity>,
    },
    /// The identity, which contains the name of the cluster, does not fit into a sector.
    #[error(
        "what says whose log it is does not fit into {SECTOR} bytes; choose a shorter cluster name"
    )]
    IdentityTooLong,
    /// The log belongs to the right server, but with other voters.
    #[error(
        "its data belongs to a cluster of the members {}, the configuration names {}. The members of \
         a cluster cannot be changed. Nothing was changed; name the same ids again",
        members(found),
        members(wanted)
    )]
    OtherVoters {
        /// The voters on the disk.
        found: BTreeSet<NodeId>,
        /// The voters that were wanted.
        wanted: BTreeSet<NodeId>,
    },
    /// The log was written in another layout.
    #[error("its layout has version {0}, this program reads version {FORMAT}")]
    Format(u32),
    /// The contents of the log are inconsistent.
    #[error(
        "it is damaged: {0}. Nothing was changed. Restore the file from a copy, or replace the \
         whole server"
    )]
    Damaged(String),
    /// The disk or the file system failed.
    #[error("{0}")]
    Io(io::Error),
}

/// Formats a list of members for messages to people: `1 2 3`.
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

/// The number of the last acknowledged transaction, in a separate file.
#[derive(Debug)]
struct Witness(Box<dyn StorageBackend>);

impl Witness {
    /// Returns the number, or none if the file is blank or damaged.
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
    /// The two files that the store uses in turn.
    pub logs: [Box<dyn StorageBackend>; 2],
    /// The witness.
    pub witness: Box<dyn StorageBackend>,
}

/// A log on a disk. After an error the contents of the disk are unknown, and the store must not be
/// used again (a failed fsync may have dropped the pages that it did not write).
#[derive(Debug)]
pub struct LogStore {
    files: [File; 2],
    /// The number of the file that is in use.
    active: usize,
    witness: Witness,
    identity: Identity,
    /// The seed of the salts, which must not be predictable.
    seed: u64,
    sizes: Sizes,
    /// The state on the disk. Its entries share their bytes with the node's entries.
    state: PersistentState,
    /// The number of the last transaction.
    number: u64,
    checkpoint: Option<Checkpoint>,
}

/// The progress of the other file until it takes over.
#[derive(Debug)]
struct Checkpoint {
    number: u64,
    parts: VecDeque<Write>,
    since: VecDeque<(u64, Vec<Write>)>,
}

/// Checks that a file of a log belongs to the wanted server, and changes nothing.
/// [`LogStore::open`] detects all other faults of the file.
///
/// # Errors
///
/// The file belongs to another server, or cannot be read.
pub fn check_identity(file: &dyn StorageBackend, wanted: &Identity) -> Result<(), LogStoreError> {
    match file::owner(file)? {
        Some(found) => found.check(wanted),
        None => Ok(()),
    }
}

/// A proof that a write and all writes before it are durable. Only a log store can create it, after
/// it has made the write durable, so no caller can report a write too early.
#[derive(Debug)]
pub struct Durable(Mark);

impl Durable {
    /// Returns the mark of the write.
    pub fn mark(&self) -> Mark {
        self.0
    }
}

impl LogStore {
    /// Opens the log, or creates an empty one, and reads all of it. `wanted` is the identity that
    /// the log must have. The disk name in `wanted` is used only for a new log. `seed` is a fresh
    /// random number.
    ///
    /// A transaction that was cut short by a crash or a power loss has no effect. If anything that
    /// was ever reported durable is missing, this fails.
    ///
    /// # Errors
    ///
    /// The log is in use, belongs to another server, is damaged, or cannot be read.
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
        // From here on the witness exists. It fits into one sector, so that no power loss tears it.
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

    /// Returns the identity on the disk.
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

    /// Makes writes durable, in order, all of them or none. When this returns, they are durable.
    ///
    /// # Errors
    ///
    /// The disk failed. Its contents are unknown now.
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

    /// Begins the other file, if the current one is long enough.
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

    /// Writes the next part of the other file, and lets this file take over when it has everything.
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

    /// Reads the log again, as a start does.
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

/// The file to open.
struct Found {
    active: usize,
    contents: Outline,
    /// The highest number of a record in the files that were read.
    highest: u64,
}

/// Finds the file that has everything: the one that was begun later if it has taken over, and
/// otherwise the other one. Returns none if neither file was ever written.
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

/// Computes a salt that is not predictable without the seed: a step of the `SplitMix64` generator.
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

/// Returns writes that build `state` from an empty state.
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
