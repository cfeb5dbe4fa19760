//! Finds a smaller run that fails like a given one: with fewer faults, servers, clients and keys first,
//! then in less time.
//!
//! A smaller run is another run: what is drawn at random falls differently. So each smaller set-up gets
//! a few chances to fail, and the smallest gets many.

use std::time::Duration;

use super::{Length, Outcome, Variant, run_variant};

/// How many steps of raft-core are done at most.
const STEPS: u64 = 4_000_000;

/// How often each smaller set-up may draw.
const CHANCES: u64 = 4;

/// How often the smallest set-up may draw.
const LAST_CHANCES: u64 = 150;

/// The run with the fewest steps, among those tried, that breaks the same property. It is recorded.
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
    /// How many were done so far.
    steps: u64,
}

impl Shrinking {
    fn try_few(&mut self, variant: &Variant) -> bool {
        let own = variant.chance;
        let mut chances =
            (0..CHANCES).map(|chance| Variant { chance: own + chance, ..variant.clone() });
        chances.any(|variant| self.try_once(&variant))
    }

    /// Whether this run fails like the best one, in fewer steps.
    fn try_once(&mut self, variant: &Variant) -> bool {
        let property = |outcome: &Outcome| outcome.broken.as_ref().map(|broken| broken.property);
        if self.steps >= STEPS {
            return false;
        }
        // What takes longer is not smaller.
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
