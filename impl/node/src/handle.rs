//! What the rest of a program does with a running node.

use std::collections::BTreeMap;

use raft_core::{Bytes, Index, NodeId, Progress, Term};
use tokio::sync::{mpsc, oneshot};

use crate::wire::MAX_COMMAND;

/// Why a command was not applied, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This server does not lead. The command was not and will not be applied.
    #[error("this server does not lead")]
    NotLeader {
        /// Who does, as far as it knows.
        leader: Option<NodeId>,
    },
    /// Too much is under way. The command was not and will not be applied.
    #[error("too much is under way; try again later")]
    Overloaded,
    /// The command is longer than [`MAX_COMMAND`]. It was not and will not be applied.
    #[error("a command is at most {MAX_COMMAND} bytes long")]
    TooLarge,
    /// Another leader's entry took its place. The command was not and will not be applied.
    #[error("another leader's entry took the command's place")]
    Superseded,
    /// The command may have been applied, or may still be.
    #[error("it is unknown whether the command was or will be applied")]
    Unknown,
}

/// Why a read was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// This server does not lead, or stopped leading meanwhile.
    #[error("this server does not lead")]
    NotLeader {
        /// Who does, as far as it knows.
        leader: Option<NodeId>,
    },
    /// Too many reads are under way, or the leader is too new to know what is committed.
    #[error("not now; try again soon")]
    Overloaded,
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}

/// How a node sees itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// `follower`, `candidate` or `leader`.
    pub role: &'static str,
    /// Its current term.
    pub term: Term,
    /// The leader of that term, if it knows one.
    pub leader: Option<NodeId>,
    /// The last index of its log.
    pub last_index: Index,
    /// The last index that is on its disk.
    pub durable_index: Index,
    /// The highest index known to be committed.
    pub commit_index: Index,
    /// The last index that the state machine reflects.
    pub applied_index: Index,
    /// The last index that the snapshot at the base of its log covers.
    pub snapshot_index: Index,
    /// About how many bytes the entries after that take.
    pub log_bytes: u64,
    /// What a leader knows of the others; empty elsewhere.
    pub followers: BTreeMap<NodeId, Progress>,
}

/// What a [`NodeHandle`] asks of the node, and where the answer goes.
#[derive(Debug)]
pub enum Request {
    /// Replicate a command, and say what the state machine answers.
    Propose(Bytes, oneshot::Sender<Result<Bytes, ProposeError>>),
    /// Say when the state machine may be read.
    Read(oneshot::Sender<Result<Index, ReadError>>),
    /// Say how the node sees itself.
    Status(oneshot::Sender<NodeStatus>),
    /// Begin to take a snapshot.
    TakeSnapshot(oneshot::Sender<Index>),
    /// Stop.
    Shutdown,
}

/// A running node, for those who use it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    pub(crate) requests: mpsc::Sender<Request>,
}

impl NodeHandle {
    /// A handle for a node that takes its requests from the other end of this channel.
    pub fn new(requests: mpsc::Sender<Request>) -> NodeHandle {
        NodeHandle { requests }
    }

    /// Replicates a command, and returns what the state machine says when it has applied it.
    ///
    /// Whoever stops waiting does not stop the command.
    ///
    /// # Errors
    ///
    /// [`ProposeError`] says whether the command can still take effect.
    pub async fn propose(&self, command: Bytes) -> Result<Bytes, ProposeError> {
        if command.as_slice().len() > MAX_COMMAND {
            return Err(ProposeError::TooLarge);
        }
        let (answer, answered) = oneshot::channel();
        let request = Request::Propose(command, answer);
        self.requests.try_send(request).map_err(|_| ProposeError::Overloaded)?;
        answered.await.unwrap_or(Err(ProposeError::Unknown))
    }

    /// Waits until the state machine of this server, which must lead, reflects everything that was
    /// acknowledged anywhere before the call. What is read from it then is linearizable. Returns the
    /// index that it reflects at least.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; the read can be tried again anywhere.
    pub async fn read_barrier(&self) -> Result<Index, ReadError> {
        let (answer, answered) = oneshot::channel();
        self.requests.try_send(Request::Read(answer)).map_err(|_| ReadError::Overloaded)?;
        answered.await.unwrap_or(Err(ReadError::Stopped))
    }

    /// How the node sees itself; none when it has stopped.
    pub async fn status(&self) -> Option<NodeStatus> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::Status(answer)).await.ok()?;
        answered.await.ok()
    }

    /// Begins to take a snapshot, unless one is being taken; returns the index that it reaches at
    /// least, or none when the node has stopped.
    pub async fn take_snapshot(&self) -> Option<Index> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::TakeSnapshot(answer)).await.ok()?;
        answered.await.ok()
    }

    /// Waits until the node has ended.
    pub async fn ended(&self) {
        self.requests.closed().await;
    }

    /// Asks the node to stop cleanly. [`RunningNode::join`](crate::RunningNode::join) waits for it.
    pub async fn shutdown(&self) {
        // It fails only if the node has stopped already.
        let _ = self.requests.send(Request::Shutdown).await;
    }
}
