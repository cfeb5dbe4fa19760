//! Shortens a trace that leads to a difference. Removes actions that are not needed, as many as
//! possible at a time (delta debugging). Then removes log entries and terms, and renumbers the
//! later ones.

use raft_core::Message;
use raft_trace::{Action, Envelope};

use super::Found;
use super::minimise_entries::{Numbers, possible};
use super::server_projection::Projected;

/// The most steps of the server that are performed, over all shorter traces that are tried. A step
/// that is tried with crashes and failing disks counts as several steps.
const STEPS: usize = 40_000;

/// Returns the shortest trace of this server, among those tried, that still leads to a difference
/// in the same field. The trace need not be a run of a cluster, but it is a run of the server: each
/// action is possible in it. Each step counts as `cost` steps.
pub(super) fn minimise(
    projected: &Projected<'_>,
    found: Found,
    cost: usize,
    tried: impl Fn(&Projected<'_>) -> Option<Found>,
) -> Found {
    let mut shortening = Shortening { projected, best: found, steps: STEPS / cost.max(1), tried };
    loop {
        let before = size(&shortening.best.trace.actions);
        shortening.leave_out_parts();
        shortening.leave_out_numbers();
        if size(&shortening.best.trace.actions) == before || shortening.steps == 0 {
            return shortening.best;
        }
    }
}

struct Shortening<'p, 'a, T> {
    projected: &'p Projected<'a>,
    best: Found,
    /// The number of steps that may still be performed.
    steps: usize,
    tried: T,
}

impl<T: Fn(&Projected<'_>) -> Option<Found>> Shortening<'_, '_, T> {
    fn length(&self) -> usize {
        self.best.trace.actions.len()
    }

    fn leave_out_parts(&mut self) {
        let mut size = self.length().div_ceil(2);
        while size > 0 && self.steps > 0 {
            let mut smaller = false;
            // From the end, because later actions depend on earlier ones.
            let mut end = self.length();
            while end > 0 {
                let mut actions = self.best.trace.actions.clone();
                actions.drain(end.saturating_sub(size)..end);
                smaller |= self.is_shorter(actions);
                end = end.saturating_sub(size).min(self.length());
            }
            size = if smaller { size.min(self.length()) } else { size / 2 };
        }
    }

    fn leave_out_numbers(&mut self) {
        for index in self.numbers().indexes() {
            let shorter = self.numbers().without_index(&self.best.trace.actions, index);
            self.is_shorter(shorter);
        }
        for term in self.numbers().terms() {
            let shorter = self.numbers().without_term(&self.best.trace.actions, term);
            self.is_shorter(shorter);
        }
    }

    fn numbers(&self) -> Numbers {
        let Projected { settings, id, .. } = self.projected;
        Numbers::of(settings, *id, &self.best.trace.actions)
    }

    /// Keeps these actions if they are fewer and lead to a difference in the same field. Returns
    /// whether they are kept.
    fn is_shorter(&mut self, actions: Vec<Action>) -> bool {
        let Projected { settings, id, .. } = self.projected;
        let actions = possible(settings, *id, actions);
        let largest = size(&self.best.trace.actions);
        if size(&actions) >= largest || actions.len() > self.steps {
            return false;
        }
        self.steps -= actions.len().max(1);
        let found = (self.tried)(&Projected { actions, ..self.projected.clone() });
        let same = |found: &Found| {
            found.divergence.field == self.best.divergence.field
                && !found.divergence.is_impossible()
                && size(&found.trace.actions) < largest
        };
        match found.filter(same) {
            Some(found) => {
                self.best = found;
                true
            }
            None => false,
        }
    }
}

/// Returns the number of actions, and the number of entries in them.
fn size(actions: &[Action]) -> (usize, usize) {
    let entries = |action: &Action| match action {
        Action::Deliver(Envelope { message: Message::AppendEntries(request), .. }) => {
            request.entries.len()
        }
        _ => 0,
    };
    (actions.len(), actions.iter().map(entries).sum())
}
