//! Finds a part of a history that cannot be linearized, whatever came before it.
//!
//! A long history that is not linearizable usually has one wrong place. From there, the search goes
//! back through all alternatives before it, such as the earlier choices of calls of unknown
//! outcome. The wrong place does not depend on most of these choices.
//!
//! After a write that overwrites, the state depends only on that write. If the write has a rank,
//! the ranks show which other operations stand before it. The window of a write is made as follows.
//! Operations that certainly stand before the write are left out. Operations that may stand before
//! or after it get an unknown outcome. If the whole history is linearizable, so is this window.

use super::model::{Effect, Model};
use super::{Call, Outcome};

/// Returns the window of one write. The candidates are the ranked writes that overwrite and
/// returned before `deadline`; the window belongs to the one that has `behind` others after it.
/// Calls that are left out are marked as not done. Returns `None` if there are too few writes.
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
