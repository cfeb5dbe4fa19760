//! The messages of a run, each with the step that sent it and the step that delivered or lost it.

use std::collections::{BTreeMap, VecDeque};

use raft_trace::{Action, Envelope};

use crate::replay::Replay;

/// A message that arrived or was lost.
pub(super) struct MessageArrow<'a> {
    pub(super) envelope: &'a Envelope,
    pub(super) departure: Departure,
    /// The step at which its arrow ends, counted from 0.
    pub(super) ends_at: usize,
    pub(super) lost: bool,
}

/// The origin of a message or of a copy of it.
#[derive(Clone, Copy)]
pub(super) struct Departure {
    /// The step, counted from 0.
    pub(super) step: usize,
    /// Whether it is a copy that the network made of a message under way.
    pub(super) is_copy: bool,
}

/// Pairs every delivery and loss with the oldest departure of an equal message.
pub(super) fn message_arrows(replay: &Replay) -> Vec<MessageArrow<'_>> {
    let mut under_way: BTreeMap<&Envelope, VecDeque<Departure>> = BTreeMap::new();
    let mut message_arrows = Vec::new();
    for (step, replayed) in replay.steps.iter().enumerate() {
        match &replayed.action {
            Action::Deliver(envelope) | Action::Drop(envelope) => {
                let departures = under_way.get_mut(envelope);
                if let Some(departure) = departures.and_then(VecDeque::pop_front) {
                    let lost = matches!(replayed.action, Action::Drop(_));
                    message_arrows.push(MessageArrow { envelope, departure, ends_at: step, lost });
                }
            }
            Action::Duplicate(envelope) => {
                let copy = Departure { step, is_copy: true };
                under_way.entry(envelope).or_default().push_back(copy);
            }
            _ => {}
        }
        for envelope in &replayed.sent {
            let sending = Departure { step, is_copy: false };
            under_way.entry(envelope).or_default().push_back(sending);
        }
    }
    message_arrows
}
