//! The key-value state machine.

mod crashes;
mod model;
mod rules;
mod sessions;
mod snapshots;

use std::path::Path;

use raft_core::{Bytes, Entry, Index, Payload, Term};
use raft_kv::command::{Answer, ClientId, Command, Operation, RequestId};
use raft_kv::store::KvStore;
use raft_node::{SnapshotView, StateMachine};
use tempfile::TempDir;

/// A cache that is so small that every test writes pages to the disk and reads them back.
const CACHE_BYTES: usize = 64 << 10;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn open(dir: &Path) -> KvStore {
    KvStore::open(dir, CACHE_BYTES).expect("a store")
}

fn entry(command: &[u8]) -> Entry {
    Entry { term: Term(1), payload: Payload::Command(Bytes::from(command)) }
}

fn command(request: Option<RequestId>, operation: Operation) -> Entry {
    let command = Command { request, operation };
    entry(&command.encode().expect("a command within the limits"))
}

/// Applies the next request and returns its answer.
fn ask(store: &mut KvStore, request: Option<(ClientId, u64)>, operation: Operation) -> Answer {
    let request = request.map(|(client, serial)| RequestId { client, serial });
    let first = store.applied().next();
    let answers = store.apply(first, &[command(request, operation)]).expect("applied");
    Answer::decode(answers[0].as_slice()).expect("an answer")
}

fn put(key: &str, value: &str) -> Operation {
    Operation::Put { key: Bytes::from(key), value: Bytes::from(value) }
}

fn append(key: &str, suffix: &str) -> Operation {
    Operation::Append { key: Bytes::from(key), suffix: Bytes::from(suffix) }
}

fn delete(key: &str) -> Operation {
    Operation::Delete { key: Bytes::from(key) }
}

fn compare_and_set(key: &str, expected: Option<u64>, value: &str) -> Operation {
    Operation::CompareAndSet { key: Bytes::from(key), expected, value: Bytes::from(value) }
}

/// Returns a key's version and value.
fn get(store: &KvStore, key: &str) -> Option<(u64, String)> {
    let found = store.reader().get(key.as_bytes()).expect("readable")?;
    Some((found.version, String::from_utf8_lossy(&found.value).into_owned()))
}

fn written(view: &dyn SnapshotView) -> Vec<u8> {
    let mut bytes = Vec::new();
    view.write_to(&mut bytes).expect("written");
    bytes
}

fn snapshot(store: &KvStore) -> (Index, Vec<u8>) {
    let view = store.snapshot().expect("a view");
    (view.index(), written(&*view))
}
