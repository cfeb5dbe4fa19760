//! What an object promises to a client that has it for itself: its sequential specification.

use std::fmt;

use super::Call;

/// A sequential specification, and what the search may know about it.
///
/// [`step`](Model::step) alone decides what is linearizable. The other functions only say what
/// follows from it, so that the search need not find out by trying; a wrong one makes verdicts
/// wrong. Their defaults are right for every model.
pub trait Model: Sized {
    /// What is asked for.
    type Operation: Clone + PartialEq + fmt::Display;
    /// What is answered.
    type Answer: Clone + fmt::Display;
    /// What is remembered between operations.
    type State: Clone + PartialEq;

    /// The model for these calls, all of one key. What the calls never show need not be remembered.
    fn new(calls: &[Call<Self::Operation, Self::Answer>]) -> Self;

    /// The same calls, with the outcomes of those that were unknown where they follow from what
    /// others saw: such a call has the only answer that it can have had, and has returned when that
    /// was seen.
    fn infer(
        calls: &[Call<Self::Operation, Self::Answer>],
    ) -> Vec<Call<Self::Operation, Self::Answer>> {
        calls.to_vec()
    }

    /// The state before the first operation.
    fn initial(&self) -> Self::State;

    /// The state after an operation, `None` if it cannot be answered so. Without an answer: the
    /// operation took effect and nobody knows what was answered.
    fn step(
        &self,
        state: &Self::State,
        operation: &Self::Operation,
        answer: Option<&Self::Answer>,
    ) -> Option<Self::State>;

    /// What an operation does to a state, whichever it is.
    fn effect(&self, operation: &Self::Operation, answer: Option<&Self::Answer>) -> Effect {
        let _ = (operation, answer);
        Effect::Builds
    }

    /// A number that never decreases along a linearization, for the operations that have one.
    fn rank(&self, operation: &Self::Operation, answer: &Self::Answer) -> Option<u64> {
        let _ = (operation, answer);
        None
    }

    /// Whether every continuation from `other` is one from `state`, too.
    fn covers(&self, state: &Self::State, other: &Self::State) -> bool {
        state == other
    }

    /// `false` only if the operation cannot be answered so, or without an answer not take effect,
    /// whichever operations of [`Effect::Builds`] take effect first, none included.
    fn within_reach(
        &self,
        state: &Self::State,
        operation: &Self::Operation,
        answer: Option<&Self::Answer>,
    ) -> bool {
        let _ = (state, operation, answer);
        true
    }

    /// Whether operations of unknown outcome can stand for each other: they lead from any state to
    /// the same one.
    fn alike(&self, one: &Self::Operation, other: &Self::Operation) -> bool {
        one == other
    }

    /// A state in words.
    fn describe(&self, state: &Self::State) -> String;
}

/// What an operation does to a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The object stays as it is.
    Reads,
    /// The object becomes something that depends on what it was.
    Builds,
    /// The object becomes something that does not depend on what it was; without an answer, it
    /// always can.
    Overwrites,
    /// As before, if the object lets it.
    OverwritesIf,
}
