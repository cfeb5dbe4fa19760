//! The actions that a server can do by itself, without the details that its cluster fills in.

use raft_core::Index;

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
