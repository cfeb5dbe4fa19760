//! Infers the outcomes of calls of unknown outcome from reads.
//!
//! Each version has exactly one write. If a read saw a version that no answered write has, a call
//! of unknown outcome wrote it. If only one such call can have written the value, that call wrote
//! it. Then its answer is known, and it took effect before the read returned. If most values
//! differ, few calls of unknown outcome remain, and no read saw their effects.

use std::collections::{BTreeMap, BTreeSet};

use super::operation::{Answer, Operation};
use super::{Bytes, Call, Outcome};

/// The value that reads saw at a version.
struct Sighting<'a> {
    value: &'a Bytes,
    /// The first return of these reads.
    returned: u64,
}

/// Returns the calls, all of one key, with the outcomes that follow from reads.
pub(super) fn infer(calls: &[Call<Operation, Answer>]) -> Vec<Call<Operation, Answer>> {
    let mut calls = calls.to_vec();
    let seen = calls.clone();
    let mut sightings = sightings(&seen);
    // Each inferred outcome leaves fewer calls for the other sightings.
    loop {
        let before = sightings.len();
        sightings.retain(|&version, sighting| {
            let writers = calls.iter_mut().filter(|call| {
                call.is_unknown()
                    && call.invoked <= sighting.returned
                    && may_write(&call.operation, sighting.value, version)
            });
            let Ok([writer]) = <[_; 1]>::try_from(writers.take(2).collect::<Vec<_>>()) else {
                return true;
            };
            let answer = Answer::Written { version, length: sighting.value.len() as u64 };
            writer.outcome = Outcome::Ok { returned: sighting.returned, answer };
            false
        });
        if sightings.len() == before {
            return calls;
        }
    }
}

/// Returns the values that reads saw, for the versions that no answered write has.
fn sightings(calls: &[Call<Operation, Answer>]) -> BTreeMap<u64, Sighting<'_>> {
    let written: BTreeSet<u64> = calls
        .iter()
        .filter_map(|call| match call.answer()?.1 {
            Answer::Written { version, .. } => Some(*version),
            _ => None,
        })
        .collect();
    let mut sightings: BTreeMap<u64, Sighting<'_>> = BTreeMap::new();
    for call in calls {
        let Some((returned, Answer::Found { value, version })) = call.answer() else { continue };
        if !written.contains(version) {
            let sighting = sightings.entry(*version).or_insert(Sighting { value, returned });
            sighting.returned = sighting.returned.min(returned);
        }
    }
    sightings
}

/// Returns whether an operation can have written this value with this version.
fn may_write(operation: &Operation, made: &Bytes, version: u64) -> bool {
    match operation {
        Operation::Put { value } => value == made,
        Operation::Append { suffix } => made.ends_with(suffix),
        Operation::CompareAndSet { expected, value } => {
            value == made && expected.is_none_or(|expected| expected < version)
        }
        Operation::Get | Operation::Delete => false,
    }
}
