//! **Nothing rejected, nobody halts** (the step contract): among correct servers no message is ever
//! refused as impossible, and no server ever contradicts its own disk or state machine.
//!
//! Exactly: no step has an effect `Rejected` or `Halt`, and no restart fails. These are noted beside
//! the property that a search finds: a server that defends itself does not excuse the one that made
//! it necessary.
//!
//! Witnesses: a server answered a leader of an older term (which is late, and not impossible); a
//! server restarted with entries on its disk.

use raft_core::{Message, Node};
use raft_trace::{Action, Envelope};

/// Whether a deposed leader's request arrived.
pub fn witnessed(before: &Node, action: &Action) -> bool {
    let Action::Deliver(Envelope { message, .. }) = action else {
        return false;
    };
    matches!(message, Message::AppendEntries(_)) && message.term() < before.current_term
}
