//! Makes a trace to a difference short: leaves out what does not matter, as much as possible at a time
//! (delta debugging), then entries of the log and terms, with everything after them numbered anew.

use raft_core::Message;
use raft_trace::{Action, Envelope};

use super::Found;
use super::minimise_entries::{Numbers, possible};
use super::server_projection::Projected;

/// How many steps of the server are done at most, over all shorter traces that are tried. A step with
/// crashes and failing disks inside it counts as many.
const STEPS: usize = 40_000;

/// The shortest trace of what happened to this server, among those tried, that still leads to a
/// difference in the same field. What remains need not be a run of the cluster, but it is one of the
/// server: each input is possible there. `cost` says how many steps each step counts as.
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
    /// How many may still be done.
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
            // From the end: what comes late depends on what came early.
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

    /// Takes these actions, if they are fewer and lead to the same difference.
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

/// How many actions there are, and how many entries they carry.
fn size(actions: &[Action]) -> (usize, usize) {
    let entries = |action: &Action| match action {
        Action::Deliver(Envelope { message: Message::AppendEntries(request), .. }) => {
            request.entries.len()
        }
        _ => 0,
    };
    (actions.len(), actions.iter().map(entries).sum())
}
