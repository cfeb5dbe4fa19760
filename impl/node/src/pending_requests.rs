//! The clients that wait for an answer of the replica, and the channel to each of them.

use std::collections::HashMap;
use std::time::Duration;

use raft_core::{Bytes, Index};
use tokio::sync::oneshot;

use crate::handle::{ProposeError, ReadError};
use crate::orders::ReaderId;
use crate::replica::Replica;
use crate::shell::ProposalId;

/// The channel for the answer to a command.
pub type Proposer = oneshot::Sender<Result<Bytes, ProposeError>>;

/// The channel for the answer to a read.
pub type Reader = oneshot::Sender<Result<Index, ReadError>>;

/// The clients that wait for an answer of the replica.
#[derive(Debug, Default)]
pub struct Waiting {
    proposers: HashMap<ProposalId, Proposer>,
    readers: HashMap<ReaderId, Reader>,
}

impl Waiting {
    /// Returns the number of waiting reads.
    pub fn reads(&self) -> usize {
        self.readers.len()
    }

    /// Gives a command to the replica. Returns the replica's id for it if the replica has accepted
    /// it.
    pub fn propose(
        &mut self,
        replica: &mut Replica,
        now: Duration,
        command: Bytes,
        answer: Proposer,
    ) -> Option<ProposalId> {
        match replica.propose(now, command) {
            Ok(id) => {
                self.proposers.insert(id, answer);
                Some(id)
            }
            Err(error) => {
                // The send fails only if the client no longer waits.
                let _ = answer.send(Err(error));
                None
            }
        }
    }

    /// Gives a read to the replica.
    pub fn read(&mut self, replica: &mut Replica, now: Duration, answer: Reader) {
        self.readers.insert(replica.read(now), answer);
    }

    /// Makes the replica forget the reads whose clients no longer wait.
    pub fn forget_abandoned_reads(&mut self, replica: &mut Replica) {
        let readers = &mut self.readers;
        replica.retain_reads(|id| {
            let wanted = readers.get(&id).is_some_and(|reader| !reader.is_closed());
            if !wanted {
                readers.remove(&id);
            }
            wanted
        });
    }

    /// Sends a client the result of its command.
    pub fn answer_proposal(&mut self, id: ProposalId, result: Result<Bytes, ProposeError>) {
        if let Some(proposer) = self.proposers.remove(&id) {
            let _ = proposer.send(result);
        }
    }

    /// Tells a client whether its read may be served.
    pub fn answer_read(&mut self, id: ReaderId, result: Result<Index, ReadError>) {
        if let Some(reader) = self.readers.remove(&id) {
            let _ = reader.send(result);
        }
    }
}
