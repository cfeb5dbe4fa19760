//! The conversion of a state to a snapshot, and back.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use raft_core::Index;
use raft_kv::command::{Answer, ClientId, MAX_VALUE, Operation, Owner};
use raft_kv::store::{KvStore, SnapshotError, StoreError};
use raft_node::StateMachine;

use crate::{append, ask, delete, directory, get, open, put, snapshot, written};

/// Returns a store with a few keys and sessions.
fn sample(dir: &Path) -> KvStore {
    let mut store = open(dir);
    ask(&mut store, None, put("b", "two"));
    ask(&mut store, None, Operation::OpenSession);
    ask(&mut store, None, Operation::OpenSessionFor { owner: Owner(7) });
    ask(&mut store, Some((ClientId(2), 4)), append("a", "one"));
    store
}

/// A snapshot of [`sample`] in format 1, which does not contain the owner of the second session.
const FORMER_FORMAT: &[u8] = b"RAFT-KV\0\x01\0\0\0\x04\0\0\0\0\0\0\0\
    \x01\x01\0\0\0\x03\0\0\0a\x04\0\0\0\0\0\0\0one\x01\x01\0\0\0\x03\0\0\0b\x01\0\0\0\0\0\0\0two\
    \x02\x02\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x04\x01\0\x04\x03\
    \x02\x03\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
    \0\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0";

fn restore(store: &mut KvStore, index: Index, data: &[u8]) -> Result<(), StoreError> {
    let restored = store.restore(index, &mut &*data);
    restored.map_err(|error| *error.downcast::<StoreError>().expect("a store's error"))
}

#[test]
fn a_restored_state_is_the_state() {
    let (dir, other) = (directory(), directory());
    let mut store = sample(dir.path());
    let (index, data) = snapshot(&store);
    assert_eq!(index, Index(4));
    let mut restored = open(other.path());
    ask(&mut restored, None, put("rubbish", "v"));
    restore(&mut restored, index, &data).expect("restored");
    assert_eq!(restored.applied(), index);
    assert_eq!(get(&restored, "rubbish"), None);
    assert_eq!(get(&restored, "a"), Some((4, "one".into())));
    assert_eq!(snapshot(&restored), (index, data));
    for store in [&mut store, &mut restored] {
        let retried = ask(store, Some((ClientId(2), 4)), append("a", "one"));
        assert_eq!(retried, Answer::Written { version: 4, length: 3 });
    }
    assert_eq!(snapshot(&restored), snapshot(&store));
}

#[test]
fn a_restored_state_is_durable_after_the_next_sync_and_the_former_one_until_then() {
    let (dir, other) = (directory(), directory());
    let (index, data) = snapshot(&sample(dir.path()));
    let mut store = open(other.path());
    restore(&mut store, index, &data).expect("restored");
    assert_eq!(snapshot(&after_crash(other.path())).0, Index::ZERO);
    ask(&mut store, None, put("k", "v"));
    assert_eq!(snapshot(&after_crash(other.path())).0, Index::ZERO);
    store.sync().expect("synced");
    assert_eq!(snapshot(&after_crash(other.path())), snapshot(&store));
    assert!(!other.path().join("state.redb.new").exists());
}

#[test]
fn of_two_restored_states_the_second_stays() {
    let (dir, other) = (directory(), directory());
    let mut source = sample(dir.path());
    let mut store = open(other.path());
    let (index, data) = snapshot(&source);
    restore(&mut store, index, &data).expect("restored");
    ask(&mut source, None, put("k", "v"));
    let (index, data) = snapshot(&source);
    restore(&mut store, index, &data).expect("restored again");
    store.sync().expect("synced");
    assert_eq!(snapshot(&after_crash(other.path())), (index, data));
}

/// Opens a copy of the store's file, as after a crash.
fn after_crash(directory_of_store: &std::path::Path) -> KvStore {
    let copy = directory();
    let name = "state.redb";
    fs::copy(directory_of_store.join(name), copy.path().join(name)).expect("copied");
    open(copy.path())
}

#[test]
fn the_format_is_what_the_documentation_says() {
    let dir = directory();
    let (_, data) = snapshot(&sample(dir.path()));
    let mut expected = b"RAFT-KV\0".to_vec();
    let number = |number: u64| number.to_le_bytes();
    expected.extend([2, 0, 0, 0]);
    expected.extend(number(4));
    for (key, version, value) in [(b"a", 4, b"one"), (b"b", 1, b"two")] {
        expected.extend([1, 1, 0, 0, 0, 3, 0, 0, 0]);
        expected.extend(key);
        expected.extend(number(version));
        expected.extend(value);
    }
    let sessions = [(2, 0, 4, 4, [1, 0, 4, 3].as_slice()), (3, 7, 3, 0, &[])];
    for (client, owner, last_use, serial, answer) in sessions {
        expected.push(2);
        expected.extend([client, owner, last_use, serial].map(number).concat());
        expected.extend(u8::try_from(answer.len()));
        expected.extend(answer);
    }
    expected.push(0);
    expected.extend([2, 2].map(number).concat());
    assert_eq!(data, expected);
}

#[test]
fn a_snapshot_of_the_former_format_is_read() {
    let (dir, other) = (directory(), directory());
    let mut store = open(dir.path());
    ask(&mut store, None, put("b", "two"));
    ask(&mut store, None, Operation::OpenSession);
    ask(&mut store, None, Operation::OpenSession);
    ask(&mut store, Some((ClientId(2), 4)), append("a", "one"));
    let mut restored = open(other.path());
    restore(&mut restored, Index(4), FORMER_FORMAT).expect("restored");
    assert_eq!(snapshot(&restored), snapshot(&store));
}

#[test]
fn views_and_readers_outlive_a_restored_state() {
    let (dir, other) = (directory(), directory());
    let (index, data) = snapshot(&sample(dir.path()));
    let mut store = open(other.path());
    for round in 0..40 {
        ask(&mut store, None, put(&format!("key {round}"), &"old ".repeat(1000)));
    }
    let before = snapshot(&store);
    let (view, reader) = (store.snapshot().expect("a view"), store.reader());
    ask(&mut store, None, delete("key 1"));
    restore(&mut store, index, &data).expect("restored");
    ask(&mut store, None, put("a", "newer"));
    assert_eq!((view.index(), written(&*view)), before);
    assert_eq!(reader.applied(), Index(5));
    assert_eq!(reader.get(b"key 1").expect("readable"), None);
    assert_eq!(reader.get(b"a").expect("readable").map(|found| found.version), Some(5));
    drop(store);
    assert_eq!(written(&*view), before.1);
    assert!(reader.get(b"a").is_ok());
}

#[test]
fn damage_never_replaces_the_state_by_something_else() {
    let (dir, other) = (directory(), directory());
    let (index, data) = snapshot(&sample(dir.path()));
    let mut store = open(other.path());
    ask(&mut store, None, put("old", "state"));
    let mut state = snapshot(&store);
    let mut accepted = 0;
    for (place, mask) in (0..data.len()).flat_map(|place| [(place, 0x01), (place, 0xff)]) {
        let mut damaged = data.clone();
        damaged[place] ^= mask;
        match restore(&mut store, index, &damaged) {
            Ok(()) => {
                state = (index, damaged);
                accepted += 1;
            }
            Err(StoreError::BadSnapshot(_)) => {}
            Err(other) => panic!("byte {place}: {other}"),
        }
        assert_eq!(snapshot(&store), state, "byte {place}");
    }
    assert!(accepted > 0, "a damaged value is a value");
    assert!(accepted < data.len() / 2, "{accepted} of {} damages were accepted", 2 * data.len());
}

#[test]
fn truncated_data_is_refused_wherever_it_ends() {
    let dir = directory();
    let mut store = sample(dir.path());
    let (index, data) = snapshot(&store);
    for length in 0..data.len() {
        let refused = restore(&mut store, index, &data[..length]);
        let Err(StoreError::BadSnapshot(error)) = refused else { panic!("{refused:?}") };
        assert!(matches!(error, SnapshotError::Truncated { .. }), "byte {length}: {error}");
    }
    assert_eq!(snapshot(&store), (index, data));
}

#[test]
fn what_is_not_this_snapshot_is_refused_for_what_it_is() {
    let dir = directory();
    let mut store = sample(dir.path());
    let (index, data) = snapshot(&store);
    let mut refused = |index, data: &[u8]| match restore(&mut store, index, data) {
        Err(StoreError::BadSnapshot(error)) => error,
        other => panic!("{other:?}"),
    };
    let with = |place: usize, byte| {
        let mut changed = data.clone();
        changed[place] = byte;
        changed
    };
    assert!(matches!(refused(index, &with(0, b'r')), SnapshotError::NotASnapshot));
    let other_format = refused(index, &with(8, 3));
    assert!(matches!(other_format, SnapshotError::OtherFormat { found: 3, expected: 2 }));
    let other_index = refused(Index(3), &data);
    let (found, expected) = (Index(4), Index(3));
    assert!(matches!(other_index, SnapshotError::OtherIndex { found: f, expected: e }
        if (f, e) == (found, expected)));
    assert!(matches!(refused(index, &[&*data, b"!"].concat()), SnapshotError::Damaged { .. }));
}

/// A reader that returns its bytes and then fails.
struct Broken<'a>(&'a [u8]);

impl Read for Broken<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            Err(io::Error::other("the line is cut"))
        } else {
            self.0.read(buffer)
        }
    }
}

#[test]
fn a_transfer_that_breaks_after_the_first_batch_leaves_nothing_behind() {
    let (dir, other) = (directory(), directory());
    let mut large = open(dir.path());
    for key in ["a", "b", "c", "d", "e", "f"] {
        ask(&mut large, None, put(key, &key.repeat(MAX_VALUE)));
    }
    let (index, data) = snapshot(&large);
    let mut store = open(other.path());
    ask(&mut store, None, put("old", "state"));
    let before = snapshot(&store);
    let cut = &data[..data.len() - 20];
    let unreadable = store.restore(index, &mut Broken(cut)).expect_err("the line is cut");
    assert!(unreadable.to_string().contains("the line is cut"), "{unreadable}");
    assert!(restore(&mut store, index, cut).is_err());
    assert_eq!(fs::read_dir(other.path()).expect("readable").count(), 1);
    assert_eq!(snapshot(&store), before);
    restore(&mut store, index, &data).expect("restored");
    assert_eq!(snapshot(&store), (index, data));
}
