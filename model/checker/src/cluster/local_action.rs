//! What a server can do by itself, without the parts that its cluster fills in.

use raft_core::{Bytes, Index, NodeId, ReadId};
use raft_trace::Action;

use super::budget::Used;

/// An action of one server, small and `Copy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LocalAction {
    ElectionTimeout,
    Heartbeat,
    Propose,
    Read,
    Sync { writes: usize },
    Apply,
    StartSnapshot,
    FinishSnapshot,
    Crash { writes_kept: usize, applied_kept: Index },
    Restart,
}

impl LocalAction {
    /// The action in full. The k-th proposal of a run proposes the k-th value: the values stand for
    /// any distinct commands, and numbering them in this order is what folds their symmetry.
    pub(crate) fn of(self, server: NodeId, used: Used) -> Action {
        match self {
            LocalAction::ElectionTimeout => Action::ElectionTimeout { server },
            LocalAction::Heartbeat => Action::Heartbeat { server },
            LocalAction::Propose => Action::Propose { server, command: value(used.proposals) },
            LocalAction::Read => Action::Read { server, id: ReadId(u64::from(used.reads) + 1) },
            LocalAction::Sync { writes } => Action::Sync { server, writes },
            LocalAction::Apply => Action::Apply { server },
            LocalAction::StartSnapshot => Action::StartSnapshot { server },
            LocalAction::FinishSnapshot => Action::FinishSnapshot { server },
            LocalAction::Crash { writes_kept, applied_kept } => {
                Action::Crash { server, writes_kept, applied_kept }
            }
            LocalAction::Restart => Action::Restart { server },
        }
    }
}

/// The command of the proposal after `proposals` others: `a`, `b`, .. `z`, `a1`, ..
fn value(proposals: u8) -> Bytes {
    let letter = char::from(b'a' + proposals % 26);
    match proposals / 26 {
        0 => Bytes::from(letter.to_string().as_str()),
        round => Bytes::from(format!("{letter}{round}").as_str()),
    }
}
