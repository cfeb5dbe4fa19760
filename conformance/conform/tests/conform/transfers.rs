//! Snapshot transfers over breaking connections.

use raft_checker::control::Control;
use raft_conform::refinement_mapping::SnapshotFile;
use raft_conform::snapshot_transfer::{generated, try_all};
use raft_core::{Index, LogPosition, Term};
use raft_node::snapshot_store::{SnapshotName, SnapshotStore};
use raft_simulation::disk::{Disk, Fault};
use raft_simulation::failure::Failure;

#[test]
fn whatever_disturbs_a_transfer_the_file_is_right_and_the_next_one_succeeds() {
    let files = generated();
    let (tried, scenario) = try_all(&files, &Control::default());
    assert!(scenario.is_none(), "{scenario:#?}");
    assert_eq!(tried.snapshots, files.len() as u64);
    // Two of the snapshots have the same length, and their transfers are interleaved.
    assert_eq!(files[0].name.length, files[1].name.length);
    let all = [tried.disturbed, tried.refused, tried.crash_points, tried.faults];
    assert!(all.iter().all(|count| *count > 50), "{tried:?}");
}

#[test]
fn what_an_earlier_process_received_and_could_not_sync_is_written_again() -> Result<(), Failure> {
    const LENGTH: usize = 300 << 10;
    let bytes = vec![7; LENGTH];
    let last_included = LogPosition { term: Term(1), index: Index(5) };
    let checksum = crc32fast::hash(&bytes);
    let name = SnapshotName { last_included, length: LENGTH as u64, checksum };
    let store = |disk: &Disk| -> Result<SnapshotStore, Failure> {
        Ok(SnapshotStore::new(disk.root().directory("snapshots")?, u64::MAX))
    };
    let disk = Disk::default();
    let mut incoming = store(&disk)?.receive(name)?;
    // The write succeeds. The sync after it and the removal of the file fail.
    disk.fail(Some(Fault::From(1)));
    assert!(incoming.add(0, &bytes[..LENGTH - 1]).is_err());

    let disk = disk.moment().after_kill();
    let mut incoming = store(&disk)?.receive(name)?;
    incoming.add(LENGTH as u64 - 1, &bytes[LENGTH - 1..])?;
    incoming.finish()?;
    let disk = disk.moment().after_power_loss(|| false);
    store(&disk)?.verify(name)?;
    Ok(())
}

#[test]
fn a_damaged_source_is_noticed() -> Result<(), Failure> {
    let mut files = generated();
    files.truncate(1);
    let SnapshotFile { name, store } = &files[0];
    store.open(*name)?.write(40, b"!")?;
    let (_, scenario) = try_all(&files, &Control::default());
    let scenario = scenario.expect("no transfer of it can succeed");
    assert_eq!(scenario.name, name.to_string());
    assert!(scenario.divergence.field.contains("the transfer"), "{scenario:?}");
    Ok(())
}
