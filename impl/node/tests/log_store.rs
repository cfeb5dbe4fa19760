//! The log on the disk is, after whatever happens, what raft-core believes it to be.

mod support;

use proptest::prelude::*;
use raft_core::{
    Bytes, Entry, Index, LogWrite, NodeId, Payload, PersistentState, Snapshot, Term, VoteRecord,
    Write,
};
use raft_node::log_store::{Identity, LogStore, LogStoreError};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use support::Disk;

fn identity() -> Identity {
    Identity { cluster: "test".to_owned(), node: NodeId(1), disk: 7 }
}

fn open(disk: &Disk) -> Result<(LogStore, PersistentState), LogStoreError> {
    LogStore::open(disk.clone(), Disk::default(), &identity())
}

/// A write that a node with this state could issue, and the state after it.
fn some_write(random: &mut StdRng, state: &mut PersistentState) -> Write {
    let (base, last) = (state.log.base(), state.log.last_index());
    let term = Term(state.current_term.0 + random.random_range(0..2)).max(Term(1));
    let entries = |random: &mut StdRng| -> Vec<Entry> {
        let entry = |random: &mut StdRng| {
            let length = if random.random_ratio(1, 20) { 9000 } else { random.random_range(0..40) };
            Entry { term, payload: Payload::Command(Bytes::from(vec![b'x'; length])) }
        };
        (0..random.random_range(1..5)).map(|_| entry(random)).collect()
    };
    let snapshot = |index: Index, term: Term| Snapshot {
        last_included_index: index,
        last_included_term: term,
        handle: Bytes::from("a file"),
    };
    let log = match random.random_range(0..10) {
        0..6 => {
            let first = Index(random.random_range(base.index.0..=last.0) + 1);
            let first = if random.random_ratio(3, 4) { last.next() } else { first };
            Some(LogWrite::Append { first, entries: entries(random) })
        }
        6..8 if last > base.index => {
            let index = Index(random.random_range(base.index.0..last.0) + 1);
            let raft_core::TermAt::Present(term) = state.log.term_at(index) else { panic!("gone") };
            Some(LogWrite::Compact(snapshot(index, term)))
        }
        8 => {
            let index = Index(last.0 + random.random_range(1..4));
            Some(LogWrite::Install(snapshot(index, term)))
        }
        _ => None,
    };
    let vote =
        VoteRecord { current_term: term, voted_for: Some(NodeId(random.random_range(1..4))) };
    let write = Write { vote: Some(vote), log };
    state.write(&write);
    write
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_read_again(seed: u64, batches in prop::collection::vec(1..5usize, 1..30)) {
        let mut random = StdRng::seed_from_u64(seed);
        let disk = Disk::default();
        let (mut store, mut state) = open(&disk)?;
        for (number, batch) in batches.into_iter().enumerate() {
            let writes = (0..batch).map(|_| some_write(&mut random, &mut state)).collect();
            store.commit(writes)?;
            prop_assert_eq!(&store.read()?, &state);
            if number % 5 == 4 {
                drop(store);
                let (reopened, found) = open(&disk)?;
                prop_assert_eq!(&found, &state);
                store = reopened;
            }
        }
    }

    #[test]
    fn a_power_loss_takes_the_last_transaction_as_a_whole_or_not_at_all(
        seed: u64, batches in 1..12usize, share in 0..=4u32,
    ) {
        let mut random = StdRng::seed_from_u64(seed);
        let disk = Disk::default();
        let (mut store, mut state) = open(&disk)?;
        for _ in 0..batches {
            store.commit(vec![some_write(&mut random, &mut state)])?;
        }
        let before = state.clone();
        disk.cut_power_at(disk.operations() + random.random_range(0..12));
        let mut writes = Vec::new();
        for _ in 0..random.random_range(1..4) {
            writes.push(some_write(&mut random, &mut state));
        }
        let committed = store.commit(writes).is_ok();
        drop(store);
        let image = disk.after_power_loss(|| random.random_ratio(share, 4));
        let (mut store, found) = open(&Disk::with(image))?;
        prop_assert!(found == state || (!committed && found == before));
        // And it goes on from there.
        let mut state = found;
        store.commit(vec![some_write(&mut random, &mut state)])?;
        prop_assert_eq!(store.read()?, state);
    }
}

#[test]
fn a_disk_of_another_server_is_refused() {
    let disk = Disk::default();
    drop(open(&disk).unwrap());
    let other = Identity { node: NodeId(2), ..identity() };
    let refusal = LogStore::open(disk.clone(), Disk::default(), &other).unwrap_err().to_string();
    assert!(refusal.contains("belongs to n1 of cluster \"test\", not to n2"), "{refusal}");
    let other = Identity { cluster: "prod".to_owned(), ..identity() };
    assert!(matches!(
        LogStore::open(disk, Disk::default(), &other),
        Err(LogStoreError::Foreign { .. })
    ));
}

#[test]
fn the_name_of_a_disk_stays() {
    let disk = Disk::default();
    drop(open(&disk).unwrap());
    let again = Identity { disk: 8, ..identity() };
    let (store, _) = LogStore::open(disk, Disk::default(), &again).unwrap();
    assert_eq!(store.identity(), &identity());
}

/// Damages one byte of each page of an image in turn; returns how often that was refused.
fn damage(sound: &[u8], witness: &Disk, state: &PersistentState, random: &mut StdRng) -> usize {
    let mut refused = 0;
    for page in (0..sound.len()).step_by(4096) {
        let used: Vec<usize> = (page..page + 4096).filter(|place| sound[*place] != 0).collect();
        if used.is_empty() {
            continue;
        }
        let mut image = sound.to_vec();
        image[used[random.random_range(0..used.len())]] ^= 1 << random.random_range(0..8);
        let witness = Disk::with(witness.contents());
        match LogStore::open(Disk::with(image), witness, &identity()) {
            Ok((_, found)) => assert_eq!(&found, state, "never something else"),
            Err(_) => refused += 1,
        }
    }
    refused
}

#[test]
fn a_damaged_byte_is_refused_or_does_not_matter() {
    let mut random = StdRng::seed_from_u64(5);
    let (disk, witness) = (Disk::default(), Disk::default());
    let (mut store, mut state) =
        LogStore::open(disk.clone(), witness.clone(), &identity()).unwrap();
    for _ in 0..40 {
        store.commit(vec![some_write(&mut random, &mut state)]).unwrap();
    }
    let entry = Entry { term: state.current_term, payload: Payload::Command(vec![7; 300].into()) };
    let first = state.log.last_index().next();
    let last =
        Write { vote: None, log: Some(LogWrite::Append { first, entries: vec![entry; 10] }) };
    state.write(&last);
    store.commit(vec![last]).unwrap();
    let of_a_killed_process = disk.contents();
    drop(store);
    assert!(damage(&disk.contents(), &witness, &state, &mut random) > 0);
    assert!(damage(&of_a_killed_process, &witness, &state, &mut random) > 0);
}

#[test]
fn a_file_of_something_else_is_refused() {
    let disk = Disk::with(vec![b'#'; 8192]);
    assert!(open(&disk).is_err());
}

#[test]
fn a_full_disk_is_an_error_and_not_a_loss() {
    let mut random = StdRng::seed_from_u64(9);
    let disk = Disk::default();
    let (mut store, mut state) = open(&disk).unwrap();
    store.commit(vec![some_write(&mut random, &mut state)]).unwrap();
    disk.cut_power_at(disk.operations());
    let lost = some_write(&mut random, &mut state.clone());
    assert!(store.commit(vec![lost]).is_err());
    drop(store);
    let image = disk.after_power_loss(|| true);
    assert_eq!(open(&Disk::with(image)).unwrap().1, state);
}
