//! The state that survives a crash: Figure 2, "Persistent state on all servers".

use serde::{Deserialize, Serialize};

use crate::effect::{LogWrite, VoteRecord, Write};
use crate::log::Log;
use crate::types::{NodeId, Term};

/// The state that survives a crash: Figure 2, "Persistent state on all servers".
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PersistentState {
    /// The latest term that the server has seen.
    pub current_term: Term,
    /// The candidate that received the server's vote in that term.
    pub voted_for: Option<NodeId>,
    /// The log, with the snapshot at its base.
    pub log: Log,
}

impl PersistentState {
    /// Applies a write to this image of a disk.
    pub fn write(&mut self, write: &Write) {
        if let Some(VoteRecord { current_term, voted_for }) = write.vote {
            self.current_term = current_term;
            self.voted_for = voted_for;
        }
        match &write.log {
            Some(LogWrite::Append { first, entries }) => {
                self.log.truncate_from(*first);
                self.log.append(entries.iter().cloned());
            }
            Some(LogWrite::Compact(snapshot)) => self.log.compact(snapshot.clone()),
            Some(LogWrite::Install(snapshot)) => self.log.install(snapshot.clone()),
            None => {}
        }
    }
}
