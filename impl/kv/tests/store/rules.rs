//! The effects of each operation.

use raft_core::{Entry, Index, Payload, Term};
use raft_kv::command::{Answer, MAX_VALUE, Operation};
use raft_kv::store::StoreError;
use raft_node::StateMachine;

use crate::{append, ask, command, compare_and_set, delete, directory, entry, get, open, put};

#[test]
fn a_version_is_the_index_of_the_entry_that_changed_the_key() {
    let dir = directory();
    let mut store = open(dir.path());
    assert_eq!(store.applied(), Index::ZERO);
    assert_eq!(get(&store, "k"), None);
    assert_eq!(ask(&mut store, None, put("k", "one")), Answer::Written { version: 1, length: 3 });
    assert_eq!(ask(&mut store, None, put("l", "")), Answer::Written { version: 2, length: 0 });
    assert_eq!(ask(&mut store, None, put("k", "three")), Answer::Written { version: 3, length: 5 });
    assert_eq!(get(&store, "k"), Some((3, "three".into())));
    assert_eq!(get(&store, "l"), Some((2, String::new())));
    assert_eq!(store.applied(), Index(3));
}

#[test]
fn deleting_says_whether_there_was_something() {
    let dir = directory();
    let mut store = open(dir.path());
    ask(&mut store, None, put("k", "v"));
    assert_eq!(ask(&mut store, None, delete("k")), Answer::Deleted { existed: true });
    assert_eq!(get(&store, "k"), None);
    assert_eq!(ask(&mut store, None, delete("k")), Answer::Deleted { existed: false });
}

#[test]
fn appending_starts_with_the_empty_value() {
    let dir = directory();
    let mut store = open(dir.path());
    assert_eq!(ask(&mut store, None, append("k", "a")), Answer::Written { version: 1, length: 1 });
    assert_eq!(ask(&mut store, None, append("k", "bc")), Answer::Written { version: 2, length: 3 });
    assert_eq!(get(&store, "k"), Some((2, "abc".into())));
}

#[test]
fn appending_does_not_exceed_the_limit_of_a_value() {
    let dir = directory();
    let mut store = open(dir.path());
    let length = MAX_VALUE as u64;
    ask(&mut store, None, put("k", &"v".repeat(MAX_VALUE - 1)));
    assert_eq!(ask(&mut store, None, append("k", "ab")), Answer::TooLarge);
    assert_eq!(ask(&mut store, None, append("k", "a")), Answer::Written { version: 3, length });
    assert_eq!(ask(&mut store, None, append("k", "b")), Answer::TooLarge);
    assert_eq!(ask(&mut store, None, append("k", "")), Answer::Written { version: 5, length });
    assert_eq!(
        get(&store, "k").map(|(version, value)| (version, value.len())),
        Some((5, MAX_VALUE))
    );
}

#[test]
fn compare_and_set_wants_the_version_that_is_there() {
    let dir = directory();
    let mut store = open(dir.path());
    let absent = Answer::Conflict { present: None };
    assert_eq!(ask(&mut store, None, compare_and_set("k", Some(1), "a")), absent);
    let written = Answer::Written { version: 2, length: 1 };
    assert_eq!(ask(&mut store, None, compare_and_set("k", None, "b")), written);
    let present = Answer::Conflict { present: Some(2) };
    assert_eq!(ask(&mut store, None, compare_and_set("k", None, "c")), present);
    assert_eq!(ask(&mut store, None, compare_and_set("k", Some(3), "d")), present);
    assert_eq!(get(&store, "k"), Some((2, "b".into())));
    let written = Answer::Written { version: 5, length: 1 };
    assert_eq!(ask(&mut store, None, compare_and_set("k", Some(2), "e")), written);
    assert_eq!(get(&store, "k"), Some((5, "e".into())));
}

#[test]
fn a_key_that_came_back_has_another_version() {
    let dir = directory();
    let mut store = open(dir.path());
    ask(&mut store, None, put("k", "v"));
    ask(&mut store, None, delete("k"));
    ask(&mut store, None, put("k", "v"));
    let present = Answer::Conflict { present: Some(3) };
    assert_eq!(ask(&mut store, None, compare_and_set("k", Some(1), "w")), present);
}

#[test]
fn nonsense_is_applied_as_nothing() {
    let dir = directory();
    let mut store = open(dir.path());
    let nonsense: [&[u8]; 4] = [b"", b"\x01", b"\x02\0\x04", b"\x01\0\x04 and more"];
    let answers = store.apply(Index(1), &nonsense.map(entry)).expect("applied");
    assert_eq!(answers, [(); 4].map(|()| Answer::BadCommand.encode()));
    assert_eq!(store.applied(), Index(4));
}

#[test]
fn a_blank_entry_changes_nothing_but_the_applied_index() {
    let dir = directory();
    let mut store = open(dir.path());
    let blank = Entry { term: Term(1), payload: Payload::Noop };
    let entries = [blank.clone(), command(None, put("k", "v")), blank];
    assert_eq!(store.apply(Index(1), &entries).expect("applied").len(), 3);
    assert_eq!((store.applied(), get(&store, "k")), (Index(3), Some((2, "v".into()))));
}

#[test]
fn entries_out_of_turn_are_refused() {
    let dir = directory();
    let mut store = open(dir.path());
    ask(&mut store, None, put("k", "v"));
    for first in [Index::ZERO, Index(1), Index(3)] {
        let refused = store.apply(first, &[command(None, put("k", "w"))]).expect_err("out of turn");
        let refused = refused.downcast::<StoreError>().expect("a store's error");
        assert!(matches!(*refused, StoreError::Gap { expected: Index(2), .. }), "{refused}");
    }
    assert_eq!(store.apply(Index(2), &[]).expect("nothing to do"), []);
    assert_eq!((store.applied(), get(&store, "k")), (Index(1), Some((1, "v".into()))));
}

#[test]
fn readers_in_other_threads_see_all_that_is_applied() {
    let dir = directory();
    let mut store = open(dir.path());
    let reader = store.reader();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            while reader.applied() < Index(300) {
                let applied = reader.applied();
                let found = reader.get(b"k").expect("readable");
                let version = found.map_or(0, |found| found.version);
                assert!(version >= applied.0, "{version} was read at {applied}");
            }
        });
        for _ in 0..300 {
            ask(&mut store, None, Operation::Put { key: "k".into(), value: "v".into() });
        }
        reading.join().expect("no stale read");
    });
}
