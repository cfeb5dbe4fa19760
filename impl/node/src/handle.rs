//! What the rest of a program does with a running node.

use std::collections::BTreeMap;
use std::time::Duration;

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
    /// Another leader's entry was committed in its place, or before it. The command was not and will
    /// not be applied.
    #[error("another leader's entry was committed in the command's place")]
    Superseded,
    /// The command may have been applied, or may still be: its time was over, or another leader's
    /// entry took its place in this server's log, and it may live on in those of others.
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
    /// No majority confirmed within [`Bounds::request_timeout`](crate::Bounds::request_timeout) that
    /// this server still leads.
    #[error("no majority confirmed in time that this server still leads")]
    TimedOut,
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
    /// What it knows of the other servers.
    pub peers: BTreeMap<NodeId, PeerStatus>,
}

/// What a server knows of another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerStatus {
    /// How long ago it was last heard, if ever since this server was started. A refused greeting does
    /// not count.
    pub last_heard: Option<Duration>,
    /// On a leader, how far its log is known to agree.
    pub progress: Option<Progress>,
    /// Whether a snapshot is on its way there.
    pub receives_snapshot: bool,
    /// Why this server refuses its greetings, if it did so lately.
    pub refused: Option<String>,
    /// Why it refuses this server's greetings, if it did so lately.
    pub refuses: Option<String>,
    /// On a leader, whether it does its part.
    pub replication: Option<Replication>,
}

/// Whether a follower does its part, as the leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replication {
    /// It answers, and has the log but for what may be under way to it.
    Current,
    /// It answers, and lacks more than that.
    Behind,
    /// It was not heard for too long, or never.
    Silent,
    /// It is being sent a snapshot, and need not answer before it has all of it.
    Snapshot,
    /// It refuses the leader, or the leader refuses it.
    Refused,
}

impl PeerStatus {
    /// Whether the server does its part for a leader whose log ends at `last_index`: it was heard
    /// within `patience`, and lacks at most `window` entries. None if this server does not lead.
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
    /// Whoever stops waiting does not stop the command. The answer comes within
    /// [`Bounds::request_timeout`](crate::Bounds::request_timeout), unless the disk stands still.
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
