//! **Nothing rejected, nobody halts** (the step contract): among correct servers no message is ever
//! refused as impossible, and no server ever contradicts its own disk or state machine.
//!
//! Exactly: no step has an effect `Rejected` or `Halt`, and no restart fails. A search notes these
//! and goes on. A server that rejects a wrong message does not excuse the server that sent it, so
//! the search must still find the property that the sender breaks.
//!
//! Witnesses: a server answered a leader of an older term (which is late, and not impossible); a
//! server restarted with entries on its disk.

use raft_core::{Message, Node};
use raft_trace::{Action, Envelope};

/// Returns whether a deposed leader's request arrived.
pub fn witnessed(before: &Node, action: &Action) -> bool {
    let Action::Deliver(Envelope { message, .. }) = action else {
        return false;
    };
    matches!(message, Message::AppendEntries(_)) && message.term() < before.current_term
}
