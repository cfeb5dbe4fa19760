//! Long histories with many calls of unknown outcome, and the behaviour at the limit.

use std::time::Duration;

use raft_linearizability::{
    Call, History, KvModel, Limit, Model, Operation, Outcome, Report, ValueAnswer, ValueModel,
    ValueOperation, Verdict, check,
};

use crate::simulate::{KvService, Random, Simulation, ValueService, forget_a_write, swap_answers};

/// Fifteen clients and ten thousand calls. About six in a hundred calls have an unknown outcome.
const LONG: Simulation =
    Simulation { seed: 0, clients: 15, keys: 5, operations: 10_000, unknown: 3 };

fn simulations() -> impl Iterator<Item = Simulation> {
    (0..5).flat_map(|seed| [1, 5, 20].map(|keys| Simulation { seed, keys, ..LONG }))
}

/// Returns a limit for tests. Only steps are limited, so the result does not depend on the load of
/// the machine.
fn limit() -> Limit {
    Limit { time: Duration::MAX, ..Limit::default() }
}

fn decide<M: Model>(history: &History<M::Operation, M::Answer>) -> Report {
    let report = check::<M>(history, limit());
    assert!(report.is_linearizable() || report.is_violated(), "{report}");
    report
}

#[test]
fn long_histories_with_hundreds_of_unknown_outcomes_are_linearizable() {
    for simulation in simulations() {
        let history = simulation.run::<KvService>();
        let unknown = history.calls().iter().filter(|call| call.is_unknown()).count();
        assert!(unknown > 400, "only {unknown} have an unknown outcome");
        let report = decide::<KvModel>(&history);
        assert!(report.is_linearizable(), "{simulation:?}: {report}");
    }
}

#[test]
fn long_histories_without_versions_are_linearizable() {
    for simulation in simulations().filter(|simulation| simulation.keys > 1) {
        let report = decide::<ValueModel>(&simulation.run::<ValueService>());
        assert!(report.is_linearizable(), "{simulation:?}: {report}");
    }
}

#[test]
fn one_wrong_answer_in_a_long_history_is_found() {
    for simulation in simulations() {
        let random = &mut Random(simulation.seed);
        let history = simulation.run::<KvService>();
        let is_read = |operation: &Operation| *operation == Operation::Get;
        let report = decide::<KvModel>(&swap_answers(&history, is_read, random));
        assert!(report.is_violated(), "{simulation:?}: {report}");
        // If no answer shows the missing write, the history is still linearizable. So any verdict
        // will do.
        decide::<KvModel>(&forget_a_write(&history, |operation| !is_read(operation), random));
    }
}

/// Returns a history of concurrent appends whose order no answer shows, and of a read of a value
/// that they cannot have made.
fn hopeless(appends: u64) -> History<ValueOperation, ValueAnswer> {
    let call = |client, operation, answer| Call {
        client,
        key: "k".into(),
        operation,
        invoked: client,
        outcome: Outcome::Ok { returned: 100 + client, answer },
    };
    let append = |client: u64| {
        let suffix = format!("{client}.").as_str().into();
        call(client, ValueOperation::Append { suffix }, ValueAnswer::Done)
    };
    let value = "7.3.1.4.1.".into();
    let put = call(50, ValueOperation::Put { value: "7.".into() }, ValueAnswer::Done);
    let get = call(60, ValueOperation::Get, ValueAnswer::Value { value });
    History::new((1..=appends).map(append).chain([put, get]).collect()).expect("a history")
}

#[test]
fn the_limit_of_steps_ends_a_search_without_a_verdict() {
    let report = check::<ValueModel>(&hopeless(12), Limit { steps: 1_000, ..limit() });
    assert!(!report.is_linearizable() && !report.is_violated(), "{report}");
    assert!(matches!(report.keys[0].verdict, Verdict::GaveUp(_)));
    assert!(report.to_string().contains("GAVE UP"), "{report}");
    assert!(report.to_string().contains("UNDECIDED: 14 calls"), "{report}");
    assert!(decide::<ValueModel>(&hopeless(12)).is_violated());
}

#[test]
fn the_limit_of_time_ends_a_search_without_a_verdict() {
    let report = check::<ValueModel>(&hopeless(12), Limit { time: Duration::ZERO, ..limit() });
    assert!(matches!(report.keys[0].verdict, Verdict::GaveUp(_)), "{report}");
}

#[test]
fn keys_behind_the_limit_are_given_up_too() {
    let simulation = Simulation { operations: 200, ..LONG };
    let report = check::<KvModel>(&simulation.run::<KvService>(), Limit { steps: 10, ..limit() });
    assert_eq!(report.keys.len(), 5);
    assert!(report.keys.iter().all(|key| matches!(key.verdict, Verdict::GaveUp(_))), "{report}");
}

#[test]
fn what_is_printed_is_not_wider_than_100_columns() {
    let random = &mut Random(0);
    let history = LONG.run::<KvService>();
    let is_read = |operation: &Operation| *operation == Operation::Get;
    let violated = decide::<KvModel>(&swap_answers(&history, is_read, random));
    let given_up = check::<KvModel>(&history, Limit { steps: 3_000, ..limit() });
    for line in violated.to_string().lines().chain(given_up.to_string().lines()) {
        assert!(line.chars().count() <= 100, "{line}");
    }
}
