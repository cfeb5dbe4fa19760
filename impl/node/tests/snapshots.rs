//! Snapshots are complete or do not exist, and their contents match their names.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
use raft_core::{
    Bytes, Config, Entry, Index, Limits, LogPosition, LogWrite, Node, NodeId, Paper, Payload,
    PersistentState, Snapshot, Term, VoteRecord,
};
use raft_node::directory::OsDirectory;
use raft_node::orders::{Free, Order};
use raft_node::replica::{HOUSEKEEPING, Replica};
use raft_node::snapshot_store::{SnapshotError, SnapshotName, SnapshotStore};
use raft_node::timers::Timing;
use raft_node::{Bounds, SnapshotView, StateMachineError};
use tempfile::TempDir;

struct View(Vec<u8>);

impl SnapshotView for View {
    fn index(&self) -> Index {
        Index(7)
    }

    fn write_to(&self, out: &mut dyn Write) -> Result<(), StateMachineError> {
        Ok(out.write_all(&self.0)?)
    }
}

struct Broken;

impl SnapshotView for Broken {
    fn index(&self) -> Index {
        Index(8)
    }

    fn write_to(&self, out: &mut dyn Write) -> Result<(), StateMachineError> {
        out.write_all(b"half of it")?;
        Err("the state cannot be read".into())
    }
}

fn store() -> (TempDir, SnapshotStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = SnapshotStore::new(OsDirectory::at(directory.path()).unwrap(), 1 << 30);
    (directory, store)
}

fn path(directory: &TempDir, name: SnapshotName) -> PathBuf {
    directory.path().join(name.to_string())
}

fn data(length: usize) -> Vec<u8> {
    (0..length).map(|place| u8::try_from(place % 251).unwrap()).collect()
}

fn files(directory: &TempDir) -> Vec<String> {
    let names = std::fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_was_stored_is_read() {
    let (directory, store) = store();
    let name = store.store(&View(data(3_000_000)), Term(2)).unwrap();
    assert_eq!(name.last_included, LogPosition { term: Term(2), index: Index(7) });
    assert_eq!(files(&directory), [name.to_string()]);
    let mut read = Vec::new();
    let mut reader = store.read(name).unwrap();
    reader.read_to_end(&mut read).unwrap();
    reader.finish().unwrap();
    assert!(read == data(3_000_000));
}

#[test]
fn a_snapshot_that_could_not_be_finished_is_not_there() {
    let (directory, store) = store();
    assert!(matches!(store.store(&Broken, Term(1)), Err(SnapshotError::StateMachine(_))));
    assert_eq!(files(&directory), ["taking"]);
    store.clean(None).unwrap();
    assert_eq!(files(&directory), [] as [&str; 0]);
}

#[test]
fn a_damaged_snapshot_is_not_used() {
    let (directory, store) = store();
    let name = store.store(&View(data(5000)), Term(1)).unwrap();
    let mut bytes = std::fs::read(path(&directory, name)).unwrap();
    bytes[1234] ^= 4;
    std::fs::write(path(&directory, name), &bytes).unwrap();
    assert!(matches!(store.verify(name), Err(SnapshotError::Damaged { .. })));
    std::fs::write(path(&directory, name), &bytes[..4000]).unwrap();
    assert!(matches!(store.open(name), Err(SnapshotError::Damaged { .. })));
    std::fs::remove_file(path(&directory, name)).unwrap();
    assert!(matches!(store.open(name), Err(SnapshotError::Io { .. })));
}

#[test]
fn the_current_snapshot_and_newer_ones_are_kept() {
    let (directory, store) = store();
    let current = store.store(&View(data(10)), Term(3)).unwrap();
    let at = |index| LogPosition { term: Term(3), index: Index(index) };
    let older = SnapshotName { last_included: at(6), ..current };
    let newer = SnapshotName { last_included: at(9), ..current };
    for other in [older, newer] {
        std::fs::copy(path(&directory, current), path(&directory, other)).unwrap();
    }
    std::fs::write(directory.path().join("notes.txt"), "not ours").unwrap();
    store.keep_only(current).unwrap();
    assert_eq!(files(&directory), ["notes.txt", &current.to_string(), &newer.to_string()]);
    store.clean(Some(current)).unwrap();
    assert_eq!(files(&directory), ["notes.txt", &current.to_string()]);
}

#[test]
fn a_broken_transfer_goes_on_where_it_was() {
    let (_from, source) = store();
    let (directory, target) = store();
    let bytes = data(10_000);
    let name = source.store(&View(bytes.clone()), Term(1)).unwrap();
    let mut incoming = target.receive(name).unwrap();
    assert_eq!(incoming.length(), 0);
    incoming.add(0, &bytes[..4000]).unwrap();
    drop(incoming);
    let mut incoming = target.receive(name).unwrap();
    assert_eq!(incoming.length(), 4000);
    assert!(matches!(incoming.add(5000, &bytes[5000..]), Err(SnapshotError::Damaged { .. })));
    incoming.add(4000, &bytes[4000..]).unwrap();
    incoming.finish().unwrap();
    target.verify(name).unwrap();
    assert_eq!(files(&directory), [name.to_string()]);
}

#[test]
fn what_arrives_damaged_is_thrown_away() {
    let (_from, source) = store();
    let (directory, target) = store();
    let name = source.store(&View(data(1000)), Term(1)).unwrap();
    let mut incoming = target.receive(name).unwrap();
    incoming.add(0, &vec![1; 1000]).unwrap();
    assert!(matches!(incoming.finish(), Err(SnapshotError::Damaged { .. })));
    assert_eq!(files(&directory), [] as [&str; 0]);
}

#[test]
fn only_the_newest_transfer_is_kept() {
    let (directory, store) = store();
    let at = |index| SnapshotName {
        last_included: LogPosition { term: Term(1), index: Index(index) },
        length: 10,
        checksum: 1,
    };
    drop(store.receive(at(1)).unwrap());
    drop(store.receive(at(2)).unwrap());
    assert_eq!(files(&directory), [format!("incoming-{}", at(2))]);
}

#[test]
fn a_handle_of_another_position_is_refused() {
    let name = SnapshotName {
        last_included: LogPosition { term: Term(1), index: Index(2) },
        length: 3,
        checksum: 4,
    };
    let snapshot = |index, handle| Snapshot {
        last_included_index: Index(index),
        last_included_term: Term(1),
        handle,
    };
    assert_eq!(SnapshotName::of(&snapshot(2, name.handle())).unwrap(), name);
    assert!(SnapshotName::of(&snapshot(3, name.handle())).is_err());
    assert!(SnapshotName::of(&snapshot(2, Bytes::from("../../etc/passwd"))).is_err());
}

/// Returns whether a server takes another snapshot after it was started with a snapshot of this
/// length and 100 kB of entries after the snapshot.
fn takes_another(length: u64) -> bool {
    let last_included = LogPosition { term: Term(1), index: Index(7) };
    let name = SnapshotName { last_included, length, checksum: 1 };
    let snapshot = Snapshot {
        last_included_index: Index(7),
        last_included_term: Term(1),
        handle: name.handle(),
    };
    let command = Payload::Command(Bytes::from(vec![0; 1000]));
    let entries = vec![Entry { term: Term(1), payload: command }; 100];
    let mut state = PersistentState::default();
    state.write(&raft_core::Write {
        vote: Some(VoteRecord { current_term: Term(1), voted_for: None }),
        log: Some(LogWrite::Install(snapshot)),
    });
    let append = LogWrite::Append { first: Index(8), entries };
    state.write(&raft_core::Write { vote: None, log: Some(append) });

    let config =
        Config { id: NodeId(1), voters: BTreeSet::from([NodeId(1)]), limits: Limits::default() };
    let node = Node::restart(&Paper, config, state, Index(107)).unwrap();
    let bounds = Bounds { snapshot_log_bytes: 10_000, ..Bounds::default() };
    let mut replica = Replica::new(node, Timing::default(), bounds, Duration::ZERO, 1, None);
    replica.advance(HOUSEKEEPING, false);
    let orders = replica.orders(HOUSEKEEPING, Free { disk: false, machine: false });
    orders.iter().any(|order| matches!(order, Order::TakeView))
}

#[test]
fn a_quarter_of_the_last_snapshot_is_waited_for_after_a_restart_too() {
    assert!(takes_another(300_000));
    assert!(!takes_another(600_000));
}

proptest! {
    #[test]
    fn a_name_is_never_a_path(text in "(snapshot-)?[0-9a-f./+ -]{0,40}") {
        if let Ok(name) = text.parse::<SnapshotName>() {
            prop_assert_eq!(name.to_string(), text.clone());
            prop_assert_eq!(PathBuf::from(&text).components().count(), 1);
        }
    }
}
