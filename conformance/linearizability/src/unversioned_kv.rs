//! A key whose values have no versions, and exists from the start with the empty value: the
//! key-value service of course assignments, such as MIT's 6.5840.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::model::{Effect, Model};
use super::observed_values::{Content, Observed};
use super::{Bytes, Call};

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueOperation {
    /// The value.
    Get,
    /// Gives the key a value.
    Put {
        /// Its value from now on.
        value: Bytes,
    },
    /// Lengthens the value.
    Append {
        /// What comes behind it.
        suffix: Bytes,
    },
}

/// What the service answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueAnswer {
    /// To a get.
    Value {
        /// The value.
        value: Bytes,
    },
    /// To a put or an append.
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

/// One key, empty at first.
#[derive(Clone, Debug)]
pub struct ValueModel {
    observed: Observed,
    /// What was perhaps appended, but is in no observed value.
    never_seen: HashSet<Bytes>,
    /// How long the longest observed value is, if the key is only ever appended to.
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
                // A value that only grows is a prefix of all that are still to be seen.
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

    /// From a value that nobody will ever see, one can only go on to others, as from any value.
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
