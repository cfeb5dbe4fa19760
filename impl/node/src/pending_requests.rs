//! Clients that wait for an answer of the replica, and the way back to each.

use std::collections::HashMap;
use std::time::Duration;

use raft_core::{Bytes, Index};
use tokio::sync::oneshot;

use crate::handle::{ProposeError, ReadError};
use crate::orders::ReaderId;
use crate::replica::Replica;
use crate::shell::ProposalId;

/// Where the answer to a command goes.
pub type Proposer = oneshot::Sender<Result<Bytes, ProposeError>>;

/// Where the answer to a read goes.
pub type Reader = oneshot::Sender<Result<Index, ReadError>>;

/// The clients that wait for an answer of the replica.
#[derive(Debug, Default)]
pub struct Waiting {
    proposers: HashMap<ProposalId, Proposer>,
    readers: HashMap<ReaderId, Reader>,
}

impl Waiting {
    /// How many reads wait.
    pub fn reads(&self) -> usize {
        self.readers.len()
    }

    /// Gives a command to the replica. Returns the replica's name for it if it has taken it.
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
                // Whoever no longer waits has given up.
                let _ = answer.send(Err(error));
                None
            }
        }
    }

    /// Gives a read to the replica.
    pub fn read(&mut self, replica: &mut Replica, now: Duration, answer: Reader) {
        self.readers.insert(replica.read(now), answer);
    }

    /// Lets the replica forget the reads that nobody waits for any more.
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

    /// Tells a client what became of its command.
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
