//! Small histories. Each test is named after the behaviour that its history is an example of.

use raft_linearizability::{
    Answer, Call, Explanation, History, KvModel, Limit, Operation, Outcome, Report, ValueAnswer,
    ValueModel, ValueOperation, Verdict, check,
};

type KvCall = Call<Operation, Answer>;

fn call<O, A>(invoked: u64, operation: O, outcome: Outcome<A>) -> Call<O, A> {
    // The checker ignores the client. Each call has its own client, so that the output
    // distinguishes the calls.
    Call { client: invoked, key: "k".into(), operation, invoked, outcome }
}

fn get(invoked: u64, returned: u64, value: &str, version: u64) -> KvCall {
    let answer = Answer::Found { value: value.into(), version };
    call(invoked, Operation::Get, Outcome::Ok { returned, answer })
}

fn absent(invoked: u64, returned: u64) -> KvCall {
    call(invoked, Operation::Get, Outcome::Ok { returned, answer: Answer::Missing })
}

fn written(returned: u64, version: u64, length: u64) -> Outcome<Answer> {
    Outcome::Ok { returned, answer: Answer::Written { version, length } }
}

fn put(invoked: u64, value: &str, outcome: Outcome<Answer>) -> KvCall {
    call(invoked, Operation::Put { value: value.into() }, outcome)
}

fn append(invoked: u64, suffix: &str, outcome: Outcome<Answer>) -> KvCall {
    call(invoked, Operation::Append { suffix: suffix.into() }, outcome)
}

fn cas(invoked: u64, expected: Option<u64>, value: &str, outcome: Outcome<Answer>) -> KvCall {
    call(invoked, Operation::CompareAndSet { expected, value: value.into() }, outcome)
}

fn conflict(returned: u64, present: Option<u64>) -> Outcome<Answer> {
    Outcome::Ok { returned, answer: Answer::Conflict { present } }
}

fn deleted(invoked: u64, returned: u64, existed: bool) -> KvCall {
    let answer = Answer::Deleted { existed };
    call(invoked, Operation::Delete, Outcome::Ok { returned, answer })
}

fn report(calls: Vec<KvCall>) -> Report {
    check::<KvModel>(&History::new(calls).expect("a history"), Limit::default())
}

#[track_caller]
fn accepts(calls: Vec<KvCall>) {
    let report = report(calls);
    assert!(report.is_linearizable(), "{report}");
}

/// Asserts that the history is not linearizable, because of the answer that came at `returned`.
#[track_caller]
fn refuses(calls: Vec<KvCall>, returned: u64) {
    let explanation = explanation(&report(calls));
    assert_eq!(explanation.broken_by.and_then(|line| line.returned), Some(returned));
}

#[track_caller]
fn explanation(report: &Report) -> Explanation {
    match &report.keys[0].verdict {
        Verdict::NotLinearizable(explanation) => explanation.clone(),
        other => panic!("{other:?} instead of a violation"),
    }
}

#[test]
fn a_history_without_calls_is_linearizable() {
    accepts(Vec::new());
}

#[test]
fn a_read_may_see_a_write_that_has_not_returned() {
    accepts(vec![put(1, "a", written(6, 4, 1)), get(2, 3, "a", 4), get(4, 5, "a", 4)]);
}

#[test]
fn a_stale_read_is_refused() {
    refuses(
        vec![put(1, "a", written(2, 4, 1)), put(3, "b", written(4, 5, 1)), get(5, 6, "a", 4)],
        6,
    );
}

#[test]
fn a_read_that_misses_an_acknowledged_write_is_refused() {
    refuses(vec![put(1, "a", written(2, 4, 1)), absent(3, 4)], 4);
}

#[test]
fn a_read_that_flips_back_is_refused() {
    let calls = |second| {
        vec![
            put(1, "a", written(2, 4, 1)),
            put(3, "b", written(10, 5, 1)),
            get(4, 5, "b", 5),
            get(6, 7, second, if second == "b" { 5 } else { 4 }),
        ]
    };
    accepts(calls("b"));
    refuses(calls("a"), 7);
}

#[test]
fn concurrent_reads_may_see_the_old_and_the_new_value() {
    accepts(vec![
        put(1, "a", written(2, 4, 1)),
        put(3, "b", written(10, 5, 1)),
        get(4, 8, "b", 5),
        get(5, 9, "a", 4),
    ]);
}

#[test]
fn a_lost_update_is_refused() {
    // Both clients saw version 4, and both replaced it.
    refuses(
        vec![
            put(1, "a", written(2, 4, 1)),
            cas(3, Some(4), "b", written(5, 6, 1)),
            cas(4, Some(4), "c", written(6, 7, 1)),
        ],
        6,
    );
}

#[test]
fn a_lost_append_is_refused() {
    refuses(
        vec![
            append(1, "a", written(2, 4, 1)),
            append(3, "b", written(4, 5, 2)),
            append(5, "c", written(6, 6, 2)),
        ],
        6,
    );
}

#[test]
fn a_retry_that_is_applied_twice_is_refused() {
    refuses(vec![append(1, "a", written(2, 4, 1)), get(3, 4, "aa", 5)], 4);
    refuses(vec![append(1, "a", Outcome::Unknown), get(3, 4, "aa", 5)], 4);
}

#[test]
fn a_retry_that_overwrites_what_came_between_is_refused() {
    // The first attempt took effect and was read. The second attempt took effect after a write of
    // another client.
    refuses(
        vec![
            put(1, "a", Outcome::Unknown),
            get(2, 3, "a", 4),
            put(4, "b", written(5, 6, 1)),
            get(6, 7, "a", 8),
        ],
        7,
    );
}

#[test]
fn an_unknown_write_may_take_effect_late_or_never() {
    let unknown = || put(1, "a", Outcome::Unknown);
    accepts(vec![unknown(), absent(2, 3)]);
    accepts(vec![unknown(), absent(2, 3), put(4, "b", written(5, 4, 1)), get(6, 7, "a", 9)]);
    accepts(vec![unknown(), put(4, "b", written(5, 4, 1)), get(6, 7, "b", 4)]);
}

#[test]
fn an_unknown_write_does_not_take_effect_before_its_call() {
    refuses(vec![get(1, 2, "a", 4), put(3, "a", Outcome::Unknown)], 2);
}

#[test]
fn an_unknown_write_takes_effect_only_once() {
    refuses(
        vec![
            put(1, "a", Outcome::Unknown),
            get(2, 3, "a", 4),
            deleted(4, 5, true),
            get(6, 7, "a", 9),
        ],
        7,
    );
}

#[test]
fn what_was_not_done_is_never_seen() {
    refuses(vec![put(1, "a", Outcome::NotDone), get(2, 3, "a", 4)], 3);
}

#[test]
fn a_version_that_was_unknown_stays_once_it_was_seen() {
    let calls =
        |second| vec![put(1, "a", Outcome::Unknown), get(2, 3, "a", 4), get(4, 5, "a", second)];
    accepts(calls(4));
    refuses(calls(5), 5);
}

#[test]
fn an_unknown_version_lies_between_those_of_its_neighbours() {
    let calls = |version| {
        vec![
            put(1, "a", written(2, 4, 1)),
            append(3, "b", Outcome::Unknown),
            get(4, 5, "ab", version),
            append(6, "c", written(7, 8, 3)),
        ]
    };
    accepts(calls(5));
    accepts(calls(7));
    refuses(calls(4), 5);
    refuses(calls(8), 7);
}

#[test]
fn there_must_be_room_for_an_unknown_version() {
    // The length 4 shows that the unknown append took effect between the two known writes, so there
    // must be a version between theirs.
    let calls = |version| {
        vec![
            put(1, "a", written(2, 4, 1)),
            append(3, "bb", Outcome::Unknown),
            append(4, "c", written(5, version, 4)),
        ]
    };
    accepts(calls(6));
    refuses(calls(5), 5);
}

#[test]
fn versions_go_on_after_a_delete() {
    let calls = |version| {
        vec![
            put(1, "a", written(2, 4, 1)),
            deleted(3, 4, true),
            absent(5, 6),
            put(7, "b", written(8, version, 1)),
        ]
    };
    accepts(calls(6));
    refuses(calls(4), 8);
}

#[test]
fn a_compare_and_set_against_an_unknown_version_may_go_either_way() {
    let unknown = || put(1, "a", Outcome::Unknown);
    accepts(vec![unknown(), cas(2, Some(4), "b", written(3, 5, 1))]);
    accepts(vec![unknown(), cas(2, Some(4), "b", conflict(3, Some(7)))]);
    accepts(vec![unknown(), cas(2, Some(4), "b", conflict(3, None))]);
}

#[test]
fn a_compare_and_set_gives_an_unknown_version_away() {
    let calls = |version| {
        vec![
            put(1, "a", Outcome::Unknown),
            cas(2, Some(4), "b", conflict(3, Some(7))),
            get(4, 5, "a", version),
        ]
    };
    accepts(calls(7));
    refuses(calls(6), 5);
}

#[test]
fn a_conflict_with_the_expected_version_is_refused() {
    refuses(vec![put(1, "a", written(2, 4, 1)), cas(3, Some(4), "b", conflict(4, Some(4)))], 4);
    refuses(vec![cas(1, None, "b", conflict(2, None))], 2);
}

#[test]
fn an_unknown_compare_and_set_takes_effect_only_on_its_version() {
    let calls = |expected| {
        vec![
            put(1, "a", written(2, 4, 1)),
            cas(3, expected, "b", Outcome::Unknown),
            get(4, 5, "b", 6),
        ]
    };
    accepts(calls(Some(4)));
    refuses(calls(Some(3)), 5);
    refuses(calls(None), 5);
}

#[test]
fn a_chain_of_unknown_calls_is_found() {
    // The read needs a chain: the write, perhaps the append, then the compare-and-set on the
    // version of the last of them.
    let calls = |expected| {
        vec![
            deleted(1, 2, false),
            put(3, "a", Outcome::Unknown),
            append(4, "b", Outcome::Unknown),
            cas(5, Some(expected), "c", Outcome::Unknown),
            get(6, 7, "c", 4),
        ]
    };
    accepts(calls(2));
    accepts(calls(3));
    refuses(calls(4), 7);
}

#[test]
fn unknown_calls_may_be_needed_for_the_version_that_they_make() {
    let calls = |expected| {
        vec![
            put(1, "x", written(2, 1, 1)),
            append(3, "y", Outcome::Unknown),
            // With only one of them, the read would show that it took effect.
            cas(4, Some(expected), "c", Outcome::Unknown),
            cas(5, Some(expected), "c", Outcome::Unknown),
            get(6, 7, "c", 4),
        ]
    };
    accepts(calls(2));
    accepts(calls(1));
    refuses(calls(4), 7);
}

#[test]
fn an_unknown_write_may_have_to_stand_before_a_known_one() {
    // After version 5 it would take version 6, which another write has.
    accepts(vec![
        put(1, "u", Outcome::Unknown),
        put(2, "w", written(8, 5, 1)),
        deleted(3, 9, true),
        deleted(4, 10, true),
        put(11, "x", written(12, 6, 1)),
    ]);
}

#[test]
fn patience_changes_no_verdict() {
    // The delete and the write are concurrent, and the delete has to come first.
    let beside = |last: &str, version| {
        let before = (1..20).map(|number| {
            let outcome = written(10 * number + 1, number, 1);
            put(10 * number, "a", outcome)
        });
        let wrong = [deleted(300, 303, true), put(301, "w", written(302, 50, 1))];
        let after = [get(304, 305, last, version), put(306, "x", written(307, 60, 1))];
        before.chain(wrong).chain(after).chain([get(308, 309, "x", 60)]).collect()
    };
    for (calls, is_linearizable) in [(beside("w", 50), true), (beside("a", 19), false)] {
        let history = History::new(calls).expect("a history");
        for patience in 0..100 {
            let report = check::<KvModel>(&history, Limit { patience, ..Limit::default() });
            assert_eq!(report.is_linearizable(), is_linearizable, "{patience}: {report}");
            assert_eq!(report.is_violated(), !is_linearizable, "{patience}: {report}");
        }
    }
}

#[test]
fn equal_numbers_are_concurrent() {
    accepts(vec![put(1, "a", written(2, 4, 1)), absent(2, 3)]);
    accepts(vec![put(1, "a", Outcome::Unknown), get(0, 1, "a", 4)]);
}

#[test]
fn the_length_in_an_answer_tells_what_happened_before() {
    let calls = |length| {
        vec![
            put(1, "aa", written(2, 4, 2)),
            append(3, "bbb", Outcome::Unknown),
            append(4, "c", written(5, 9, length)),
        ]
    };
    accepts(calls(3));
    accepts(calls(6));
    refuses(calls(4), 5);
}

#[test]
fn keys_do_not_explain_each_other() {
    let mut other = get(3, 4, "a", 4);
    other.key = "other".into();
    let report = report(vec![put(1, "a", written(2, 4, 1)), other]);
    let verdicts: Vec<_> =
        report.keys.iter().map(|key| (key.key.to_string(), &key.verdict)).collect();
    assert!(matches!(&verdicts[0], (key, Verdict::Linearizable { .. }) if key == "\"k\""));
    assert!(matches!(&verdicts[1], (key, Verdict::NotLinearizable(_)) if key == "\"other\""));
}

#[test]
fn the_order_names_the_unknown_calls_that_took_effect() {
    let report = report(vec![
        get(5, 6, "b", 4),
        put(1, "a", Outcome::Unknown),
        put(2, "b", Outcome::Unknown),
        absent(3, 4),
    ]);
    match &report.keys[0].verdict {
        Verdict::Linearizable { order } => assert_eq!(*order, [3, 2, 0]),
        other => panic!("{other:?} instead of an order"),
    }
}

#[test]
fn a_violation_is_explained_in_a_small_table() {
    let report = report(vec![
        put(1, "a", written(2, 4, 1)),
        append(3, "b", Outcome::Unknown),
        put(4, "c", written(5, 9, 1)),
        get(6, 8, "a", 4),
        get(7, 9, "c", 9),
        get(10, 11, "nonsense", 12),
    ]);
    let expected = "\
Key \"k\" is NOT LINEARIZABLE.

The first answer that nothing explains:
    client 6: get -> \"a\" v4

The longest order that was found places 1 calls:

    client  called  returned  operation  answer
 1       1       1         2  put \"a\"    wrote v4, length 1

Then the key is \"a\" v4, and these are left:

    client  called  returned  operation  answer
 -       4       4         5  put \"c\"    wrote v9, length 1
 X       6       6         8  get        \"a\" v4

Nor do 2 calls of unknown outcome help.

NOT LINEARIZABLE: 6 calls, 1 of unknown outcome, 1 keys.";
    assert_eq!(report.to_string(), expected);
}

fn value_call(invoked: u64, operation: ValueOperation, returned: u64) -> ValueCall {
    call(invoked, operation, Outcome::Ok { returned, answer: ValueAnswer::Done })
}

type ValueCall = Call<ValueOperation, ValueAnswer>;

#[test]
fn without_versions_the_same_value_twice_is_no_flip() {
    let seen = |invoked, value: &str| {
        let answer = ValueAnswer::Value { value: value.into() };
        call(invoked, ValueOperation::Get, Outcome::Ok { returned: invoked + 1, answer })
    };
    let put =
        |invoked, value: &str| value_call(invoked, ValueOperation::Put { value: value.into() }, 20);
    let twice =
        vec![put(1, "a"), put(2, "b"), put(3, "a"), seen(4, "a"), seen(6, "b"), seen(8, "a")];
    let history = History::new(twice.clone()).expect("a history");
    assert!(check::<ValueModel>(&history, Limit::default()).is_linearizable());
    let once = History::new(twice[1..].to_vec()).expect("a history");
    assert!(check::<ValueModel>(&once, Limit::default()).is_violated());
}
