//! Whatever happens, the log on the disk is the one that raft-core expects.

mod disk;
mod disks;
mod faults;

use disk::Disk;
use disks::{Disks, append, compact, identity, some_write};
use proptest::prelude::*;
use raft_core::{Bytes, Entry, LogWrite, NodeId, Payload, PersistentState, Term, Write};
use raft_node::log_store::{Identity, LogStore, LogStoreError, Sizes};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A value that takes several sectors.
const LARGE: usize = 9000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_read_again(seed: u64, batches in prop::collection::vec(1..5usize, 1..30)) {
        let mut random = StdRng::seed_from_u64(seed);
        let disks = Disks::default();
        let (mut store, mut state) = disks.open()?;
        for (number, batch) in batches.into_iter().enumerate() {
            let writes = (0..batch).map(|_| some_write(&mut random, &mut state, LARGE)).collect();
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
            store.commit(vec![some_write(&mut random, &mut state, LARGE)])?;
        }
        let before = state.clone();
        disks.faults.fail_from(random.random_range(0..8));
        let mut writes = Vec::new();
        for _ in 0..random.random_range(1..4) {
            writes.push(some_write(&mut random, &mut state, LARGE));
        }
        let committed = store.commit(writes).is_ok();
        drop(store);
        let disks = disks.after_power_loss(|| random.random_ratio(share, 4));
        let (mut store, found) = disks.open()?;
        prop_assert!(found == state || (!committed && found == before));
        // The store continues from there.
        let mut state = found;
        store.commit(vec![some_write(&mut random, &mut state, LARGE)])?;
        prop_assert_eq!(store.read()?, state);
    }
}

/// Returns a log of 14 MiB, of which 3 MiB are still needed. From here on, the other file is
/// written.
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
    let [first, second, _] = disks.files.map(|disk| disk.contents().len());
    assert!(first < 40 << 20 && second < 40 << 20, "{first} and {second} bytes");
}

#[test]
fn a_power_loss_while_the_files_change_loses_nothing() {
    let mut random = StdRng::seed_from_u64(3);
    for cut in 0..80 {
        let disks = Disks::default();
        let (mut store, mut state) = about_to_change_files(&disks);
        disks.faults.fail_from(cut);
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
fn an_identity_that_a_power_loss_could_tear_is_refused() {
    let disks = Disks::default();
    let long = Identity { cluster: "x".repeat(600), ..identity() };
    let refused = LogStore::open(disks.files(), &long, 1, Sizes::default());
    assert!(matches!(refused, Err(LogStoreError::IdentityTooLong)));
    drop(disks.open().unwrap());
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
    for (now, then) in disks.files.iter().zip(&before.files) {
        assert_eq!(now.contents(), then.contents());
    }
}

#[test]
fn a_disk_of_an_earlier_layout_is_refused_and_not_begun_anew() {
    let disks = Disks::default();
    drop(disks.open().unwrap());
    // Version 2 had no voters. The record belongs to server n1 of cluster "test", with disk 7, and
    // has a valid checksum.
    let mut record = disks.files[0].contents()[..512].to_vec();
    let body = [&[0, 2, 4][..], b"test", &[1, 7, 0]].concat();
    record[28..].fill(0);
    record[28..28 + body.len()].copy_from_slice(&body);
    record[4..8].copy_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&record[4..24]);
    checksum.update(&body);
    record[24..28].copy_from_slice(&checksum.finalize().to_le_bytes());
    let files = [Disk::with(record.clone()), Disk::default(), disks.files[2].clone()];
    let old = Disks::new(files, Sizes::default());
    let refusal = old.open().unwrap_err();
    assert!(matches!(refusal, LogStoreError::Format(2)), "{refusal}");
    assert_eq!(old.files[0].contents(), record);
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
        store.commit(vec![some_write(&mut random, &mut state, LARGE)]).unwrap();
    }
    drop(store);
    let sound = disks.files[0].contents();
    let used = sound.iter().rposition(|byte| *byte != 0).unwrap();
    let mut refused = 0;
    for _ in 0..400 {
        let mut image = sound.clone();
        image[random.random_range(0..used)] ^= 1 << random.random_range(0..8);
        let mut damaged = disks.after_kill();
        damaged.files[0] = Disk::with(image);
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
        damaged.files[2] = Disk::with(witness);
        assert!(matches!(damaged.open(), Err(LogStoreError::Damaged(_))));
    }
}

#[test]
fn damage_in_the_middle_is_noticed_with_a_witness_that_is_behind_too() {
    let disks = Disks::default();
    let (mut store, mut state) = disks.open().unwrap();
    let behind = disks.files[2].contents();
    for _ in 0..20 {
        store.commit(vec![append(&mut state, 100)]).unwrap();
    }
    drop(store);
    for record in 0..20 {
        let mut image = disks.files[0].contents();
        image[record * 512 + 30] ^= 1;
        let files = [Disk::with(image), Disk::default(), Disk::with(behind.clone())];
        let damaged = Disks::new(files, Sizes::default());
        assert!(matches!(damaged.open(), Err(LogStoreError::Damaged(_))), "record {record}");
    }
}

#[test]
fn a_record_hidden_in_a_value_is_not_taken_for_one() {
    let disks = Disks::default();
    let (mut store, mut state) = disks.open().unwrap();
    store.commit(vec![append(&mut state, 100)]).unwrap();
    let of_the_file = disks.files[0].contents()[512..1024].to_vec();
    // The value of a client that knows the format, but not the file's salt.
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
    let files = [Disk::with(vec![b'#'; 8192]), Disk::default(), Disk::default()];
    let disks = Disks::new(files, Sizes::default());
    assert!(matches!(disks.open(), Err(LogStoreError::Damaged(_))));
}

#[test]
fn files_that_are_gone_are_noticed() {
    let disks = Disks::default();
    let (mut store, mut state) = disks.open().unwrap();
    store.commit(vec![append(&mut state, 100)]).unwrap();
    drop(store);
    let witness = disks.files[2].after_kill();
    let gone = Disks::new([Disk::default(), Disk::default(), witness], Sizes::default());
    assert!(matches!(gone.open(), Err(LogStoreError::Damaged(_))));
}

#[test]
fn a_disk_that_fails_is_an_error_and_not_a_loss() {
    let mut random = StdRng::seed_from_u64(9);
    let disks = Disks::default();
    let (mut store, mut state) = disks.open().unwrap();
    store.commit(vec![some_write(&mut random, &mut state, LARGE)]).unwrap();
    disks.faults.fail_from(0);
    let lost = some_write(&mut random, &mut state.clone(), LARGE);
    assert!(store.commit(vec![lost]).is_err());
    drop(store);
    assert_eq!(disks.after_power_loss(|| true).open().unwrap().1, state);
}
