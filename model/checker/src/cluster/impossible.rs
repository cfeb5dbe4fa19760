//! Reasons why an action cannot be done.

use raft_core::{Index, NodeId};

/// The reason why an action cannot be done in this state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// There is no such server.
    #[error("there is no server {0}")]
    NoSuchServer(NodeId),
    /// The server is down.
    #[error("{0} is down")]
    Down(NodeId),
    /// The server is up.
    #[error("{0} is up already")]
    Up(NodeId),
    /// The message is not on the network.
    #[error("there is no such message on the network")]
    NoSuchMessage,
    /// Fewer writes are waiting.
    #[error("only {0} writes are waiting for the disk")]
    TooManyWrites(usize),
    /// The state machine has nothing to do, or has to wait for the disk.
    #[error("the state machine has nothing that it could do now")]
    NothingToApply,
    /// A crash cannot leave the state machine at that index.
    #[error("a crash cannot leave the state machine at index {0}")]
    BadApplied(Index),
    /// There is no new state for a snapshot, or one is being stored already, or there is none to
    /// finish.
    #[error("no snapshot can be started or finished now")]
    NoSnapshot,
}
