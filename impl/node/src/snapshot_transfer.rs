//! One snapshot from one server to another, frame by frame: who says what, without the connection.
//!
//! ```text
//! sender                                   receiver
//!   SnapshotOffer(InstallSnapshot)  ---->
//!                                   <----  SnapshotWanted(bytes that are here already)
//!   SnapshotChunk ..                ---->
//!                                   <----  SnapshotStored
//! ```
//!
//! The receiver's node learns of the snapshot when its file is whole, durable and under its name, and
//! not before.

use std::sync::Arc;

use raft_core::{Bytes, InstallSnapshot};

use crate::directory::File;
use crate::snapshot_store::{Incoming, SnapshotError, SnapshotName, SnapshotStore};
use crate::wire::{Chunk, Frame};

/// The sending side. A copy reads the same file.
#[derive(Clone, Debug)]
pub struct Sending {
    name: SnapshotName,
    file: Arc<File>,
    offset: u64,
    chunk: usize,
}

impl Sending {
    /// Opens the snapshot that is to be offered, for sending `chunk` bytes at a time, at most
    /// [`CHUNK`](crate::wire::CHUNK).
    ///
    /// # Errors
    ///
    /// It is not here.
    pub fn begin(
        offer: &InstallSnapshot,
        store: &SnapshotStore,
        chunk: usize,
    ) -> Result<Sending, SnapshotError> {
        let name = SnapshotName::of(&offer.snapshot)?;
        Ok(Sending { name, file: Arc::new(store.open(name)?), offset: 0, chunk })
    }

    /// What is sent.
    pub fn name(&self) -> SnapshotName {
        self.name
    }

    /// The other side has this many bytes.
    pub fn go_on_at(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// The next part of the file, as long as there is one.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn next_chunk(&mut self) -> Result<Option<Frame>, SnapshotError> {
        let left = self.name.length.saturating_sub(self.offset);
        if left == 0 {
            return Ok(None);
        }
        let mut data = vec![0; usize::try_from(left).unwrap_or(self.chunk).min(self.chunk)];
        let read = self.file.read(self.offset, &mut data);
        read.map_err(|error| SnapshotError::Io { path: self.name.to_string().into(), error })?;
        let offset = self.offset;
        self.offset += data.len() as u64;
        Ok(Some(Frame::SnapshotChunk(Chunk { offset, data: Bytes::from(data) })))
    }
}

/// How many connections in a row may bring nothing of a snapshot before it is given up for the newest.
const STALLS: u32 = 3;

/// What one follower is sent, from connection to connection.
///
/// A leader offers its newest snapshot each time, and a receiver keeps the parts of one only. On a
/// connection that breaks again and again, while snapshots are taken, no offer would ever arrive whole.
/// So what was begun is gone on with, as long as the same leadership offers; the file stays readable as
/// long as it is open here, also after it was removed.
#[derive(Debug, Default)]
pub struct Outbound {
    unfinished: Option<Attempt>,
}

/// A snapshot on its way over one connection.
#[derive(Debug)]
pub struct Attempt {
    /// The message that the receiver's node gets when all is there.
    pub offer: InstallSnapshot,
    /// The sending side.
    pub sending: Sending,
    /// How many bytes the receiver had when it last said so.
    known: u64,
    /// How many connections brought nothing, one after the other.
    stalls: u32,
}

impl Outbound {
    /// What to send now that the leader makes this offer: what a broken connection has left unfinished,
    /// or what is offered.
    ///
    /// # Errors
    ///
    /// What is offered is not here.
    pub fn attempt(
        &mut self,
        offer: InstallSnapshot,
        store: &SnapshotStore,
        chunk: usize,
    ) -> Result<Attempt, SnapshotError> {
        // To a later term the old message would be stale.
        let unfinished = self.unfinished.take();
        if let Some(attempt) = unfinished.filter(|attempt| attempt.offer.term == offer.term) {
            return Ok(attempt);
        }
        let sending = Sending::begin(&offer, store, chunk)?;
        Ok(Attempt { offer, sending, known: 0, stalls: 0 })
    }

    /// The connection broke. Whether the next one will go on with this snapshot.
    pub fn broke(&mut self, attempt: Attempt) -> bool {
        let useful = attempt.stalls < STALLS && (attempt.known > 0 || attempt.sending.offset > 0);
        self.unfinished = useful.then_some(attempt);
        useful
    }
}

impl Attempt {
    /// The receiver says how many bytes it has.
    pub fn go_on_at(&mut self, here: u64) {
        self.stalls = if here > self.known { 0 } else { self.stalls + 1 };
        self.known = here;
        self.sending.go_on_at(here);
    }
}

/// The receiving side.
#[derive(Debug)]
pub struct Receiving {
    store: SnapshotStore,
    incoming: Option<Incoming>,
    length: u64,
}

impl Receiving {
    /// Somebody offers a snapshot.
    ///
    /// # Errors
    ///
    /// The offer makes no sense, or the file system fails.
    pub fn begin(
        offer: &InstallSnapshot,
        store: &SnapshotStore,
    ) -> Result<Receiving, SnapshotError> {
        let name = SnapshotName::of(&offer.snapshot)?;
        // It may be here whole: the last connection broke just before its end.
        let incoming = if store.has(name)? { None } else { Some(store.receive(name)?) };
        Ok(Receiving { store: store.clone(), incoming, length: name.length })
    }

    /// How many bytes are here.
    pub fn here(&self) -> u64 {
        self.incoming.as_ref().map_or(self.length, Incoming::length)
    }

    /// Whether all bytes are here.
    pub fn is_complete(&self) -> bool {
        self.here() == self.length
    }

    /// Adds a part.
    ///
    /// # Errors
    ///
    /// It is not the next one, or the file system fails.
    pub fn add(&mut self, chunk: &Chunk) -> Result<(), SnapshotError> {
        match &mut self.incoming {
            Some(incoming) => incoming.add(chunk.offset, chunk.data.as_slice()),
            None => Ok(()),
        }
    }

    /// Makes the snapshot durable under its name. Now the node may be told.
    ///
    /// # Errors
    ///
    /// What arrived is not what was offered, or the file system fails.
    pub fn finish(self) -> Result<(), SnapshotError> {
        match self.incoming {
            Some(incoming) => incoming.finish(),
            // It has its name, but whoever gave it may have failed to make that durable.
            None => self.store.sync_names(),
        }
    }
}
