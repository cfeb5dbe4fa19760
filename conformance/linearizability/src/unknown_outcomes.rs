//! What reads tell about calls of unknown outcome.
//!
//! A value stands at a version, and every version has one write. If a read saw a version that no
//! answered write was given, a call of unknown outcome wrote it; if just one of them can have
//! written that value, it did. Then its answer is known, and that it took effect before that read
//! returned. Where values are mostly different, few calls of unknown outcome remain, and those are
//! ones that nobody saw.

use std::collections::{BTreeMap, BTreeSet};

use super::operation::{Answer, Operation};
use super::{Bytes, Call, Outcome};

/// What reads saw at a version.
struct Sighting<'a> {
    value: &'a Bytes,
    /// When the first of them returned.
    returned: u64,
}

/// The calls, with the outcomes that follow from what reads saw. They are all of one key.
pub(super) fn infer(calls: &[Call<Operation, Answer>]) -> Vec<Call<Operation, Answer>> {
    let mut calls = calls.to_vec();
    let seen = calls.clone();
    let mut sightings = sightings(&seen);
    // What is found out about one call leaves fewer for the other sightings.
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

/// What was seen at versions that no answered write was given.
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

/// Whether an operation may have made the value, with that version.
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
