//! The protocol that transfers one snapshot from one server to another, without the connection.
//!
//! ```text
//! sender                                   receiver
//!   SnapshotOffer(InstallSnapshot)  ---->
//!                                   <----  SnapshotWanted(number of bytes received before)
//!   SnapshotChunk ..                ---->
//!                                   <----  SnapshotStored
//! ```
//!
//! The receiver's node learns of the snapshot only when the file is complete, durable and has its
//! final name.

use std::sync::Arc;

use raft_core::{Bytes, InstallSnapshot};

use crate::directory::File;
use crate::snapshot_store::{Incoming, SnapshotError, SnapshotName, SnapshotStore};
use crate::wire::{Chunk, Frame};

/// The sending side. Clones read the same file.
#[derive(Clone, Debug)]
pub struct Sending {
    name: SnapshotName,
    file: Arc<File>,
    offset: u64,
    chunk: usize,
}

impl Sending {
    /// Opens the snapshot that is to be offered, for sending `chunk` bytes at a time. `chunk` is at
    /// most [`CHUNK`](crate::wire::CHUNK).
    ///
    /// # Errors
    ///
    /// The snapshot is not on this server.
    pub fn begin(
        offer: &InstallSnapshot,
        store: &SnapshotStore,
        chunk: usize,
    ) -> Result<Sending, SnapshotError> {
        let name = SnapshotName::of(&offer.snapshot)?;
        Ok(Sending { name, file: Arc::new(store.open(name)?), offset: 0, chunk })
    }

    /// Returns the name of the snapshot.
    pub fn name(&self) -> SnapshotName {
        self.name
    }

    /// Continues at `offset`, because the receiver already has the bytes before it.
    pub fn go_on_at(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Returns the next part of the file, or none at the end of the file.
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

/// The number of consecutive connections without progress after which a transfer is given up for
/// the newest snapshot.
const STALLS: u32 = 3;

/// The transfer of snapshots to one follower, over several connections.
///
/// A leader always offers its newest snapshot, and a receiver keeps the parts of only one snapshot.
/// If the connection breaks again and again while new snapshots are taken, no snapshot would ever
/// arrive completely. So an unfinished transfer is continued, as long as the offers have the same
/// term. The file stays readable as long as it is open here, even after it was removed.
#[derive(Debug, Default)]
pub struct Outbound {
    unfinished: Option<Attempt>,
}

/// The transfer of one snapshot, which may continue over several connections.
#[derive(Debug)]
pub struct Attempt {
    /// The message that the receiver's node gets when the transfer is complete.
    pub offer: InstallSnapshot,
    /// The sending side.
    pub sending: Sending,
    /// The number of bytes that the receiver had when it last reported it.
    known: u64,
    /// The number of consecutive connections without progress.
    stalls: u32,
}

impl Outbound {
    /// Returns the transfer to run when the leader makes this offer: the one that a broken
    /// connection left unfinished, or a new one for the offered snapshot.
    ///
    /// # Errors
    ///
    /// The offered snapshot is not on this server.
    pub fn attempt(
        &mut self,
        offer: InstallSnapshot,
        store: &SnapshotStore,
        chunk: usize,
    ) -> Result<Attempt, SnapshotError> {
        // In a later term the old message would be stale.
        let unfinished = self.unfinished.take();
        if let Some(attempt) = unfinished.filter(|attempt| attempt.offer.term == offer.term) {
            return Ok(attempt);
        }
        let sending = Sending::begin(&offer, store, chunk)?;
        Ok(Attempt { offer, sending, known: 0, stalls: 0 })
    }

    /// Handles a broken connection. Returns whether the next connection will continue with this
    /// snapshot.
    pub fn broke(&mut self, attempt: Attempt) -> bool {
        let useful = attempt.stalls < STALLS && (attempt.known > 0 || attempt.sending.offset > 0);
        self.unfinished = useful.then_some(attempt);
        useful
    }
}

impl Attempt {
    /// Continues after the `here` bytes that the receiver reports to have.
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
    /// Handles the offer of a snapshot.
    ///
    /// # Errors
    ///
    /// The offer is invalid, or the file system fails.
    pub fn begin(
        offer: &InstallSnapshot,
        store: &SnapshotStore,
    ) -> Result<Receiving, SnapshotError> {
        let name = SnapshotName::of(&offer.snapshot)?;
        // The snapshot may already be complete here, if the last connection broke just before its
        // end.
        let incoming = if store.has(name)? { None } else { Some(store.receive(name)?) };
        Ok(Receiving { store: store.clone(), incoming, length: name.length })
    }

    /// Returns the number of bytes that have been received.
    pub fn here(&self) -> u64 {
        self.incoming.as_ref().map_or(self.length, Incoming::length)
    }

    /// Returns whether all bytes have been received.
    pub fn is_complete(&self) -> bool {
        self.here() == self.length
    }

    /// Adds a part of the file.
    ///
    /// # Errors
    ///
    /// The part is not the next one, or the file system fails.
    pub fn add(&mut self, chunk: &Chunk) -> Result<(), SnapshotError> {
        match &mut self.incoming {
            Some(incoming) => incoming.add(chunk.offset, chunk.data.as_slice()),
            None => Ok(()),
        }
    }

    /// Makes the snapshot durable under its final name. After that the node may learn of it.
    ///
    /// # Errors
    ///
    /// The received data does not match the offer, or the file system fails.
    pub fn finish(self) -> Result<(), SnapshotError> {
        match self.incoming {
            Some(incoming) => incoming.finish(),
            // The file has its final name, but an earlier process may have failed to make the name
            // durable.
            None => self.store.sync_names(),
        }
    }
}
