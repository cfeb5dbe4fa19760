//! The files on disk after a crash, and their treatment at the start.

use std::fs;
use std::path::Path;

use raft_core::Index;
use raft_kv::command::{Answer, ClientId, Operation};
use raft_kv::store::{KvStore, StoreError};
use raft_node::StateMachine;
use redb::{Builder, Database, TableDefinition};

use crate::{CACHE_BYTES, append, ask, directory, get, open, put, snapshot};

/// Copies the directory as a killed process leaves it. The store is not closed before, because
/// closing would write to its file.
fn killed(dir: &Path) -> tempfile::TempDir {
    let copy = directory();
    for file in fs::read_dir(dir).expect("readable") {
        let file = file.expect("readable");
        fs::copy(file.path(), copy.path().join(file.file_name())).expect("copied");
    }
    copy
}

fn refused(dir: &Path) -> StoreError {
    KvStore::open(dir, CACHE_BYTES).expect_err("no store can be opened here")
}

#[test]
fn a_clean_end_keeps_everything() {
    let dir = directory();
    let mut store = open(dir.path());
    ask(&mut store, None, put("k", "v"));
    let before = snapshot(&store);
    drop(store);
    assert_eq!(snapshot(&open(dir.path())), before);
}

#[test]
fn a_crash_goes_back_to_the_last_sync_and_no_further() {
    let dir = directory();
    let mut store = open(dir.path());
    ask(&mut store, None, append("k", "a"));
    store.sync().expect("synced");
    ask(&mut store, None, append("k", "b"));
    let mut revived = open(killed(dir.path()).path());
    assert_eq!((revived.applied(), get(&revived, "k")), (Index(1), Some((1, "a".into()))));
    ask(&mut revived, None, append("k", "b"));
    assert_eq!(snapshot(&revived), snapshot(&store));
}

#[test]
fn opening_after_a_crash_does_not_walk_through_the_file() {
    let dir = directory();
    let mut store = open(dir.path());
    for synced in [false, true] {
        ask(&mut store, None, put("k", "v"));
        if synced {
            store.sync().expect("synced");
            ask(&mut store, None, put("k", "w"));
        }
        let copy = killed(dir.path());
        let mut builder = Builder::new();
        builder.set_repair_callback(|_| panic!("the file is being repaired"));
        builder.open(copy.path().join("state.redb")).expect("a database");
    }
}

#[test]
fn a_crash_before_the_first_sync_leaves_an_empty_store() {
    let dir = directory();
    let mut store = open(dir.path());
    let empty = snapshot(&store);
    ask(&mut store, None, put("k", "v"));
    assert_eq!(snapshot(&open(killed(dir.path()).path())), empty);
}

#[test]
fn what_a_crash_left_beside_the_file_is_removed() {
    let dir = directory();
    let leftover = dir.path().join("state.redb.new");
    fs::write(&leftover, "half a file").expect("written");
    let mut store = open(dir.path());
    assert!(!leftover.exists());
    ask(&mut store, None, put("k", "v"));
    drop(store);
    fs::write(&leftover, "half a file").expect("written");
    assert_eq!(open(dir.path()).applied(), Index(1));
    assert!(!leftover.exists());
}

#[test]
fn a_file_has_one_store_at_a_time() {
    let dir = directory();
    let _store = open(dir.path());
    let message = refused(dir.path()).to_string();
    assert!(
        message.contains("state.redb") && message.contains("another process is using"),
        "{message}"
    );
}

#[test]
fn a_file_that_is_no_store_is_refused() {
    let dir = directory();
    let path = dir.path().join("state.redb");
    for rubbish in ["x", "this is not a database, but longer than its header "] {
        fs::write(&path, rubbish.repeat(200)).expect("written");
        assert!(matches!(refused(dir.path()), StoreError::Open { .. }));
    }
    fs::remove_file(&path).expect("removed");
    drop(Database::create(&path).expect("a database"));
    assert!(matches!(refused(dir.path()), StoreError::Open { .. }));
}

#[test]
fn a_file_of_another_layout_is_refused_by_name() {
    let dir = directory();
    drop(open(dir.path()));
    let database = Database::open(dir.path().join("state.redb")).expect("a database");
    let transaction = database.begin_write().expect("a transaction");
    let meta = TableDefinition::<&str, u64>::new("meta");
    transaction.open_table(meta).expect("a table").insert("layout", 3).expect("written");
    transaction.commit().expect("committed");
    drop(database);
    assert!(matches!(refused(dir.path()), StoreError::OtherLayout { found: 3, expected: 2, .. }));
}

#[test]
fn a_file_of_the_former_layout_is_brought_up_to_date() {
    let dir = directory();
    let database = Database::create(dir.path().join("state.redb")).expect("a database");
    let transaction = database.begin_write().expect("a transaction");
    {
        let data = TableDefinition::<&[u8], &[u8]>::new("data");
        let mut data = transaction.open_table(data).expect("a table");
        let stored = [4u64.to_le_bytes().as_slice(), b"one"].concat();
        data.insert(b"a".as_slice(), stored.as_slice()).expect("written");
        let sessions = TableDefinition::<u64, (u64, u64, &[u8])>::new("sessions");
        let mut sessions = transaction.open_table(sessions).expect("a table");
        let answer = Answer::Written { version: 4, length: 3 }.encode();
        sessions.insert(2, (4, 4, answer.as_slice())).expect("written");
        sessions.insert(3, (3, 0, [].as_slice())).expect("written");
        let uses = TableDefinition::<(u64, u64), ()>::new("uses");
        let mut uses = transaction.open_table(uses).expect("a table");
        uses.insert((4, 2), ()).expect("written");
        uses.insert((3, 3), ()).expect("written");
        let meta = TableDefinition::<&str, u64>::new("meta");
        let mut meta = transaction.open_table(meta).expect("a table");
        meta.insert("layout", 1).expect("written");
        meta.insert("applied", 4).expect("written");
    }
    transaction.commit().expect("committed");
    drop(database);
    let other = directory();
    let mut expected = open(other.path());
    ask(&mut expected, None, put("a", ""));
    ask(&mut expected, None, Operation::OpenSession);
    ask(&mut expected, None, Operation::OpenSession);
    ask(&mut expected, Some((ClientId(2), 4)), put("a", "one"));
    for _ in 0..2 {
        let store = open(dir.path());
        assert_eq!(snapshot(&store), snapshot(&expected));
    }
    let mut store = open(dir.path());
    for store in [&mut store, &mut expected] {
        ask(store, Some((ClientId(3), 1)), Operation::OpenSession);
        ask(store, Some((ClientId(2), 4)), put("a", "two"));
    }
    assert_eq!(snapshot(&store), snapshot(&expected));
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = directory();
    let file = dir.path().join("a file");
    fs::write(&file, "no directory").expect("written");
    let message = refused(&file).to_string();
    assert!(message.contains("a file"), "{message}");
}
