//! **Monotonic** (paper, Figure 2, State): some numbers increase monotonically, and some must stay
//! in order.
//!
//! Exactly: the term on the disk never decreases; the term, `commit_index` and `last_applied` of a
//! process never do; `match_index` never does within a leadership, and `next_index` is above it;
//! `commit_index` is at most the last index; the snapshot reaches at most to `commit_index`.
//!
//! Witness: a leader received an acknowledgement of less than it already knew.

use raft_core::{AppendOutcome, Message, Node, PersistentState, Role};
use raft_trace::{Action, Envelope};

use super::leads_throughout;

/// Returns whether the disk went back to an earlier term.
pub fn disk_broken(before: &PersistentState, after: &PersistentState) -> bool {
    after.current_term < before.current_term
}

/// Returns whether a number of a process decreased or got out of order.
pub fn broken(before: &Node, after: &Node) -> bool {
    let went_back = after.current_term < before.current_term
        || after.commit_index < before.commit_index
        || after.last_applied < before.last_applied;
    let out_of_order =
        after.commit_index > after.log.last_index() || after.log.base().index > after.commit_index;
    went_back || out_of_order || progress_broken(before, after)
}

fn progress_broken(before: &Node, after: &Node) -> bool {
    let Role::Leader(leadership) = &after.role else {
        return false;
    };
    let out_of_order = leadership.followers.values().any(|f| f.next_index <= f.match_index);
    let went_back = match &before.role {
        Role::Leader(earlier) if leads_throughout(before, after) => {
            leadership.followers.iter().any(|(follower, progress)| {
                let known = earlier.followers.get(follower);
                known.is_some_and(|known| progress.match_index < known.match_index)
            })
        }
        _ => false,
    };
    out_of_order || went_back
}

/// Returns whether an acknowledgement came late.
pub fn witnessed(before: &Node, action: &Action) -> bool {
    let Action::Deliver(Envelope { from, message: Message::AppendEntriesReply(reply), .. }) =
        action
    else {
        return false;
    };
    let Role::Leader(leadership) = &before.role else {
        return false;
    };
    let known = leadership.followers.get(from).map(|progress| progress.match_index);
    match reply.outcome {
        AppendOutcome::Matched { match_index } => {
            reply.term == before.current_term && Some(match_index) < known
        }
        AppendOutcome::StaleTerm | AppendOutcome::Conflict { .. } => false,
    }
}
