//! Runs three other checkers on the same histories, with separate specifications: `stateright`,
//! `todc-utils` and `porcupine-rs`.
//!
//! The last two receive a call of unknown outcome as a call that returns after all others, with any
//! answer. This is correct if such a call can always come last, so its step must never fail.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use porcupine_rs::{CheckResult, check_operations_timeout};
use proptest::prelude::*;
use raft_linearizability::{
    Bytes, Call, History, KvModel, Limit, Model, Operation, Outcome, ValueModel, ValueOperation,
    check,
};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use todc_utils::{Action, Specification, WGLChecker};

use crate::plain::{BoundedKv, Plain, PlainKv, PlainValue};
use crate::simulate::{KvService, Random, Simulation, ValueService, forget_a_write, swap_answers};

/// A specification that the other checkers can share between threads, print and compare.
trait Shared: Plain<Operation: Debug + Send + Sync, Answer: Debug + PartialEq + Send + Sync>
where
    Self: Debug + Eq + Hash + Send + Sync,
{
}

impl Shared for PlainKv {}
impl Shared for BoundedKv {}
impl Shared for PlainValue {}

/// An operation with its answer, if there is one.
type Done<P> = (<P as Plain>::Operation, Option<<P as Plain>::Answer>);

/// Returns the state after an operation. The specification `P` decides how it treats an unknown
/// version.
fn step<P: Plain>(state: &P, (operation, answer): &Done<P>) -> Option<P> {
    state.next(operation, answer.as_ref(), 0).pop()
}

type Calls<P> = Vec<Call<<P as Plain>::Operation, <P as Plain>::Answer>>;

fn by_key<P: Plain>(history: &History<P::Operation, P::Answer>) -> Vec<Calls<P>> {
    let mut keys: BTreeMap<Bytes, Calls<P>> = BTreeMap::new();
    for call in history.calls() {
        if !matches!(call.outcome, Outcome::NotDone) {
            keys.entry(call.key.clone()).or_default().push(call.clone());
        }
    }
    keys.into_values().collect()
}

fn done<P: Plain>(call: &Call<P::Operation, P::Answer>) -> Done<P> {
    (call.operation.clone(), call.answer().map(|(_, answer)| answer.clone()))
}

/// Returns all invocations and returns in order, each with the index of its call. With
/// `all_return`, a call that never returned gets a return at the end.
fn events<O, A>(calls: &[Call<O, A>], all_return: bool) -> Vec<(u64, bool, usize)> {
    let invoked = (0..calls.len()).map(|index| (calls[index].invoked, false, index));
    let returned = (0..calls.len()).filter_map(|index| match calls[index].answer() {
        Some((returned, _)) => Some((returned, true, index)),
        None => all_return.then_some((u64::MAX, true, index)),
    });
    let mut events: Vec<_> = invoked.chain(returned).collect();
    events.sort_unstable();
    events
}

/// Returns the caller of each call. A client is a new caller after each call of unknown outcome,
/// because a caller cannot have two calls under way.
fn callers<O, A>(calls: &[Call<O, A>]) -> Vec<usize> {
    let mut names = BTreeMap::new();
    let mut next = 0;
    let name = |call: &Call<O, A>| {
        let name = *names.entry(call.client).or_insert_with(|| {
            next += 1;
            next - 1
        });
        if call.is_unknown() {
            names.remove(&call.client);
        }
        name
    };
    calls.iter().map(name).collect()
}

#[derive(Clone)]
struct Sequential<P>(P);

impl<P: Shared> SequentialSpec for Sequential<P> {
    type Op = Done<P>;
    type Ret = ();

    /// Called only for operations of unknown outcome, which can always take effect.
    fn invoke(&mut self, operation: &Done<P>) {
        if let Some(next) = step(&self.0, operation) {
            self.0 = next;
        }
    }

    fn is_valid_step(&mut self, operation: &Done<P>, (): &()) -> bool {
        let next = step(&self.0, operation);
        let is_valid = next.is_some();
        self.0 = next.unwrap_or_else(|| self.0.clone());
        is_valid
    }
}

fn stateright<P: Shared>(history: &History<P::Operation, P::Answer>) -> bool {
    by_key::<P>(history).iter().all(|calls| {
        let callers = callers(calls);
        let mut tester = LinearizabilityTester::new(Sequential(P::default()));
        for (_, is_return, index) in events(calls, false) {
            let noted = if is_return {
                tester.on_return(callers[index], ())
            } else {
                tester.on_invoke(callers[index], done::<P>(&calls[index]))
            };
            noted.expect("nobody has two calls under way");
        }
        tester.is_consistent()
    })
}

struct Todc<P>(PhantomData<P>);

impl<P: Shared> Specification for Todc<P> {
    type State = P;
    type Operation = Done<P>;

    fn init() -> P {
        P::default()
    }

    fn apply(operation: &Done<P>, state: &P) -> (bool, P) {
        let next = step(state, operation);
        (next.is_some(), next.unwrap_or_else(|| state.clone()))
    }
}

fn todc<P: Shared>(history: &History<P::Operation, P::Answer>) -> bool {
    by_key::<P>(history).iter().all(|calls| {
        let callers = callers(calls);
        let action = |(_, is_return, index): (u64, bool, usize)| {
            let done = done::<P>(&calls[index]);
            let action = if is_return { Action::Response(done) } else { Action::Call(done) };
            (callers[index], action)
        };
        let actions = events(calls, true).into_iter().map(action).collect();
        WGLChecker::<Todc<P>>::is_linearizable(todc_utils::History::from_actions(actions))
    })
}

#[derive(Clone)]
struct Porcupine<P>(PhantomData<P>);

impl<P: Shared> porcupine_rs::Model for Porcupine<P> {
    type State = P;
    type Op = (Bytes, Done<P>);
    type Metadata = ();

    fn partition_operations(
        history: &[porcupine_rs::Operation<Self>],
    ) -> Vec<Vec<porcupine_rs::Operation<Self>>> {
        let mut keys: BTreeMap<Bytes, Vec<porcupine_rs::Operation<Self>>> = BTreeMap::new();
        for operation in history {
            keys.entry(operation.op.0.clone()).or_default().push(operation.clone());
        }
        keys.into_values().collect()
    }

    fn init() -> P {
        P::default()
    }

    fn step(state: &P, (_, done): &(Bytes, Done<P>)) -> (bool, P) {
        let next = step(state, done);
        (next.is_some(), next.unwrap_or_else(|| state.clone()))
    }
}

fn porcupine<P: Shared>(
    history: &History<P::Operation, P::Answer>,
    limit: Duration,
) -> CheckResult {
    let time = |time: u64| i64::try_from(time).expect("a counter is small");
    let calls = history.calls().iter().filter(|call| !matches!(call.outcome, Outcome::NotDone));
    let operations: Vec<porcupine_rs::Operation<Porcupine<P>>> = calls
        .map(|call| porcupine_rs::Operation {
            client_id: None,
            call_time: time(call.invoked),
            return_time: call.answer().map_or(i64::MAX, |(returned, _)| time(returned)),
            op: (call.key.clone(), done::<P>(call)),
            metadata: None,
        })
        .collect();
    check_operations_timeout(&operations, limit)
}

/// Asserts that all checkers have the same verdict.
fn all_agree<M, P>(history: &History<M::Operation, M::Answer>) -> Result<(), TestCaseError>
where
    M: Model,
    P: Shared<Operation = M::Operation, Answer = M::Answer>,
{
    let report = check::<M>(history, Limit::default());
    let ours = report.is_linearizable();
    prop_assert_eq!(ours, !report.is_violated(), "{}", report);
    prop_assert_eq!(stateright::<P>(history), ours, "stateright: {}", report);
    prop_assert_eq!(todc::<P>(history), ours, "todc-utils: {}", report);
    let verdict = if ours { CheckResult::Ok } else { CheckResult::Illegal };
    let theirs = porcupine::<P>(history, Duration::from_mins(1));
    prop_assert_eq!(theirs, verdict, "porcupine-rs: {}", report);
    Ok(())
}

fn is_read(operation: &Operation) -> bool {
    *operation == Operation::Get
}

fn is_value_read(operation: &ValueOperation) -> bool {
    *operation == ValueOperation::Get
}

proptest! {
    #[test]
    fn all_checkers_agree_on_versions(seed: u64, clients in 1_usize..5, operations in 1_usize..20) {
        let random = &mut Random(seed);
        let simulation = Simulation { seed, clients, keys: 2, operations, unknown: 0 };
        let right = simulation.run::<KvService>();
        all_agree::<KvModel, PlainKv>(&right)?;
        all_agree::<KvModel, PlainKv>(&swap_answers(&right, is_read, random))?;
        let forgotten = forget_a_write(&right, |operation| !is_read(operation), random);
        all_agree::<KvModel, PlainKv>(&forgotten)?;
    }

    #[test]
    fn all_checkers_agree_on_unknown_versions(
        seed: u64,
        clients in 1_usize..5,
        operations in 1_usize..16,
        unknown in 0_u64..20,
    ) {
        let random = &mut Random(seed);
        let simulation = Simulation { seed, clients, keys: 2, operations, unknown };
        let right = simulation.run::<KvService>();
        all_agree::<KvModel, BoundedKv>(&right)?;
        all_agree::<KvModel, BoundedKv>(&swap_answers(&right, is_read, random))?;
        let forgotten = forget_a_write(&right, |operation| !is_read(operation), random);
        all_agree::<KvModel, BoundedKv>(&forgotten)?;
    }

    #[test]
    fn all_checkers_agree_on_unknown_outcomes(
        seed: u64,
        clients in 1_usize..5,
        operations in 1_usize..16,
        unknown in 0_u64..20,
    ) {
        let random = &mut Random(seed);
        let simulation = Simulation { seed, clients, keys: 2, operations, unknown };
        let right = simulation.run::<ValueService>();
        all_agree::<ValueModel, PlainValue>(&right)?;
        all_agree::<ValueModel, PlainValue>(&swap_answers(&right, is_value_read, random))?;
        let forgotten = forget_a_write(&right, |operation| !is_value_read(operation), random);
        all_agree::<ValueModel, PlainValue>(&forgotten)?;
    }
}

/// Runs some work, and returns its result and its duration.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// Prints how long three of the checkers take; see `README.md`. Returns whether their verdicts
/// agree.
fn race<M, P>(name: &str, history: &History<M::Operation, M::Answer>) -> bool
where
    M: Model,
    P: Shared<Operation = M::Operation, Answer = M::Answer>,
{
    let (report, ours) = timed(|| check::<M>(history, Limit::default()));
    let (theirs, porcupine) = timed(|| porcupine::<P>(history, Duration::from_secs(2)));
    let (other, todc) = timed(|| todc::<P>(history));
    println!("{name}: ours {ours:?}, porcupine-rs {porcupine:?} {theirs:?}, todc-utils {todc:?}");
    let verdict = report.is_linearizable();
    let agrees = match theirs {
        CheckResult::Ok => verdict,
        CheckResult::Illegal => report.is_violated(),
        CheckResult::Unknown => true,
    };
    agrees && other == verdict
}

#[test]
fn all_checkers_agree_on_long_histories() {
    let simulation = Simulation { seed: 3, clients: 5, keys: 20, operations: 2_000, unknown: 0 };
    let random = &mut Random(3);
    let right = simulation.run::<KvService>();
    assert!(race::<KvModel, PlainKv>("versions", &right));
    let wrong = swap_answers(&right, is_read, random);
    assert!(race::<KvModel, PlainKv>("versions, reads swapped", &wrong));
    let right = simulation.run::<ValueService>();
    assert!(race::<ValueModel, PlainValue>("values", &right));
    let wrong = swap_answers(&right, is_value_read, random);
    assert!(race::<ValueModel, PlainValue>("values, reads swapped", &wrong));
    let right = Simulation { unknown: 2, ..simulation }.run::<KvService>();
    assert!(race::<KvModel, BoundedKv>("unknown versions", &right));
    let wrong = swap_answers(&right, is_read, random);
    assert!(race::<KvModel, BoundedKv>("unknown versions, reads swapped", &wrong));
}
