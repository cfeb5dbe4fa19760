//! A part of a history that cannot be linearized, whatever came before.
//!
//! A long history that is not linearizable is mostly wrong in one place. But a search goes back from
//! there through everything that could have been different before, and which calls of unknown
//! outcome were used up long ago is nothing that the wrong place depends on.
//!
//! After a write that overwrites, the state depends only on that write. If ranks order it, they tell
//! which others stand before it. So take a write, leave out what certainly stands before it, and
//! let what may stand before or after it take effect or not. If the whole history is linearizable,
//! so is this window.

use super::model::{Effect, Model};
use super::{Call, Outcome};

/// The calls from a write on: of those that returned before `deadline`, the one that has `behind`
/// others behind it. What is left out is not done. `None` if there are too few writes.
pub(super) fn window<M: Model>(
    model: &M,
    calls: &[Call<M::Operation, M::Answer>],
    deadline: u64,
    behind: usize,
) -> Option<Vec<Call<M::Operation, M::Answer>>> {
    let rank = |call: &Call<_, _>| model.rank(&call.operation, call.answer()?.1);
    let is_start = |call: &&Call<_, _>| {
        call.answer().is_some_and(|(_, answer)| {
            model.effect(&call.operation, Some(answer)) == Effect::Overwrites
        })
    };
    let mut starts: Vec<(u64, u64, u64)> = calls
        .iter()
        .filter(is_start)
        .filter_map(|call| Some((rank(call)?, call.invoked, call.answer()?.0)))
        .filter(|(_, _, returned)| *returned < deadline)
        .collect();
    starts.sort_unstable();
    let (lowest, invoked, returned) = *starts.iter().rev().nth(behind)?;
    let outcome = |call: &Call<M::Operation, M::Answer>| match (rank(call), call.answer()) {
        (Some(rank), _) if rank < lowest => Outcome::NotDone,
        (None, Some((end, _))) if end < invoked => Outcome::NotDone,
        (None, Some(_)) if call.invoked <= returned => Outcome::Unknown,
        _ => call.outcome.clone(),
    };
    Some(calls.iter().map(|call| Call { outcome: outcome(call), ..call.clone() }).collect())
}
