//! The verdict on a history, key by key.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::explain::Explanation;
use super::search::{Budget, Found, search};
use super::{Bytes, Call, History, Limit, Model};

/// The verdict whether the calls of a key are linearizable.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The calls are linearizable.
    Linearizable {
        /// The positions of calls in the history, in an order that explains all answers. A call of
        /// unknown outcome that is not among them had no effect that any answer shows.
        order: Vec<usize>,
    },
    /// The calls are not linearizable.
    NotLinearizable(Explanation),
    /// The limit was reached before there was a verdict. This is not a success. The explanation
    /// shows how far the search came.
    GaveUp(Explanation),
}

/// The verdict on one key.
#[derive(Clone, Debug, Serialize)]
pub struct KeyReport {
    /// The key.
    pub key: Bytes,
    /// The number of calls that concern the key.
    pub calls: usize,
    /// The number of these calls whose outcome is unknown.
    pub unknown: usize,
    /// The number of states that were computed or compared.
    pub steps: u64,
    /// The verdict.
    pub verdict: Verdict,
}

/// The verdict on a history.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The verdict on each key, in the order of the keys.
    pub keys: Vec<KeyReport>,
}

/// Decides whether a history is linearizable.
///
/// If the limit is reached at one key, the search gives up on the keys after it, too.
pub fn check<M: Model>(history: &History<M::Operation, M::Answer>, limit: Limit) -> Report {
    let mut by_key: BTreeMap<&Bytes, Vec<usize>> = BTreeMap::new();
    for (place, call) in history.calls().iter().enumerate() {
        by_key.entry(&call.key).or_default().push(place);
    }
    let mut budget = Budget::new(limit);
    let keys = by_key.into_iter().map(|(key, places)| {
        let calls: Vec<_> = places.iter().map(|place| history.calls()[*place].clone()).collect();
        let before = budget.steps;
        let verdict = check_key::<M>(&calls, &places, &mut budget);
        let unknown = calls.iter().filter(|call| call.is_unknown()).count();
        let steps = budget.steps - before;
        KeyReport { key: key.clone(), calls: calls.len(), unknown, steps, verdict }
    });
    Report { keys: keys.collect() }
}

fn check_key<M: Model>(
    calls: &[Call<M::Operation, M::Answer>],
    places: &[usize],
    budget: &mut Budget,
) -> Verdict {
    match search::<M>(calls, budget) {
        Found::Order(order) => {
            let order = order.into_iter().map(|index| places[index]).collect();
            Verdict::Linearizable { order }
        }
        Found::Nothing(furthest, calls) => {
            let explanation = Explanation::new::<M>(&calls, places, &furthest, budget);
            Verdict::NotLinearizable(explanation)
        }
        Found::GaveUp(furthest) => {
            Verdict::GaveUp(Explanation::so_far::<M>(calls, places, &furthest))
        }
    }
}

impl Report {
    /// Returns whether every key is linearizable. A key for which the search gave up does not count
    /// as linearizable.
    pub fn is_linearizable(&self) -> bool {
        self.keys.iter().all(|key| matches!(key.verdict, Verdict::Linearizable { .. }))
    }

    /// Returns whether at least one key is known not to be linearizable.
    pub fn is_violated(&self) -> bool {
        self.keys.iter().any(|key| matches!(key.verdict, Verdict::NotLinearizable(_)))
    }
}

impl fmt::Display for Report {
    /// Writes the violations and the verdict. Each line has at most 100 columns, without colour.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls: usize = self.keys.iter().map(|key| key.calls).sum();
        let unknown: usize = self.keys.iter().map(|key| key.unknown).sum();
        for KeyReport { key, calls, unknown, steps, verdict } in &self.keys {
            match verdict {
                Verdict::Linearizable { .. } => {}
                Verdict::NotLinearizable(explanation) => {
                    writeln!(f, "Key {key} is NOT LINEARIZABLE.\n\n{explanation}")?;
                }
                Verdict::GaveUp(furthest) => {
                    writeln!(f, "Key {key}: GAVE UP after {steps} steps. This is no success.")?;
                    writeln!(
                        f,
                        "Of its {calls} calls, {unknown} have an unknown outcome. Raise the"
                    )?;
                    writeln!(f, "limit, or record with more keys.\n\n{furthest}")?;
                }
            }
        }
        let verdict = match (self.is_linearizable(), self.is_violated()) {
            (true, _) => "LINEARIZABLE",
            (_, true) => "NOT LINEARIZABLE",
            (false, false) => "UNDECIDED",
        };
        let keys = self.keys.len();
        write!(f, "{verdict}: {calls} calls, {unknown} of unknown outcome, {keys} keys.")
    }
}
