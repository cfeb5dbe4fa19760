//! Compares the checker on small histories with an oracle that tries every order, every set of
//! calls of unknown outcome and every version.

use proptest::prelude::*;
use proptest::sample::select;
use raft_linearizability::{
    Answer, Call, History, KvModel, Limit, Model, Operation, Outcome, ValueAnswer, ValueModel,
    ValueOperation, Verdict, check,
};

use crate::plain::{Plain, PlainKv, PlainValue};
use crate::simulate::{
    KvHistory, KvService, Random, Simulation, ValueHistory, ValueService, forget_a_write,
    swap_answers,
};

/// Decides by trying whether calls of one key can be put into an order.
fn oracle<P: Plain>(calls: &[Call<P::Operation, P::Answer>]) -> bool {
    let spoken = calls.iter().map(|call| P::version(&call.operation, answer(call)));
    let highest = spoken.max().unwrap_or_default() + calls.len() as u64;
    let left = calls.iter().filter(|call| !matches!(call.outcome, Outcome::NotDone));
    place(&P::default(), &left.collect::<Vec<_>>(), highest)
}

fn answer<O, A>(call: &Call<O, A>) -> Option<&A> {
    call.answer().map(|(_, answer)| answer)
}

fn place<P: Plain>(state: &P, left: &[&Call<P::Operation, P::Answer>], highest: u64) -> bool {
    let first = left.iter().filter_map(|call| Some(call.answer()?.0)).min();
    let Some(first) = first else { return true };
    (0..left.len()).filter(|index| left[*index].invoked <= first).any(|index| {
        let mut rest = left.to_vec();
        let call = rest.remove(index);
        let next = state.next(&call.operation, answer(call), highest);
        next.iter().any(|next| place(next, &rest, highest))
    })
}

/// Returns whether an order that was found is valid: it respects time, contains every answered
/// call, and explains every answer.
fn explains<P: Plain>(calls: &[Call<P::Operation, P::Answer>], order: &[usize]) -> bool {
    let is_in_time = order.iter().enumerate().all(|(place, index)| {
        let later = &order[place + 1..];
        later
            .iter()
            .all(|later| calls[*later].answer().is_none_or(|(end, _)| end >= calls[*index].invoked))
    });
    let all = (0..calls.len()).filter(|index| answer(&calls[*index]).is_some());
    let is_complete = all.into_iter().all(|index| order.contains(&index));
    let ordered: Vec<_> = order.iter().map(|index| calls[*index].clone()).collect();
    let spoken = ordered.iter().map(|call| P::version(&call.operation, answer(call)));
    let highest = spoken.max().unwrap_or_default() + calls.len() as u64;
    let start = vec![P::default()];
    let ends = ordered.iter().fold(start, |states, call| {
        let next = |state: &P| state.next(&call.operation, answer(call), highest);
        states.iter().flat_map(next).collect()
    });
    is_in_time && is_complete && !ends.is_empty()
}

fn agree<M, P>(history: &History<M::Operation, M::Answer>) -> Result<bool, TestCaseError>
where
    M: Model,
    M::Answer: PartialEq,
    P: Plain<Operation = M::Operation, Answer = M::Answer>,
{
    let expected = oracle::<P>(history.calls());
    let report = check::<M>(history, Limit::default());
    for key in &report.keys {
        match &key.verdict {
            Verdict::Linearizable { order } => {
                prop_assert!(explains::<P>(history.calls(), order), "{order:?} explains nothing");
            }
            Verdict::NotLinearizable(explanation) => {
                let broken = explanation.broken_by.as_ref();
                let end = broken.and_then(|line| line.returned);
                let [before, until] = cut_around(history.calls(), end.unwrap_or_default());
                prop_assert!(oracle::<P>(&before), "an earlier answer was wrong: {report}");
                prop_assert!(!oracle::<P>(&until), "the answer is not wrong: {report}");
            }
            Verdict::GaveUp(_) => prop_assert!(false, "gave up on a small history"),
        }
    }
    prop_assert_eq!(report.is_linearizable(), expected, "{}", report);
    // With little patience, the methods for hard histories are used on these small ones, too.
    for patience in [0, 8, 64] {
        let report = check::<M>(history, Limit { patience, ..Limit::default() });
        prop_assert_eq!(report.is_linearizable(), expected, "{}", report);
        prop_assert_eq!(report.is_violated(), !expected, "{}", report);
    }
    Ok(expected)
}

/// Returns the calls as they were known just before and just after an answer came.
fn cut_around<O: Clone, A: Clone>(calls: &[Call<O, A>], end: u64) -> [Vec<Call<O, A>>; 2] {
    let cut = |last: u64| {
        let known = calls.iter().filter(move |call| call.invoked <= last).cloned();
        known
            .map(|mut call| {
                if call.answer().is_some_and(|(returned, _)| returned > last) {
                    call.outcome = Outcome::Unknown;
                }
                call
            })
            .collect()
    };
    [end - 1, end].map(cut)
}

/// Generates the moments at which calls begin and end: every order of the 2n moments, with one
/// client per call.
fn moments(calls: usize) -> impl Strategy<Value = Vec<(u64, u64)>> {
    let order: Vec<u64> = (1..=2 * calls as u64).collect();
    Just(order).prop_shuffle().prop_map(|order| {
        order.chunks(2).map(|pair| (pair[0].min(pair[1]), pair[0].max(pair[1]))).collect()
    })
}

fn history<O: Clone, A: Clone>(
    wanted: Vec<(O, Option<A>)>,
    moments: &[(u64, u64)],
) -> History<O, A> {
    let calls = wanted.into_iter().zip(moments).zip(0..).map(|((wanted, moment), client)| {
        let (operation, answer) = wanted;
        let (invoked, returned) = *moment;
        let outcome = answer.map_or(Outcome::Unknown, |answer| Outcome::Ok { returned, answer });
        Call { client, key: "k".into(), operation, invoked, outcome }
    });
    History::new(calls.collect()).expect("moments are in order")
}

fn kv_call() -> impl Strategy<Value = (Operation, Option<Answer>)> {
    let text = || select(vec!["a", "b", "ab", ""]);
    let version = || 1_u64..7;
    let written = || {
        let written = (version(), 0_u64..4);
        let written = written.prop_map(|(version, length)| Answer::Written { version, length });
        prop::option::weighted(0.7, written)
    };
    let found = (text(), version())
        .prop_map(|(value, version)| Answer::Found { value: value.into(), version });
    let conflict = prop::option::of(version()).prop_map(|present| Answer::Conflict { present });
    let swapped = prop_oneof![written(), conflict.prop_map(Some)];
    prop_oneof![
        4 => prop_oneof![4 => found, 1 => Just(Answer::Missing)]
            .prop_map(|answer| (Operation::Get, Some(answer))),
        3 => (text(), written()).prop_map(|(value, answer)| {
            // Most lengths are correct. Otherwise hardly any history would be linearizable.
            let answer = answer.map(|answer| match answer {
                Answer::Written { version, length } if length > 0 => {
                    Answer::Written { version, length: value.len() as u64 }
                }
                other => other,
            });
            (Operation::Put { value: value.into() }, answer)
        }),
        3 => (text(), written())
            .prop_map(|(suffix, answer)| (Operation::Append { suffix: suffix.into() }, answer)),
        3 => (prop::option::of(version()), text(), swapped).prop_map(|(expected, value, answer)| {
            (Operation::CompareAndSet { expected, value: value.into() }, answer)
        }),
        1 => prop::option::of(any::<bool>()).prop_map(|existed| {
            (Operation::Delete, existed.map(|existed| Answer::Deleted { existed }))
        }),
    ]
}

fn value_call() -> impl Strategy<Value = (ValueOperation, Option<ValueAnswer>)> {
    let text = || select(vec!["a", "b", "ab", "ba", ""]);
    let done = || prop::option::weighted(0.7, Just(ValueAnswer::Done));
    prop_oneof![
        text().prop_map(|value| {
            (ValueOperation::Get, Some(ValueAnswer::Value { value: value.into() }))
        }),
        (text(), done())
            .prop_map(|(value, answer)| (ValueOperation::Put { value: value.into() }, answer)),
        (text(), done()).prop_map(|(suffix, answer)| (
            ValueOperation::Append { suffix: suffix.into() },
            answer
        )),
    ]
}

fn kv_history() -> impl Strategy<Value = KvHistory> {
    (1_usize..7).prop_flat_map(|calls| {
        let wanted = prop::collection::vec(kv_call(), calls);
        (wanted, moments(calls)).prop_map(|(wanted, moments)| history(wanted, &moments))
    })
}

fn value_history() -> impl Strategy<Value = ValueHistory> {
    (1_usize..7).prop_flat_map(|calls| {
        let wanted = prop::collection::vec(value_call(), calls);
        (wanted, moments(calls)).prop_map(|(wanted, moments)| history(wanted, &moments))
    })
}

fn simulation() -> impl Strategy<Value = Simulation> {
    (any::<u64>(), 1_usize..5, 1_usize..9, 0_u64..50).prop_map(
        |(seed, clients, operations, unknown)| Simulation {
            seed,
            clients,
            keys: 1,
            operations,
            unknown,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_oracle_agrees_on_anything_with_versions(history in kv_history()) {
        agree::<KvModel, PlainKv>(&history)?;
    }

    #[test]
    fn the_oracle_agrees_on_anything_without_versions(history in value_history()) {
        agree::<ValueModel, PlainValue>(&history)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn what_a_service_did_is_linearizable(simulation in simulation()) {
        prop_assert!(agree::<KvModel, PlainKv>(&simulation.run::<KvService>())?);
        prop_assert!(agree::<ValueModel, PlainValue>(&simulation.run::<ValueService>())?);
    }

    #[test]
    fn the_oracle_agrees_on_what_a_service_did_not_do(simulation in simulation()) {
        let random = &mut Random(simulation.seed);
        let right = simulation.run::<KvService>();
        let is_read = |operation: &Operation| *operation == Operation::Get;
        agree::<KvModel, PlainKv>(&swap_answers(&right, is_read, random))?;
        agree::<KvModel, PlainKv>(&forget_a_write(&right, |operation| !is_read(operation), random))?;
        let right = simulation.run::<ValueService>();
        let is_read = |operation: &ValueOperation| *operation == ValueOperation::Get;
        agree::<ValueModel, PlainValue>(&swap_answers(&right, is_read, random))?;
        let wrong = forget_a_write(&right, |operation| !is_read(operation), random);
        agree::<ValueModel, PlainValue>(&wrong)?;
    }
}
