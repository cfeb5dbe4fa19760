//! The log on the disk is, after whatever happens, what raft-core believes it to be.

mod support;

use proptest::prelude::*;
use raft_core::{
    Bytes, Entry, Index, LogWrite, NodeId, Payload, PersistentState, Snapshot, Term, VoteRecord,
    Write,
};
use raft_node::log_store::{Files, Identity, LogStore, LogStoreError, Sizes};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use support::Disk;

fn identity() -> Identity {
    let voters = [1, 2, 3].map(NodeId).into();
    Identity { cluster: "test".to_owned(), node: NodeId(1), voters, disk: 7 }
}

/// The two files and the witness.
#[derive(Clone, Default)]
struct Disks([Disk; 3]);

impl Disks {
    fn files(&self) -> Files {
        let [first, second, witness] = self.0.clone().map(|disk| Box::new(disk) as Box<_>);
        Files { logs: [first, second], witness }
    }

    fn open(&self) -> Result<(LogStore, PersistentState), LogStoreError> {
        LogStore::open(self.files(), &identity(), 1, Sizes::default())
    }

    /// What may be there after the power went.
    fn after_power_loss(&self, mut kept: impl FnMut() -> bool) -> Disks {
        Disks(self.0.clone().map(|disk| Disk::with(disk.after_power_loss(&mut kept))))
    }

    /// What is there after the process was killed.
    fn after_kill(&self) -> Disks {
        Disks(self.0.clone().map(|disk| Disk::with(disk.contents())))
    }
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
        let disks = Disks::default();
        let (mut store, mut state) = disks.open()?;
        for (number, batch) in batches.into_iter().enumerate() {
            let writes = (0..batch).map(|_| some_write(&mut random, &mut state)).collect();
            store.commit(writes)?;
            prop_assert_eq!(&store.read()?, &state);
            if number % 5 == 4 {
                drop(store);
                let (reopened, found) = disks.open()?;
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
        let disks = Disks::default();
        let (mut store, mut state) = disks.open()?;
        for _ in 0..batches {
            store.commit(vec![some_write(&mut random, &mut state)])?;
        }
        let before = state.clone();
        disks.0[0].cut_power_at(disks.0[0].operations() + random.random_range(0..5));
        let mut writes = Vec::new();
        for _ in 0..random.random_range(1..4) {
            writes.push(some_write(&mut random, &mut state));
        }
        let committed = store.commit(writes).is_ok();
        drop(store);
        let disks = disks.after_power_loss(|| random.random_ratio(share, 4));
        let (mut store, found) = disks.open()?;
        prop_assert!(found == state || (!committed && found == before));
        // And it goes on from there.
        let mut state = found;
        store.commit(vec![some_write(&mut random, &mut state)])?;
        prop_assert_eq!(store.read()?, state);
    }
}

fn append(state: &mut PersistentState, size: usize) -> Write {
    let entry = Entry { term: Term(1), payload: Payload::Command(Bytes::from(vec![b'y'; size])) };
    let first = state.log.last_index().next();
    let vote = Some(VoteRecord { current_term: Term(1), voted_for: None });
    let write = Write { vote, log: Some(LogWrite::Append { first, entries: vec![entry] }) };
    state.write(&write);
    write
}

fn compact(state: &mut PersistentState, index: u64) -> Write {
    let snapshot = Snapshot {
        last_included_index: Index(index),
        last_included_term: Term(1),
        handle: Bytes::from("a file"),
    };
    let write = Write { vote: None, log: Some(LogWrite::Compact(snapshot)) };
    state.write(&write);
    write
}

/// A log of 14 MiB, of which 3 MiB are still needed: from here on, the other file is written.
fn about_to_change_files(disks: &Disks) -> (LogStore, PersistentState) {
    let (mut store, mut state) = disks.open().unwrap();
    for _ in 0..56 {
        store.commit(vec![append(&mut state, 256 << 10)]).unwrap();
    }
    store.commit(vec![compact(&mut state, 44)]).unwrap();
    (store, state)
}

#[test]
fn the_files_take_turns_and_the_log_stays() {
    let disks = Disks::default();
    let (mut store, mut state) = about_to_change_files(&disks);
    for _ in 0..3 {
        for _ in 0..60 {
            store.commit(vec![append(&mut state, 200 << 10)]).unwrap();
            assert!(disks.after_kill().open().unwrap().1 == state);
        }
        let covered = state.log.last_index().0 - 3;
        store.commit(vec![compact(&mut state, covered)]).unwrap();
    }
    drop(store);
    assert!(disks.open().unwrap().1 == state);
    let [first, second, _] = disks.0.map(|disk| disk.contents().len());
    assert!(first < 40 << 20 && second < 40 << 20, "{first} and {second} bytes");
}

#[test]
fn a_power_loss_while_the_files_change_loses_nothing() {
    let mut random = StdRng::seed_from_u64(3);
    for cut in 0..60 {
        let disks = Disks::default();
        let (mut store, mut state) = about_to_change_files(&disks);
        let other = &disks.0[1];
        other.cut_power_at(other.operations() + cut);
        let mut before;
        loop {
            before = state.clone();
            let write = append(&mut state, 20 << 10);
            if store.commit(vec![write]).is_err() {
                break;
            }
            if state.log.last_index().0 > 90 {
                before = state.clone();
                break;
            }
        }
        drop(store);
        let (_, found) = disks.after_power_loss(|| random.random()).open().unwrap();
        assert!(found == state || found == before, "the power went at operation {cut}");
    }
}

#[test]
fn a_disk_of_another_server_is_refused() {
    let disks = Disks::default();
    drop(disks.open().unwrap());
    let other = Identity { node: NodeId(2), ..identity() };
    let refusal =
        LogStore::open(disks.files(), &other, 1, Sizes::default()).unwrap_err().to_string();
    assert!(refusal.contains("belongs to n1 of cluster \"test\", not to n2"), "{refusal}");
    let other = Identity { cluster: "prod".to_owned(), ..identity() };
    assert!(matches!(
        LogStore::open(disks.files(), &other, 1, Sizes::default()),
        Err(LogStoreError::Foreign { .. })
    ));
}

#[test]
fn a_disk_that_voted_among_others_is_refused_and_not_touched() {
    let disks = Disks::default();
    drop(disks.open().unwrap());
    let before = disks.after_kill();
    for voters in [vec![1, 2], vec![1, 2, 4], vec![1, 2, 3, 4, 5]] {
        let voters = voters.into_iter().map(NodeId).collect();
        let other = Identity { voters, ..identity() };
        let refusal = LogStore::open(disks.files(), &other, 1, Sizes::default()).unwrap_err();
        assert!(matches!(refusal, LogStoreError::OtherVoters { .. }), "{refusal}");
        assert!(refusal.to_string().contains("the members 1 2 3, the configuration names 1 2"));
    }
    for (now, then) in disks.0.iter().zip(&before.0) {
        assert_eq!(now.contents(), then.contents());
    }
}

#[test]
fn a_disk_of_an_earlier_layout_is_refused_and_not_begun_anew() {
    let disks = Disks::default();
    drop(disks.open().unwrap());
    // Version 2 had no voters. The record is that of "test", n1, disk 7, with a checksum of its own.
    let mut record = disks.0[0].contents()[..512].to_vec();
    let body = [&[0, 2, 4][..], b"test", &[1, 7, 0]].concat();
    record[28..].fill(0);
    record[28..28 + body.len()].copy_from_slice(&body);
    record[4..8].copy_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&record[4..24]);
    checksum.update(&body);
    record[24..28].copy_from_slice(&checksum.finalize().to_le_bytes());
    let old = Disks([Disk::with(record.clone()), Disk::default(), disks.0[2].clone()]);
    let refusal = old.open().unwrap_err();
    assert!(matches!(refusal, LogStoreError::Format(2)), "{refusal}");
    assert_eq!(old.0[0].contents(), record);
}

#[test]
fn the_name_of_a_disk_stays() {
    let disks = Disks::default();
    drop(disks.open().unwrap());
    let again = Identity { disk: 8, ..identity() };
    let (store, _) = LogStore::open(disks.files(), &again, 1, Sizes::default()).unwrap();
    assert_eq!(store.identity(), &identity());
}

#[test]
fn a_damaged_byte_is_refused_or_does_not_matter() {
    let mut random = StdRng::seed_from_u64(5);
    let disks = Disks::default();
    let (mut store, mut state) = disks.open().unwrap();
    for _ in 0..40 {
        store.commit(vec![some_write(&mut random, &mut state)]).unwrap();
    }
    drop(store);
    let sound = disks.0[0].contents();
    let used = sound.iter().rposition(|byte| *byte != 0).unwrap();
    let mut refused = 0;
    for _ in 0..400 {
        let mut image = sound.clone();
        image[random.random_range(0..used)] ^= 1 << random.random_range(0..8);
        let mut damaged = disks.after_kill();
        damaged.0[0] = Disk::with(image);
        match damaged.open() {
            Ok((_, found)) => assert_eq!(found, state, "never something else"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 200, "{refused} of 400");
}

#[test]
fn a_witness_that_is_gone_or_damaged_is_noticed() {
    let disks = Disks::default();
    let (mut store, mut state) = disks.open().unwrap();
    store.commit(vec![append(&mut state, 100)]).unwrap();
    drop(store);
    for witness in [vec![], vec![0; 12], vec![7; 12]] {
        let mut damaged = disks.after_kill();
        damaged.0[2] = Disk::with(witness);
        assert!(matches!(damaged.open(), Err(LogStoreError::Damaged(_))));
    }
}

#[test]
fn damage_in_the_middle_is_noticed_with_a_witness_that_is_behind_too() {
    let disks = Disks::default();
    let (mut store, mut state) = disks.open().unwrap();
    let behind = disks.0[2].contents();
    for _ in 0..20 {
        store.commit(vec![append(&mut state, 100)]).unwrap();
    }
    drop(store);
    for record in 0..20 {
        let mut image = disks.0[0].contents();
        image[record * 512 + 30] ^= 1;
        let damaged = Disks([Disk::with(image), Disk::default(), Disk::with(behind.clone())]);
        assert!(matches!(damaged.open(), Err(LogStoreError::Damaged(_))), "record {record}");
    }
}

#[test]
fn a_record_hidden_in_a_value_is_not_taken_for_one() {
    let disks = Disks::default();
    let (mut store, mut state) = disks.open().unwrap();
    store.commit(vec![append(&mut state, 100)]).unwrap();
    let of_the_file = disks.0[0].contents()[512..1024].to_vec();
    // Somebody who knows the format, but not the file's salt.
    let mut forged = of_the_file.clone();
    forged[16..24].copy_from_slice(&[0; 8]);
    let value: Vec<u8> = forged.iter().copied().cycle().take(40 * 512).collect();
    let entry = Entry { term: Term(1), payload: Payload::Command(Bytes::from(value)) };
    let first = state.log.last_index().next();
    let append = LogWrite::Append { first, entries: vec![entry] };
    let write = Write { vote: None, log: Some(append) };
    state.write(&write);
    store.commit(vec![write]).unwrap();
    assert!(disks.after_kill().open().unwrap().1 == state);
}

#[test]
fn a_file_of_something_else_is_refused() {
    let disks = Disks::default();
    let disks = Disks([Disk::with(vec![b'#'; 8192]), disks.0[1].clone(), disks.0[2].clone()]);
    assert!(matches!(disks.open(), Err(LogStoreError::Damaged(_))));
}

#[test]
fn files_that_are_gone_are_noticed() {
    let disks = Disks::default();
    let (mut store, mut state) = disks.open().unwrap();
    store.commit(vec![append(&mut state, 100)]).unwrap();
    drop(store);
    let gone = Disks([Disk::default(), Disk::default(), disks.after_kill().0[2].clone()]);
    assert!(matches!(gone.open(), Err(LogStoreError::Damaged(_))));
}

#[test]
fn a_disk_that_fails_is_an_error_and_not_a_loss() {
    let mut random = StdRng::seed_from_u64(9);
    let disks = Disks::default();
    let (mut store, mut state) = disks.open().unwrap();
    store.commit(vec![some_write(&mut random, &mut state)]).unwrap();
    disks.0[0].cut_power_at(disks.0[0].operations());
    let lost = some_write(&mut random, &mut state.clone());
    assert!(store.commit(vec![lost]).is_err());
    drop(store);
    assert_eq!(disks.after_power_loss(|| true).open().unwrap().1, state);
}
