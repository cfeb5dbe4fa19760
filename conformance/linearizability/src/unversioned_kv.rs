//! The model of a key without versions, which exists from the start with the empty value. This is
//! the key-value service of course assignments, such as MIT's 6.5840.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::model::{Effect, Model};
use super::observed_values::{Content, Observed};
use super::{Bytes, Call};

/// An operation that a client requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueOperation {
    /// Reads the value.
    Get,
    /// Sets the value.
    Put {
        /// The new value.
        value: Bytes,
    },
    /// Appends to the value.
    Append {
        /// The bytes to append.
        suffix: Bytes,
    },
}

/// An answer of the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueAnswer {
    /// The answer to a get.
    Value {
        /// The value.
        value: Bytes,
    },
    /// The answer to a put or an append.
    Done,
}

impl fmt::Display for ValueOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueOperation::Get => write!(f, "get"),
            ValueOperation::Put { value } => write!(f, "put {value}"),
            ValueOperation::Append { suffix } => write!(f, "append {suffix}"),
        }
    }
}

impl fmt::Display for ValueAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueAnswer::Value { value } => write!(f, "{value}"),
            ValueAnswer::Done => write!(f, "done"),
        }
    }
}

/// The model of one key. At first its value is empty.
#[derive(Clone, Debug)]
pub struct ValueModel {
    observed: Observed,
    /// The suffixes of appends of unknown outcome that are in no observed value.
    never_seen: HashSet<Bytes>,
    /// The length of the longest observed value, if no call is a put.
    only_grows_to: Option<usize>,
}

/// A key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueState(Content);

impl Model for ValueModel {
    type Operation = ValueOperation;
    type Answer = ValueAnswer;
    type State = ValueState;

    fn new(calls: &[Call<ValueOperation, ValueAnswer>]) -> ValueModel {
        let observed = Observed::new(calls.iter().filter_map(|call| match call.answer() {
            Some((_, ValueAnswer::Value { value })) => Some(value),
            _ => None,
        }));
        let puts = calls.iter().any(|call| matches!(call.operation, ValueOperation::Put { .. }));
        let only_grows_to = (!puts).then(|| observed.longest());
        let appended = calls.iter().filter_map(|call| match &call.operation {
            ValueOperation::Append { suffix } if call.is_unknown() => Some(suffix),
            _ => None,
        });
        let never_seen = appended.filter(|suffix| observed.never_holds(suffix)).cloned().collect();
        ValueModel { observed, never_seen, only_grows_to }
    }

    fn initial(&self) -> ValueState {
        ValueState(self.observed.content(b""))
    }

    fn step(
        &self,
        &ValueState(state): &ValueState,
        operation: &ValueOperation,
        answer: Option<&ValueAnswer>,
    ) -> Option<ValueState> {
        match (operation, answer) {
            (ValueOperation::Get, None) => Some(ValueState(state)),
            (ValueOperation::Get, Some(ValueAnswer::Value { value })) => {
                self.observed.is(state, value).then_some(ValueState(state))
            }
            (ValueOperation::Put { value }, None | Some(ValueAnswer::Done)) => {
                Some(ValueState(self.observed.content(value)))
            }
            (ValueOperation::Append { suffix }, None | Some(ValueAnswer::Done)) => {
                let next = self.observed.append(state, suffix);
                // A value that only grows is a prefix of all values that reads still have to
                // return.
                let lost = matches!((state, next), (Content::Seen { .. }, Content::Unseen { .. }))
                    && self.only_grows_to.is_some_and(|longest| state.length() < longest);
                (!lost).then_some(ValueState(next))
            }
            _ => None,
        }
    }

    fn effect(&self, operation: &ValueOperation, _: Option<&ValueAnswer>) -> Effect {
        match operation {
            ValueOperation::Get => Effect::Reads,
            ValueOperation::Put { .. } => Effect::Overwrites,
            ValueOperation::Append { .. } => Effect::Builds,
        }
    }

    /// Decides that every state covers a state with an unseen value: no read can return an unseen
    /// value, and a write that is possible from it is possible from any value.
    fn covers(&self, state: &ValueState, other: &ValueState) -> bool {
        state == other || matches!(other.0, Content::Unseen { .. })
    }

    fn within_reach(
        &self,
        state: &ValueState,
        _: &ValueOperation,
        answer: Option<&ValueAnswer>,
    ) -> bool {
        match answer {
            Some(ValueAnswer::Value { value }) => self.observed.is_prefix(state.0, value),
            Some(ValueAnswer::Done) | None => true,
        }
    }

    fn alike(&self, one: &ValueOperation, other: &ValueOperation) -> bool {
        match (one, other) {
            (ValueOperation::Put { value: one }, ValueOperation::Put { value: other }) => {
                self.observed.content(one) == self.observed.content(other)
            }
            (ValueOperation::Append { suffix: one }, ValueOperation::Append { suffix: other }) => {
                let never = self.never_seen.contains(one) && self.never_seen.contains(other);
                one == other || never && one.len() == other.len()
            }
            _ => one == other,
        }
    }

    fn describe(&self, state: &ValueState) -> String {
        self.observed.describe(state.0)
    }
}
