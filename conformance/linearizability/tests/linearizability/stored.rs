//! Tests of histories that are stored as JSON lines, and of their recording.

use proptest::prelude::*;
use raft_linearizability::{
    Answer, Bytes, History, HistoryError, KvModel, Limit, Operation, Outcome, Recorder, check,
};

use crate::simulate::{KvHistory, KvService, Simulation};

#[test]
fn a_stored_history_is_the_same_when_it_is_read() {
    let simulation = Simulation { seed: 1, clients: 3, keys: 2, operations: 100, unknown: 10 };
    let history = simulation.run::<KvService>();
    let mut stored = Vec::new();
    history.write(&mut stored).expect("a vector takes everything");
    assert_eq!(KvHistory::read(stored.as_slice()).expect("what was written can be read"), history);
}

#[test]
fn a_line_reads_as_it_is_documented() {
    let line = r#"{"client":3,"key":"k","operation":{"compare_and_set":{"expected":null,"value":{"hex":"ff00"}}},"invoked":17,"outcome":{"ok":{"returned":20,"answer":{"written":{"version":7,"length":2}}}}}

{"client":4,"key":"k","operation":"get","invoked":18,"outcome":"unknown"}
"#;
    let history = KvHistory::read(line.as_bytes()).expect("two calls");
    let [swap, get] = history.calls() else { panic!("{} calls", history.calls().len()) };
    let value = Bytes::from(vec![0xff, 0]);
    assert_eq!(swap.operation, Operation::CompareAndSet { expected: None, value });
    assert_eq!(swap.answer(), Some((20, &Answer::Written { version: 7, length: 2 })));
    assert_eq!(get.outcome, Outcome::Unknown);
}

#[test]
fn a_broken_line_is_named() {
    let text = "\n{\"client\":4,\"key\":\"k\",\"operation\":\"got\",\"invoked\":18,\"outcome\":\"unknown\"}";
    let error = KvHistory::read(text.as_bytes()).expect_err("there is no such operation");
    assert!(error.to_string().starts_with("line 2 is no call: unknown variant `got`"), "{error}");
    let odd = "{\"client\":4,\"key\":{\"hex\":\"f\"},\"operation\":\"get\",\"invoked\":1,\"outcome\":\"unknown\"}";
    let error = KvHistory::read(odd.as_bytes()).expect_err("half a byte");
    assert!(error.to_string().contains("pairs of hexadecimal digits"), "{error}");
}

#[test]
fn a_call_that_returned_before_it_was_invoked_is_refused() {
    let line = r#"{"client":4,"key":"k","operation":"get","invoked":18,"outcome":{"ok":{"returned":18,"answer":"missing"}}}"#;
    let error = KvHistory::read(line.as_bytes()).expect_err("time does not stand still");
    assert!(matches!(error, HistoryError::ReturnBeforeCall { place: 1, client: 4, .. }), "{error}");
}

#[test]
fn what_a_recorder_saw_is_ordered_by_one_counter() {
    let recorder = Recorder::default();
    let put = recorder.invoke(1, "k".into(), Operation::Put { value: "a".into() });
    let lost = recorder.invoke(2, "k".into(), Operation::Get);
    let refused = recorder.invoke(3, "k".into(), Operation::Delete);
    recorder.returned(put, Answer::Written { version: 1, length: 1 });
    recorder.not_done(refused);
    drop(lost);
    let history = recorder.into_history();
    let times: Vec<_> = history.calls().iter().map(|call| (call.invoked, &call.outcome)).collect();
    let answer = Answer::Written { version: 1, length: 1 };
    let expected =
        [(1, &Outcome::Ok { returned: 4, answer }), (2, &Outcome::Unknown), (3, &Outcome::NotDone)];
    assert_eq!(times, expected);
}

#[test]
fn threads_record_a_history_that_is_checked() {
    let recorder = Recorder::default();
    let stored = std::sync::Mutex::new((0_u64, Vec::new()));
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (recorder, stored) = (&recorder, &stored);
            scope.spawn(move || {
                for _ in 0..50 {
                    let ticket = recorder.invoke(
                        client,
                        "k".into(),
                        Operation::Append { suffix: "x".into() },
                    );
                    let answer = {
                        let mut stored = stored.lock().expect("nobody panicked");
                        stored.0 += 1;
                        stored.1.push(b'x');
                        Answer::Written { version: stored.0, length: stored.1.len() as u64 }
                    };
                    recorder.returned(ticket, answer);
                }
            });
        }
    });
    let report = check::<KvModel>(&recorder.into_history(), Limit::default());
    assert!(report.is_linearizable(), "{report}");
    assert_eq!(report.keys[0].calls, 200);
}

proptest! {
    #[test]
    fn any_bytes_survive_json(bytes: Vec<u8>) {
        let bytes = Bytes::from(bytes);
        let text = serde_json::to_string(&bytes).expect("bytes are text or hexadecimal");
        prop_assert_eq!(serde_json::from_str::<Bytes>(&text).expect("it was written"), bytes);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text: String) {
        let history: Result<History<Operation, Answer>, _> = History::read(text.as_bytes());
        prop_assert!(history.is_err() || text.trim().is_empty());
    }
}
