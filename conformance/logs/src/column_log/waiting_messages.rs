//! The messages of a server that wait for its disk.

use std::collections::VecDeque;

use raft_core::{Effect, Input, Mark, Message, NodeId};
use raft_trace::NodeRecord;

/// The messages of one server that wait for its disk.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    waiting: VecDeque<(Mark, T)>,
}

impl<T> Default for Outbox<T> {
    fn default() -> Outbox<T> {
        Outbox { waiting: VecDeque::new() }
    }
}

impl<T> Outbox<T> {
    /// Returns the messages that leave with a record, oldest first, each as converted by `keep`.
    pub(super) fn pass(
        &mut self,
        record: &NodeRecord,
        keep: impl Fn(NodeId, &Message) -> T,
    ) -> Vec<T> {
        let NodeRecord::Step { input, effects, .. } = record else {
            // Messages that had not left before the crash never will.
            self.waiting.clear();
            return Vec::new();
        };
        let mut left = Vec::new();
        if let Input::Durable { mark } = input {
            while let Some((_, kept)) = self.waiting.pop_front_if(|(after, _)| *after <= *mark) {
                left.push(kept);
            }
        }
        for effect in effects {
            if let Effect::Send { to, message, after } = effect {
                match after {
                    Some(mark) => self.waiting.push_back((*mark, keep(*to, message))),
                    None => left.push(keep(*to, message)),
                }
            }
        }
        left
    }
}
