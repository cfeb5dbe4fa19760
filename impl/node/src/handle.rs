//! The interface through which a program uses a running node.

use std::collections::BTreeMap;
use std::time::Duration;

use raft_core::{Bytes, Index, NodeId, Progress, Term};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::wire::MAX_COMMAND;

/// The reason why a command was not applied, or why its outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This server does not lead. The command was not and will not be applied.
    #[error("this server does not lead")]
    NotLeader {
        /// The leader, if this server knows it.
        leader: Option<NodeId>,
    },
    /// Too much work is in progress. The command was not and will not be applied.
    #[error("too much is under way; try again later")]
    Overloaded,
    /// The command is longer than [`MAX_COMMAND`]. It was not and will not be applied.
    #[error("a command is at most {MAX_COMMAND} bytes long")]
    TooLarge,
    /// The node had stopped before the call. The command was not and will not be applied.
    #[error("the node has stopped")]
    Stopped,
    /// Another leader's entry was committed in place of the command's entry, or in place of an
    /// entry before it. The command was not and will not be applied.
    #[error("another leader's entry was committed in the command's place")]
    Superseded,
    /// The command may have been applied, or may still be applied. Its time limit has passed, the
    /// node has stopped, or its entry was replaced in this server's log and may still be in the
    /// logs of other servers.
    #[error("it is unknown whether the command was or will be applied")]
    Unknown,
}

/// The reason why a read was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// This server does not lead, or stopped leading during the read.
    #[error("this server does not lead")]
    NotLeader {
        /// The leader, if this server knows it.
        leader: Option<NodeId>,
    },
    /// Too many reads are in progress, or the leader has not yet committed an entry in its term.
    #[error("not now; try again soon")]
    Overloaded,
    /// No majority confirmed within [`Bounds::request_timeout`](crate::Bounds::request_timeout)
    /// that this server still leads.
    #[error("no majority confirmed in time that this server still leads")]
    TimedOut,
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}

/// The status of a node, as the node itself sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// `follower`, `candidate` or `leader`.
    pub role: &'static str,
    /// Its current term.
    pub term: Term,
    /// The leader of that term, if the node knows it.
    pub leader: Option<NodeId>,
    /// The last index of its log.
    pub last_index: Index,
    /// The last index that is durable on its disk.
    pub durable_index: Index,
    /// The highest index known to be committed.
    pub commit_index: Index,
    /// The last index that the state machine reflects.
    pub applied_index: Index,
    /// The last index that the snapshot at the base of its log covers.
    pub snapshot_index: Index,
    /// The approximate size of the entries after that index, in bytes.
    pub log_bytes: u64,
    /// The status of the other servers, as the node sees it.
    pub peers: BTreeMap<NodeId, PeerStatus>,
}

/// The status of another server, as this server sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerStatus {
    /// The time since this server last received a message from the other server. None if it has
    /// received none since it was started. A refused greeting does not count.
    pub last_heard: Option<Duration>,
    /// On a leader, the progress of replication to the other server.
    pub progress: Option<Progress>,
    /// Whether this server is sending a snapshot to the other server.
    pub receives_snapshot: bool,
    /// The reason why this server recently refused a greeting of the other server, if it did.
    pub refused: Option<String>,
    /// The reason why the other server recently refused a greeting of this server, if it did.
    pub refuses: Option<String>,
    /// On a leader, whether the other server keeps up with the replication.
    pub replication: Option<Replication>,
}

/// Whether a follower keeps up with the replication, as the leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replication {
    /// The follower answers, and lacks no more entries than may be in flight to it.
    Current,
    /// The follower answers, and lacks more entries than that.
    Behind,
    /// The leader received no message from the follower for too long, or never.
    Silent,
    /// The leader is sending a snapshot to the follower. The follower need not answer before it has
    /// received the whole snapshot.
    Snapshot,
    /// The follower refuses the leader's greetings, or the leader refuses the follower's greetings.
    Refused,
}

impl PeerStatus {
    /// Returns whether the server keeps up, for a leader whose log ends at `last_index`. A server
    /// that keeps up has sent a message within `patience`, and lacks at most `window` entries.
    /// Returns none if this server does not lead.
    pub(crate) fn replication(
        &self,
        last_index: Index,
        patience: Duration,
        window: u64,
    ) -> Option<Replication> {
        let match_index = self.progress?.match_index;
        Some(if self.refused.is_some() || self.refuses.is_some() {
            Replication::Refused
        } else if self.receives_snapshot {
            Replication::Snapshot
        } else if self.last_heard.is_none_or(|ago| ago > patience) {
            Replication::Silent
        } else if last_index.since(match_index) > window {
            Replication::Behind
        } else {
            Replication::Current
        })
    }
}

/// A request of a [`NodeHandle`] to the node, with the channel for the answer.
#[derive(Debug)]
pub enum Request {
    /// Replicate a command, and return the answer of the state machine.
    Propose(Bytes, oneshot::Sender<Result<Bytes, ProposeError>>),
    /// Report when the state machine may be read.
    Read(oneshot::Sender<Result<Index, ReadError>>),
    /// Report the status of the node.
    Status(oneshot::Sender<NodeStatus>),
    /// Begin to take a snapshot.
    TakeSnapshot(oneshot::Sender<Index>),
    /// Stop the node.
    Shutdown,
}

/// A handle for using a running node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    pub(crate) requests: mpsc::Sender<Request>,
}

impl NodeHandle {
    /// Creates a handle for a node that takes its requests from the other end of this channel.
    pub fn new(requests: mpsc::Sender<Request>) -> NodeHandle {
        NodeHandle { requests }
    }

    /// Replicates a command. Returns the answer of the state machine after it has applied the
    /// command.
    ///
    /// If the caller stops waiting, the command is not cancelled. The answer arrives within
    /// [`Bounds::request_timeout`](crate::Bounds::request_timeout), unless the disk hangs.
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
        self.requests.try_send(request).map_err(|error| match error {
            TrySendError::Full(_) => ProposeError::Overloaded,
            TrySendError::Closed(_) => ProposeError::Stopped,
        })?;
        answered.await.unwrap_or(Err(ProposeError::Unknown))
    }

    /// Waits until the state machine of this server reflects every command that any server
    /// acknowledged before the call. This server must lead. A read of the state machine after that
    /// is linearizable. Returns an index that the state machine has reached.
    ///
    /// # Errors
    ///
    /// After any [`ReadError`] the read can be tried again, on any server.
    pub async fn read_barrier(&self) -> Result<Index, ReadError> {
        let (answer, answered) = oneshot::channel();
        self.requests.try_send(Request::Read(answer)).map_err(|error| match error {
            TrySendError::Full(_) => ReadError::Overloaded,
            TrySendError::Closed(_) => ReadError::Stopped,
        })?;
        answered.await.unwrap_or(Err(ReadError::Stopped))
    }

    /// Returns the status of the node, or none if it has stopped.
    pub async fn status(&self) -> Option<NodeStatus> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::Status(answer)).await.ok()?;
        answered.await.ok()
    }

    /// Begins to take a snapshot, unless one is being taken. Returns the last applied index, or
    /// none if the node has stopped. A snapshot that begins with this call covers at least this
    /// index.
    pub async fn take_snapshot(&self) -> Option<Index> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::TakeSnapshot(answer)).await.ok()?;
        answered.await.ok()
    }

    /// Waits until the node has stopped.
    pub async fn ended(&self) {
        self.requests.closed().await;
    }

    /// Asks the node to stop cleanly. [`RunningNode::join`](crate::RunningNode::join) waits until
    /// it has stopped.
    pub async fn shutdown(&self) {
        // The send fails only if the node has stopped already.
        let _ = self.requests.send(Request::Shutdown).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::{Pace, ReadRound};

    const SECOND: Duration = Duration::from_secs(1);

    fn replication(change: impl FnOnce(&mut PeerStatus)) -> Option<Replication> {
        let (next_index, match_index) = (Index(91), Index(90));
        let (pace, acked_round) = (Pace::Replicate, ReadRound(0));
        let progress = Progress { next_index, match_index, pace, acked_round };
        let mut peer = PeerStatus {
            last_heard: Some(SECOND),
            progress: Some(progress),
            ..PeerStatus::default()
        };
        change(&mut peer);
        peer.replication(Index(100), SECOND, 10)
    }

    #[tokio::test]
    async fn a_node_that_has_stopped_is_not_one_that_has_too_much_to_do() {
        let (requests, inbox) = mpsc::channel(1);
        let handle = NodeHandle::new(requests);
        drop(inbox);
        let command = Bytes::from("x");
        assert_eq!(handle.propose(command.clone()).await, Err(ProposeError::Stopped));
        assert_eq!(handle.read_barrier().await, Err(ReadError::Stopped));

        let (requests, _inbox) = mpsc::channel(1);
        requests.try_send(Request::Shutdown).expect("it has room for one");
        let handle = NodeHandle::new(requests);
        assert_eq!(handle.propose(command).await, Err(ProposeError::Overloaded));
        assert_eq!(handle.read_barrier().await, Err(ReadError::Overloaded));
    }

    #[test]
    fn a_follower_does_its_part_if_it_answers_has_the_log_and_nobody_is_refused() {
        assert_eq!(replication(|_| {}), Some(Replication::Current));
        let far = |peer: &mut PeerStatus| {
            peer.progress.as_mut().expect("it leads").match_index = Index(89);
        };
        assert_eq!(replication(far), Some(Replication::Behind));
        let late = |peer: &mut PeerStatus| peer.last_heard = Some(SECOND + SECOND);
        assert_eq!(replication(late), Some(Replication::Silent));
        assert_eq!(replication(|peer| peer.last_heard = None), Some(Replication::Silent));
        let receives = |peer: &mut PeerStatus| peer.receives_snapshot = true;
        assert_eq!(replication(receives), Some(Replication::Snapshot));
        let by_us = |peer: &mut PeerStatus| peer.refused = Some("why".to_owned());
        assert_eq!(replication(by_us), Some(Replication::Refused));
        let by_it = |peer: &mut PeerStatus| peer.refuses = Some("why".to_owned());
        assert_eq!(replication(by_it), Some(Replication::Refused));
        assert_eq!(replication(|peer| peer.progress = None), None, "only a leader knows");
    }
}
