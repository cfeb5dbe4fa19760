//! Makes a trace to a difference short: leaves out what does not matter, as much as possible at a time
//! (delta debugging).

use super::Found;
use super::trace::Projected;

/// How many shorter traces are tried at most.
const ATTEMPTS: usize = 400;

/// The shortest trace of what happened to this server, among those tried, that still leads to a
/// difference in the same field. What remains need not be a run of the cluster, but it is one of the
/// server: each input is possible there.
pub(super) fn minimise(
    projected: &Projected<'_>,
    found: Found,
    tried: impl Fn(&Projected<'_>) -> Option<Found>,
) -> Found {
    let mut best = found;
    let mut attempts = 0;
    let mut size = best.trace.actions.len().div_ceil(2);
    while size > 0 {
        let mut smaller = false;
        let mut begin = 0;
        while begin < best.trace.actions.len() && attempts < ATTEMPTS {
            attempts += 1;
            let mut actions = best.trace.actions.clone();
            actions.drain(begin..actions.len().min(begin + size));
            let shorter = Projected { actions, ..projected.clone() };
            let same = |found: &Found| {
                found.divergence.field == best.divergence.field
                    && !found.divergence.is_impossible()
                    && found.trace.actions.len() < best.trace.actions.len()
            };
            match tried(&shorter).filter(same) {
                Some(found) => (best, smaller) = (found, true),
                None => begin += size,
            }
        }
        if attempts >= ATTEMPTS {
            break;
        }
        size = if smaller { size.min(best.trace.actions.len()) } else { size / 2 };
    }
    best
}
