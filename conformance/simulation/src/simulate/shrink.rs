//! Finds a smaller run that fails like a given one: first with fewer faults, servers, clients and
//! keys, then in less time.
//!
//! A smaller run is a different run, because its random choices are different. So each smaller
//! set-up gets a few attempts to fail, and the smallest set-up gets many.

use std::time::Duration;

use super::{Length, Outcome, Variant, run_variant};

/// The greatest number of steps of raft-core in all attempts.
const STEPS: u64 = 4_000_000;

/// The number of attempts of each smaller set-up.
const CHANCES: u64 = 4;

/// The number of attempts of the smallest set-up.
const LAST_CHANCES: u64 = 150;

/// Returns the run with the fewest steps, among those tried, that breaks the same property. This
/// run is recorded.
pub fn shrink(failed: &Outcome, length: Length) -> Outcome {
    let whole = run_variant(&failed.variant, length, true);
    let mut shrinking = Shrinking { best: whole, length, steps: 0 };
    for fault in failed.faults.clone() {
        let mut variant = shrinking.best.variant.clone();
        variant.without.push(fault);
        shrinking.try_few(&variant);
    }
    for servers in [1, 2, 3].into_iter().filter(|servers| *servers < failed.variant.servers) {
        let variant = Variant { servers, ..shrinking.best.variant.clone() };
        if shrinking.try_few(&variant) {
            break;
        }
    }
    for clients in 1..=4 {
        let variant = Variant { clients, ..shrinking.best.variant.clone() };
        if shrinking.try_few(&variant) {
            break;
        }
    }
    let variant = Variant { keys: 1, ..shrinking.best.variant.clone() };
    shrinking.try_few(&variant);
    for part in [4, 2] {
        let chaos = shrinking.best.simulated.min(length.chaos) / part;
        let variant = Variant { chaos, ..shrinking.best.variant.clone() };
        shrinking.try_few(&variant);
    }
    for chance in 1..=LAST_CHANCES {
        let chance = Variant { chance, ..shrinking.best.variant.clone() };
        shrinking.try_once(&chance);
    }
    shrinking.best
}

struct Shrinking {
    best: Outcome,
    length: Length,
    /// The number of steps so far.
    steps: u64,
}

impl Shrinking {
    fn try_few(&mut self, variant: &Variant) -> bool {
        let own = variant.chance;
        let mut chances =
            (0..CHANCES).map(|chance| Variant { chance: own + chance, ..variant.clone() });
        chances.any(|variant| self.try_once(&variant))
    }

    /// Tries a run. Returns whether it fails like the best one in fewer steps; then it becomes the
    /// best one.
    fn try_once(&mut self, variant: &Variant) -> bool {
        let property = |outcome: &Outcome| outcome.broken.as_ref().map(|broken| broken.property);
        if self.steps >= STEPS {
            return false;
        }
        // A run that takes longer is not smaller.
        let soon = self.best.simulated.saturating_sub(Duration::from_millis(1));
        let chaos = if self.best.simulated < self.length.chaos { soon } else { variant.chaos };
        let variant = Variant { chaos: variant.chaos.min(chaos), ..variant.clone() };
        let outcome = run_variant(&variant, self.length, true);
        self.steps += outcome.steps;
        let smaller = property(&outcome) == property(&self.best) && outcome.steps < self.best.steps;
        if smaller {
            self.best = outcome;
        }
        smaller
    }
}
