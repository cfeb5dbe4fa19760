//! A search that goes on from a checkpoint ends as one that was never stopped.

#[path = "support/doorbell.rs"]
mod doorbell;
#[path = "support/loopback.rs"]
mod loopback;
#[path = "../examples/two_phase_commit/system.rs"]
mod system;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use Start::{Beginning, Checkpoint, Either};
use doorbell::{DOORBELL, Doorbell};
use loopback::addresses;
use raft_explore::System;
use raft_explore::any_network::{
    CheckpointError, Checkpoints, Hosts, Options, Outcome, Scale, SearchError, Start, search,
    search_at_scale,
};
use raft_explore::control::{Control, StopReason};
use system::{CONSISTENT, TwoPhaseCommit};

const CORRECT: TwoPhaseCommit = TwoPhaseCommit { participants: 4, enough: 4 };

type Result<S = TwoPhaseCommit> = std::result::Result<Outcome<S>, SearchError>;

/// Returns checkpoints that are only written when a search is stopped.
fn in_folder(folder: &Path, start: Start) -> Checkpoints {
    Checkpoints { folder: folder.to_owned(), every: Duration::MAX, limit: None, start }
}

fn run<S: System>(system: S, most_expanded: u64, checkpoints: Checkpoints) -> Result<S> {
    let scale = Scale { identity: 1, hosts: None, checkpoints: Some(checkpoints) };
    let options = Options { most_expanded, ..Options::default() };
    search_at_scale(&Arc::new(system), options, &scale, &Control::default())
}

fn error(result: Result) -> CheckpointError {
    match result.err().expect("it fails") {
        SearchError::Checkpoint(error) => error,
        SearchError::Peer(error) => panic!("{error}"),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let paths =
        fs::read_dir(folder).expect("it is a folder").map(|file| file.expect("a file").path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|name| name == "checkpoint")).collect();
    files.sort();
    files
}

/// Stops a search after some states, and returns its only checkpoint.
fn stopped(folder: &Path) -> PathBuf {
    let outcome = run(CORRECT, 40, in_folder(folder, Beginning)).expect("nothing fails");
    assert!(!outcome.complete && outcome.expanded >= 40);
    let [file] = files(folder).try_into().expect("one checkpoint");
    file
}

#[test]
fn a_search_that_is_stopped_again_and_again_has_the_same_outcome() {
    let alone = search(&Arc::new(CORRECT), Options::default(), &Control::default());
    let folder = tempfile::tempdir().expect("a folder");
    let mut outcome = run(CORRECT, 1, in_folder(folder.path(), Beginning)).expect("nothing fails");
    let mut stops = 0;
    while !outcome.complete {
        stops += 1;
        assert_eq!(files(folder.path()).len(), 1);
        let further = outcome.expanded + 5;
        outcome =
            run(CORRECT, further, in_folder(folder.path(), Checkpoint)).expect("nothing fails");
    }
    assert!(stops > 5, "{stops}");
    assert!(outcome.removals_hold);
    assert_eq!(outcome.kept, alone.kept);
    assert_eq!(outcome.findings, alone.findings);
    assert_eq!(outcome.local_transitions, alone.local_transitions);
}

#[test]
fn the_run_of_a_violation_may_begin_before_the_checkpoint() {
    let hasty = TwoPhaseCommit { participants: 4, enough: 3 };
    let folder = tempfile::tempdir().expect("a folder");
    let mut outcome = run(hasty, 1, in_folder(folder.path(), Beginning)).expect("nothing fails");
    while outcome.violation.is_none() {
        let further = outcome.expanded + 1;
        outcome = run(hasty, further, in_folder(folder.path(), Checkpoint)).expect("nothing fails");
    }
    assert_eq!(outcome.findings.broken, CONSISTENT);
    // Three prepare and tell, the last gives up, the coordinator decides, one participant commits.
    assert_eq!(outcome.violation.expect("a run").0.len(), 9);
}

#[test]
fn a_checkpoint_with_a_flipped_or_a_missing_byte_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = stopped(folder.path());
    let intact = fs::read(&file).expect("it exists");
    let refused = |bytes: &[u8]| {
        fs::write(&file, bytes).expect("it can be written");
        let error = error(run(CORRECT, u64::MAX, in_folder(folder.path(), Checkpoint)));
        assert!(matches!(error, CheckpointError::Damaged { .. }), "{error}");
    };
    for place in (0..intact.len()).step_by(41) {
        let mut damaged = intact.clone();
        damaged[place] ^= 0x10;
        refused(&damaged);
        refused(&intact[..place]);
    }
    fs::write(&file, &intact).expect("it can be written");
    assert!(
        run(CORRECT, u64::MAX, in_folder(folder.path(), Checkpoint))
            .expect("it is intact")
            .complete
    );
}

#[test]
fn a_checkpoint_of_another_search_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = stopped(folder.path());
    let scale =
        Scale { identity: 2, hosts: None, checkpoints: Some(in_folder(folder.path(), Checkpoint)) };
    let result =
        search_at_scale(&Arc::new(CORRECT), Options::default(), &scale, &Control::default());
    assert!(matches!(error(result), CheckpointError::Foreign { .. }));
    let renamed = folder.path().join("process-0-of-1.round-99999999.checkpoint");
    fs::rename(file, renamed).expect("it can be renamed");
    let error = error(run(CORRECT, u64::MAX, in_folder(folder.path(), Checkpoint)));
    assert!(matches!(error, CheckpointError::Foreign { .. }), "{error}");
}

#[test]
fn a_checkpoint_is_not_overwritten_by_a_new_search() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = stopped(folder.path());
    let before = fs::read(&file).expect("it exists");
    let error = error(run(CORRECT, u64::MAX, in_folder(folder.path(), Beginning)));
    assert!(matches!(error, CheckpointError::Exists { .. }), "{error}");
    assert_eq!(fs::read(&file).expect("it exists"), before);
}

#[test]
fn a_folder_without_a_checkpoint_is_no_place_to_go_on_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let error_of_empty = error(run(CORRECT, u64::MAX, in_folder(folder.path(), Checkpoint)));
    assert!(matches!(error_of_empty, CheckpointError::Missing { .. }), "{error_of_empty}");
    let absent = folder.path().join("absent");
    let error_of_absent = error(run(CORRECT, u64::MAX, in_folder(&absent, Checkpoint)));
    assert!(matches!(error_of_absent, CheckpointError::Missing { .. }), "{error_of_absent}");
    assert!(!absent.exists());
}

#[test]
fn what_a_killed_process_had_not_finished_is_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let finished = stopped(folder.path());
    let unfinished = folder.path().join("process-0-of-1.round-00000099.unfinished");
    let foreign = folder.path().join("process-1-of-2.round-00000099.unfinished");
    for file in [&unfinished, &foreign] {
        fs::write(file, "a part").expect("it can be written");
    }
    assert!(run(CORRECT, u64::MAX, in_folder(folder.path(), Checkpoint)).expect("ok").complete);
    assert!(finished.exists() && foreign.exists() && !unfinished.exists());
}

#[test]
fn a_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let lock = fs::File::create(folder.path().join("process-0-of-1.lock")).expect("a file");
    lock.lock().expect("nobody else uses it");
    let error = error(run(CORRECT, u64::MAX, in_folder(folder.path(), Beginning)));
    assert!(matches!(error, CheckpointError::InUse { .. }), "{error}");
}

#[test]
fn a_limit_of_the_disk_stops_the_search_and_the_checkpoint_before_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = stopped(folder.path());
    let before = fs::read(&file).expect("it exists");
    // Both checkpoints would have to fit.
    let limit = Some(before.len() as u64 + 100);
    let checkpoints =
        Checkpoints { every: Duration::ZERO, limit, ..in_folder(folder.path(), Checkpoint) };
    let scale = Scale { identity: 1, hosts: None, checkpoints: Some(checkpoints) };
    let control = Control::default();
    let outcome = search_at_scale(&Arc::new(CORRECT), Options::default(), &scale, &control);
    assert!(!outcome.expect("nothing fails").complete);
    assert_eq!(control.stopped(), Some(StopReason::DiskLimit));
    assert_eq!(files(folder.path()), [file.as_path()]);
    assert_eq!(fs::read(&file).expect("it exists"), before);
    assert!(
        run(CORRECT, u64::MAX, in_folder(folder.path(), Checkpoint))
            .expect("it is intact")
            .complete
    );
}

fn together(most_expanded: u64, folder: &Path, start: Start) -> Vec<Result> {
    let addresses = addresses(2);
    std::thread::scope(|scope| {
        let start_process = |process| {
            let hosts = Some(Hosts::new(addresses.clone(), process).expect("it exists"));
            let checkpoints = Some(in_folder(folder, start));
            let scale = Scale { identity: 1, hosts, checkpoints };
            let options = Options { most_expanded, ..Options::default() };
            let control = Control::default();
            scope.spawn(move || search_at_scale(&Arc::new(CORRECT), options, &scale, &control))
        };
        let processes = [start_process(0), start_process(1)];
        processes.into_iter().map(|process| process.join().expect("no panic")).collect()
    })
}

fn assert_same(results: Vec<Result>) {
    let alone = search(&Arc::new(CORRECT), Options::default(), &Control::default());
    for outcome in results {
        let outcome = outcome.expect("nothing fails");
        assert!(outcome.complete);
        assert_eq!(outcome.kept, alone.kept);
        assert_eq!(outcome.findings, alone.findings);
        assert_eq!(outcome.local_transitions, alone.local_transitions);
    }
}

#[test]
fn two_processes_go_on_from_the_newest_round_that_both_have() {
    let folder = tempfile::tempdir().expect("a folder");
    together(10, folder.path(), Beginning);
    let earlier = files(folder.path());
    let bytes: Vec<Vec<u8>> =
        earlier.iter().map(|file| fs::read(file).expect("it exists")).collect();
    together(40, folder.path(), Checkpoint);
    let later = files(folder.path());
    assert!(earlier.len() == 2 && later.len() == 2 && earlier[0] != later[0]);
    // The first process was killed before it could write the later round.
    for (file, bytes) in earlier.iter().zip(bytes) {
        fs::write(file, bytes).expect("it can be written");
    }
    fs::remove_file(&later[0]).expect("it exists");
    assert_same(together(u64::MAX, folder.path(), Checkpoint));
    assert!(!later[1].exists(), "the round that the others do not have is gone");
}

#[test]
fn processes_without_a_common_round_begin_again_and_remove_nothing_before_they_have_a_newer_one() {
    let folder = tempfile::tempdir().expect("a folder");
    together(10, folder.path(), Beginning);
    let [first, second] = &files(folder.path())[..] else { panic!("two checkpoints") };
    fs::remove_file(second).expect("it exists");
    let before = fs::read(first).expect("it exists");
    assert_same(together(u64::MAX, folder.path(), Either));
    // Nothing was removed, because there was no newer checkpoint.
    assert_eq!(fs::read(first).expect("it stays"), before);
    together(40, folder.path(), Either);
    let newer = files(folder.path());
    assert!(newer.len() == 2 && !newer.contains(first), "{newer:?}");
    assert_same(together(u64::MAX, folder.path(), Checkpoint));
}

#[test]
fn checkpoints_of_two_runs_are_not_put_together() {
    let [one, other] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    together(10, one.path(), Beginning);
    together(10, other.path(), Beginning);
    let (one, other) = (files(one.path()), files(other.path()));
    assert_eq!(one[1].file_name(), other[1].file_name());
    fs::copy(&other[1], &one[1]).expect("it can be written");
    for result in together(u64::MAX, one[0].parent().expect("a folder"), Checkpoint) {
        assert!(matches!(error(result), CheckpointError::NoCommonRound));
    }
}

#[test]
fn the_removed_messages_of_the_initial_state_are_checked_after_a_checkpoint() {
    let wrong = Doorbell { forgets_what_rings_while_asleep: true, has_called: true, ..DOORBELL };
    let folder = tempfile::tempdir().expect("a folder");
    let outcome = run(wrong, 1, in_folder(folder.path(), Beginning)).expect("nothing fails");
    assert!(!outcome.complete);
    let outcome = run(wrong, u64::MAX, in_folder(folder.path(), Checkpoint)).expect("ok");
    assert!(outcome.complete && !outcome.removals_hold);
}
