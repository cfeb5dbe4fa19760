//! The sequential specification of an object: how it behaves for a single client.

use std::fmt;

use super::Call;

/// A sequential specification, with properties that speed up the search.
///
/// Only [`step`](Model::step) decides which histories are linearizable. The other functions state
/// consequences of `step`, so that the search does not have to find them by trying. A wrong
/// consequence makes verdicts wrong. The defaults are correct for every model.
pub trait Model: Sized {
    /// An operation that a client requests.
    type Operation: Clone + PartialEq + fmt::Display;
    /// An answer of the object.
    type Answer: Clone + fmt::Display;
    /// The state that the object keeps between operations.
    type State: Clone + PartialEq;

    /// Creates the model for these calls, all of one key. The model need not distinguish states
    /// that no answer distinguishes.
    fn new(calls: &[Call<Self::Operation, Self::Answer>]) -> Self;

    /// Infers unknown outcomes from other answers, and returns all calls. A call whose outcome is
    /// inferred gets the only answer that it can have had. Its return is the first return of a call
    /// that saw its effect.
    fn infer(
        calls: &[Call<Self::Operation, Self::Answer>],
    ) -> Vec<Call<Self::Operation, Self::Answer>> {
        calls.to_vec()
    }

    /// Returns the state before the first operation.
    fn initial(&self) -> Self::State;

    /// Returns the state after an operation, or `None` if the operation cannot have this answer.
    /// Without an answer, the operation took effect and its answer is unknown.
    fn step(
        &self,
        state: &Self::State,
        operation: &Self::Operation,
        answer: Option<&Self::Answer>,
    ) -> Option<Self::State>;

    /// Returns the effect of an operation, which is the same for every state.
    fn effect(&self, operation: &Self::Operation, answer: Option<&Self::Answer>) -> Effect {
        let _ = (operation, answer);
        Effect::Builds
    }

    /// Returns a number that never decreases along a linearization, for the operations that have
    /// one.
    fn rank(&self, operation: &Self::Operation, answer: &Self::Answer) -> Option<u64> {
        let _ = (operation, answer);
        None
    }

    /// Returns whether every sequence of operations that is possible from `other` is also possible
    /// from `state`.
    fn covers(&self, state: &Self::State, other: &Self::State) -> bool {
        state == other
    }

    /// Returns `false` only if no sequence of operations of [`Effect::Builds`], not even the empty
    /// one, makes the operation possible. With an answer, the operation is possible if it can have
    /// this answer; without one, if it can take effect.
    fn within_reach(
        &self,
        state: &Self::State,
        operation: &Self::Operation,
        answer: Option<&Self::Answer>,
    ) -> bool {
        let _ = (state, operation, answer);
        true
    }

    /// Returns whether two operations of unknown outcome are interchangeable: from any state, both
    /// lead to the same state.
    fn alike(&self, one: &Self::Operation, other: &Self::Operation) -> bool {
        one == other
    }

    /// Describes a state in words.
    fn describe(&self, state: &Self::State) -> String;
}

/// The effect of an operation on the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The state stays the same.
    Reads,
    /// The new state depends on the old state.
    Builds,
    /// The new state does not depend on the old state. Without an answer, the operation is possible
    /// in every state.
    Overwrites,
    /// Like [`Effect::Overwrites`], but possible only in some states.
    OverwritesIf,
}
