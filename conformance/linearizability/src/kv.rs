//! The key-value service: values with versions, compare-and-set, deletion.
//!
//! A version is opaque, but for two promises: along a linearization, the versions of a key's writes
//! strictly increase, and whoever sees a value sees the version that its write was given. A write
//! whose answer is lost was given a version that nobody knows until somebody sees it. So the state
//! carries either the version or a bound from below: each unseen write is at least one above what
//! came before it. That is exact: whole numbers that only have to increase can be chosen one by one,
//! as low as possible.

use std::collections::HashSet;

use super::model::{Effect, Model};
use super::observed_values::{Content, Observed};
use super::operation::{Answer, Operation};
use super::unknown_outcomes::infer;
use super::{Bytes, Call};

/// One key of the service, absent at first.
#[derive(Clone, Debug)]
pub struct KvModel {
    observed: Observed,
    /// What was perhaps appended, but is in no observed value.
    never_seen: HashSet<Bytes>,
}

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvState {
    /// Its value, if it exists.
    content: Option<Content>,
    /// The version of the last write, which may have been deleted since.
    last: Version,
}

/// What is known of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Exactly(u64),
    AtLeast(u64),
}

impl Version {
    /// The lowest that it can be.
    fn bound(self) -> u64 {
        match self {
            Version::Exactly(version) | Version::AtLeast(version) => version,
        }
    }

    fn may_be(self, version: u64) -> bool {
        match self {
            Version::Exactly(exact) => exact == version,
            Version::AtLeast(bound) => bound <= version,
        }
    }

    /// The version of a write whose answer is lost.
    fn next(self) -> Option<Version> {
        self.bound().checked_add(1).map(Version::AtLeast)
    }
}

impl KvState {
    /// The state once somebody saw the version, `None` if it cannot be that one.
    fn infer(&self, version: u64) -> Option<KvState> {
        let possible = self.content.is_some() && self.last.may_be(version);
        possible.then_some(KvState { content: self.content, last: Version::Exactly(version) })
    }

    fn absent(&self) -> Option<KvState> {
        self.content.is_none().then_some(*self)
    }

    fn has(&self, expected: Option<u64>) -> bool {
        match expected {
            Some(version) => self.content.is_some() && self.last.may_be(version),
            None => self.content.is_none(),
        }
    }

    /// The state after a write with the version in its answer, or with one that nobody knows.
    fn write(&self, content: Content, answer: Option<&Answer>) -> Option<KvState> {
        let last = match answer {
            None => self.last.next()?,
            Some(Answer::Written { version, length })
                if *version > self.last.bound() && *length == content.length() as u64 =>
            {
                Version::Exactly(*version)
            }
            Some(_) => return None,
        };
        Some(KvState { content: Some(content), last })
    }
}

impl KvModel {
    fn appended(&self, state: &KvState, suffix: &Bytes) -> Content {
        let old = state.content.unwrap_or_else(|| self.observed.content(b""));
        self.observed.append(old, suffix)
    }

    fn compare_and_set(
        &self,
        state: &KvState,
        (expected, value): (Option<u64>, &Bytes),
        answer: Option<&Answer>,
    ) -> Option<KvState> {
        match answer {
            Some(Answer::Conflict { present }) if *present == expected => None,
            Some(Answer::Conflict { present: Some(version) }) => state.infer(*version),
            Some(Answer::Conflict { present: None }) => state.absent(),
            _ if !state.has(expected) => None,
            _ => {
                // Had the version been unknown, success gives it away.
                let last = expected.map_or(state.last, Version::Exactly);
                let before = KvState { content: state.content, last };
                before.write(self.observed.content(value), answer)
            }
        }
    }
}

impl Model for KvModel {
    type Operation = Operation;
    type Answer = Answer;
    type State = KvState;

    fn new(calls: &[Call<Operation, Answer>]) -> KvModel {
        let observed = calls.iter().filter_map(|call| match call.answer() {
            Some((_, Answer::Found { value, .. })) => Some(value),
            _ => None,
        });
        let observed = Observed::new(observed);
        let appended = calls.iter().filter_map(|call| match &call.operation {
            Operation::Append { suffix } if call.is_unknown() => Some(suffix),
            _ => None,
        });
        let never_seen = appended.filter(|suffix| observed.never_holds(suffix)).cloned().collect();
        KvModel { observed, never_seen }
    }

    fn infer(calls: &[Call<Operation, Answer>]) -> Vec<Call<Operation, Answer>> {
        infer(calls)
    }

    fn initial(&self) -> KvState {
        KvState { content: None, last: Version::AtLeast(0) }
    }

    fn step(
        &self,
        state: &KvState,
        operation: &Operation,
        answer: Option<&Answer>,
    ) -> Option<KvState> {
        match operation {
            Operation::Get => match answer {
                None => Some(*state),
                Some(Answer::Missing) => state.absent(),
                Some(Answer::Found { value, version }) => {
                    let same = self.observed.is(state.content?, value);
                    same.then(|| state.infer(*version)).flatten()
                }
                Some(_) => None,
            },
            Operation::Put { value } => state.write(self.observed.content(value), answer),
            Operation::Append { suffix } => state.write(self.appended(state, suffix), answer),
            Operation::CompareAndSet { expected, value } => {
                self.compare_and_set(state, (*expected, value), answer)
            }
            Operation::Delete => match answer {
                Some(Answer::Deleted { existed }) if *existed != state.content.is_some() => None,
                None | Some(Answer::Deleted { .. }) => {
                    let last = Version::AtLeast(state.last.bound());
                    Some(KvState { content: None, last })
                }
                Some(_) => None,
            },
        }
    }

    fn effect(&self, operation: &Operation, answer: Option<&Answer>) -> Effect {
        match (operation, answer) {
            (Operation::Get, _) | (_, Some(Answer::Conflict { .. })) => Effect::Reads,
            (Operation::Put { .. } | Operation::Delete, _) => Effect::Overwrites,
            (Operation::CompareAndSet { .. }, _) => Effect::OverwritesIf,
            (Operation::Append { .. }, _) => Effect::Builds,
        }
    }

    /// Whoever writes or sees a version stands at its place in the order of the versions, the write
    /// before those who see it.
    fn rank(&self, _: &Operation, answer: &Answer) -> Option<u64> {
        match answer {
            Answer::Written { version, .. } => version.checked_mul(2),
            Answer::Found { version, .. } | Answer::Conflict { present: Some(version) } => {
                version.checked_mul(2)?.checked_add(1)
            }
            Answer::Missing | Answer::Conflict { present: None } | Answer::Deleted { .. } => None,
        }
    }

    fn covers(&self, state: &KvState, other: &KvState) -> bool {
        let versions = match state.last {
            Version::Exactly(_) => state.last == other.last,
            Version::AtLeast(bound) => bound <= other.last.bound(),
        };
        versions && state.content == other.content
    }

    fn within_reach(
        &self,
        state: &KvState,
        operation: &Operation,
        answer: Option<&Answer>,
    ) -> bool {
        // Appends of unknown outcome create and lengthen; each has a higher version.
        let reaches = |version: u64| state.has(Some(version)) || state.last.bound() < version;
        match (operation, answer) {
            (Operation::Get, Some(Answer::Found { value, version })) => {
                let is_prefix = |content| self.observed.is_prefix(content, value);
                state.content.is_none_or(is_prefix) && reaches(*version)
            }
            (Operation::Append { suffix }, Some(Answer::Written { version, length })) => {
                let old = state.content.map_or(0, Content::length) + suffix.len();
                old as u64 <= *length && state.last.bound() < *version
            }
            (_, Some(Answer::Conflict { present: Some(version) })) => reaches(*version),
            (
                _,
                Some(
                    Answer::Missing
                    | Answer::Conflict { present: None }
                    | Answer::Deleted { existed: false },
                ),
            ) => state.content.is_none(),
            (Operation::CompareAndSet { expected, .. }, _) => {
                expected.map_or(state.content.is_none(), reaches)
            }
            _ => true,
        }
    }

    fn alike(&self, one: &Operation, other: &Operation) -> bool {
        match (one, other) {
            (Operation::Put { value: one }, Operation::Put { value: other }) => {
                self.observed.content(one) == self.observed.content(other)
            }
            (
                Operation::CompareAndSet { expected: here, value: one },
                Operation::CompareAndSet { expected: there, value: other },
            ) => here == there && self.observed.content(one) == self.observed.content(other),
            (Operation::Append { suffix: one }, Operation::Append { suffix: other }) => {
                let never = self.never_seen.contains(one) && self.never_seen.contains(other);
                one == other || never && one.len() == other.len()
            }
            _ => one == other,
        }
    }

    fn describe(&self, state: &KvState) -> String {
        match (state.content, state.last) {
            (None, _) => "absent".to_owned(),
            (Some(content), Version::Exactly(version)) => {
                format!("{} v{version}", self.observed.describe(content))
            }
            (Some(content), Version::AtLeast(bound)) => {
                format!("{} v{bound} or above", self.observed.describe(content))
            }
        }
    }
}
