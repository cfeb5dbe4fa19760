//! The model of the key-value service: values with versions, compare-and-set, deletion.
//!
//! A version is opaque, except for two guarantees. Along a linearization, the versions of a key's
//! writes strictly increase. An answer that shows a value also shows the version of the write that
//! set it. If the answer to a write is lost, the version of the write stays unknown until another
//! answer shows it. So the state holds either the exact version or a lower bound. For a write of
//! unknown version, the bound is one higher than the version or bound before it. The bound is
//! exact: versions are whole numbers that only have to increase, so they can be chosen one by one,
//! each as low as possible.

use std::collections::HashSet;

use super::model::{Effect, Model};
use super::observed_values::{Content, Observed};
use super::operation::{Answer, Operation};
use super::unknown_outcomes::infer;
use super::{Bytes, Call};

/// The model of one key of the service. At first the key does not exist.
#[derive(Clone, Debug)]
pub struct KvModel {
    observed: Observed,
    /// The suffixes of appends of unknown outcome that are in no observed value.
    never_seen: HashSet<Bytes>,
}

/// The state of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvState {
    /// The value, if the key exists.
    content: Option<Content>,
    /// The version of the last write. The key may have been deleted since.
    last: Version,
}

/// The knowledge about a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Exactly(u64),
    AtLeast(u64),
}

impl Version {
    /// Returns the lowest version that is possible.
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

    /// Returns the version of the next write if its answer is lost.
    fn next(self) -> Option<Version> {
        self.bound().checked_add(1).map(Version::AtLeast)
    }
}

impl KvState {
    /// Returns the state after an answer has shown this version, or `None` if the key cannot have
    /// it.
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

    /// Returns the state after a write. Its version is the one in the answer; without an answer, it
    /// is unknown.
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
                // The success shows that the key had the expected version, even if it was unknown
                // before.
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

    /// Ranks an operation by the version that it writes or sees. The write of a version comes
    /// before the operations that see it.
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
        // Appends of unknown outcome can create the key and lengthen its value. Each of them has a
        // higher version.
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
