//! A message of another server, and the frames in which it travels.

use raft_core::{Message, NodeId, Term};

use crate::wire::{self, Frame};

/// A message of another server, on a connection for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerMessage {
    /// A message of Raft.
    Message(Message),
    /// It leads this term, and is busy sending a snapshot.
    LeaderAlive(Term),
}

impl PeerMessage {
    /// As what it travels: entries of more than `batch` bytes, at most
    /// [`BATCH_BYTES`](wire::BATCH_BYTES), take several frames.
    pub fn frames(self, batch: usize) -> Vec<Frame> {
        match self {
            PeerMessage::Message(message) => {
                wire::split(message, batch).into_iter().map(Frame::Raft).collect()
            }
            PeerMessage::LeaderAlive(term) => vec![Frame::LeaderAlive(term)],
        }
    }

    /// What a frame says; none if it does not belong on a connection for messages. There an offer of a
    /// snapshot would be one without its file.
    pub fn of(frame: Frame) -> Option<PeerMessage> {
        match frame {
            Frame::Raft(Message::InstallSnapshot(_)) => None,
            Frame::Raft(message) => Some(PeerMessage::Message(message)),
            Frame::LeaderAlive(term) => Some(PeerMessage::LeaderAlive(term)),
            _ => None,
        }
    }
}

/// A message, and the server that sent it.
#[derive(Debug)]
pub(crate) struct FromPeer {
    pub(crate) from: NodeId,
    pub(crate) message: PeerMessage,
}
