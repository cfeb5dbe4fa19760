//! Snapshots over breaking connections.

use raft_checker::search::Control;
use raft_conformance::conform::transfer::{generated, try_all};
use raft_conformance::server::Failure;
use raft_conformance::words::SnapshotFile;

#[test]
fn whatever_disturbs_a_transfer_the_file_is_right_and_the_next_one_succeeds() {
    let files = generated();
    let (tried, story) = try_all(&files, &Control::default());
    assert!(story.is_none(), "{story:#?}");
    assert_eq!(tried.snapshots, files.len() as u64);
    // Both orders of two snapshots that are equally long are among them.
    assert_eq!(files[0].name.length, files[1].name.length);
    let all = [tried.disturbed, tried.refused, tried.crash_points, tried.faults];
    assert!(all.iter().all(|count| *count > 50), "{tried:?}");
}

#[test]
fn a_damaged_source_is_noticed() -> Result<(), Failure> {
    let mut files = generated();
    files.truncate(1);
    let SnapshotFile { name, store } = &files[0];
    store.open(*name)?.write(40, b"!")?;
    let (_, story) = try_all(&files, &Control::default());
    let story = story.expect("no transfer of it can succeed");
    assert_eq!(story.name, name.to_string());
    assert!(story.divergence.field.contains("the transfer"), "{story:?}");
    Ok(())
}
