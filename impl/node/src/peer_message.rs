//! Messages between servers, and the frames in which they are sent.

use raft_core::{Message, NodeId, Term};

use crate::wire::{self, Frame};

/// A message between two servers, on a connection for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerMessage {
    /// A Raft message.
    Message(Message),
    /// The sender leads this term, and is busy sending a snapshot.
    LeaderAlive(Term),
}

impl PeerMessage {
    /// Returns the frames in which the message is sent. Entries of more than `batch` bytes are
    /// split over several frames. `batch` is at most [`BATCH_BYTES`](wire::BATCH_BYTES).
    pub fn frames(self, batch: usize) -> Vec<Frame> {
        match self {
            PeerMessage::Message(message) => {
                wire::split(message, batch).into_iter().map(Frame::Raft).collect()
            }
            PeerMessage::LeaderAlive(term) => vec![Frame::LeaderAlive(term)],
        }
    }

    /// Returns the message in a frame, or none if the frame does not belong on a connection for
    /// messages. The offer of a snapshot does not belong there, because its file is sent on another
    /// connection.
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
