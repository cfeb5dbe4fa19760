//! Finds the few conflicting answers of a long history, so that a person has less to examine.
//!
//! To leave out the answer to a read, the read is dropped. To leave out the answer to any other
//! call, the call gets an unknown outcome. Both changes only make more orders possible. So if no
//! order explains the remaining answers, they cannot all be right, whatever the other calls did.

use std::fmt;

use super::explain::{Line, write_table};
use super::history::until;
use super::report::{Report, Verdict};
use super::search::{Budget, Found, search};
use super::search_limit::Limit;
use super::{Bytes, Call, Effect, History, Model, Outcome};

/// The number of states that may be computed or compared to decide whether answers can be left out.
const STEPS: u64 = 300_000;

/// Answers about one key that no order can explain together.
#[derive(Clone, Debug)]
pub struct Conflict<O, A> {
    /// The key.
    pub key: Bytes,
    /// The calls with these answers, ordered by invocation. No answer can be left out.
    pub calls: Vec<Call<O, A>>,
    /// The number of other calls to the key that may have had an effect.
    pub others: usize,
}

/// Returns the conflicting answers about the first key of a report that is not linearizable.
pub fn conflict<M: Model>(
    history: &History<M::Operation, M::Answer>,
    report: &Report,
) -> Option<Conflict<M::Operation, M::Answer>> {
    let found = report.keys.iter().find_map(|key| match &key.verdict {
        Verdict::NotLinearizable(explanation) => Some((key, explanation)),
        _ => None,
    });
    let (key, explanation) = found?;
    let calls = history.calls().iter().filter(|call| call.key == key.key);
    let calls: Vec<_> = calls.cloned().collect();
    let last = explanation.broken_by.as_ref().and_then(|line| line.returned);
    let mut calls = last.map_or_else(|| calls.clone(), |last| until(&calls, last));
    let mut size = calls.len().div_ceil(2);
    while size > 0 {
        let answered: Vec<usize> =
            (0..calls.len()).filter(|place| calls[*place].answer().is_some()).collect();
        let mut smaller = false;
        for places in answered.chunks(size) {
            let fewer = without::<M>(&calls, places);
            if is_impossible::<M>(&fewer) {
                (calls, smaller) = (fewer, true);
            }
        }
        size = if smaller && size == 1 { 1 } else { size / 2 };
    }
    let others = calls.iter().filter(|call| call.is_unknown()).count();
    calls.retain(|call| call.answer().is_some());
    calls.sort_by_key(|call| call.invoked);
    Some(Conflict { key: key.key.clone(), calls, others })
}

/// Returns the same calls, without the answers at these places.
fn without<M: Model>(
    calls: &[Call<M::Operation, M::Answer>],
    places: &[usize],
) -> Vec<Call<M::Operation, M::Answer>> {
    let model = M::new(calls);
    let mut calls = calls.to_vec();
    for place in places {
        let call = &mut calls[*place];
        let reads = model.effect(&call.operation, None) == Effect::Reads;
        call.outcome = if reads { Outcome::NotDone } else { Outcome::Unknown };
    }
    calls
}

fn is_impossible<M: Model>(calls: &[Call<M::Operation, M::Answer>]) -> bool {
    let mut budget = Budget::new(Limit { steps: STEPS, ..Limit::default() });
    matches!(search::<M>(calls, &mut budget), Found::Nothing(..))
}

impl<O: fmt::Display, A: fmt::Display> fmt::Display for Conflict<O, A> {
    /// Writes at most 100 columns per line if operations and answers are as short as those of the
    /// key-value service.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Conflict { key, calls, others } = self;
        writeln!(
            f,
            "Key {key}: these {} answers cannot all be right, whatever the other {others} calls did:\n",
            calls.len()
        )?;
        let lines: Vec<Line> =
            calls.iter().zip(0..).map(|(call, place)| Line::new(place, call)).collect();
        write_table(f, lines.iter().map(|line| ("-".to_owned(), line)))
    }
}
