//! What the disk holds, and what is done about it at the start.

use std::fs;
use std::path::Path;

use raft_core::Index;
use raft_kv::store::{KvStore, StoreError};
use raft_node::StateMachine;
use redb::{Builder, Database, TableDefinition};

use crate::{CACHE_BYTES, append, ask, directory, get, open, put, snapshot};

/// What the directory of a killed process looks like: closing the file would write to it.
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
    transaction.open_table(meta).expect("a table").insert("layout", 2).expect("written");
    transaction.commit().expect("committed");
    drop(database);
    assert!(matches!(refused(dir.path()), StoreError::OtherLayout { found: 2, expected: 1, .. }));
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = directory();
    let file = dir.path().join("a file");
    fs::write(&file, "no directory").expect("written");
    let message = refused(&file).to_string();
    assert!(message.contains("a file"), "{message}");
}
