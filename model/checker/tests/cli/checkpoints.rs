//! Explorations that are stopped, and go on from a checkpoint.

use std::fs;
use std::path::Path;

use crate::support::{
    assert_exit, checkpoints, counts, end_with, folder_with, raftcheck, start, stderr, stdout,
    wait_for,
};

/// An exploration that takes a moment: long enough to be stopped.
const CONFIG: &str = "replication-3";

fn check(folder: &Path, arguments: &[&str]) -> std::process::Output {
    raftcheck(&[&["check", CONFIG, "--network", "any"], arguments].concat(), folder)
}

/// Stops an exploration by a limit on its memory. Returns its only checkpoint.
fn stopped(folder: &Path) -> std::path::PathBuf {
    let output = check(folder, &["--checkpoint", "saved", "--memory-limit", "1MB"]);
    assert_exit(&output, 6);
    assert!(stdout(&output).contains("the memory limit was reached"), "{}", stdout(&output));
    let [file] = checkpoints(&folder.join("saved")).try_into().expect("one checkpoint");
    file
}

#[test]
fn an_interrupted_check_goes_on_and_ends_as_one_that_was_not() {
    let (folder, _) = folder_with("empty", "");
    let folder = folder.path();
    let saved = folder.join("saved");
    let every = ["check", CONFIG, "--network", "any", "--checkpoint-every", "50ms"];
    let child = start(&[&every[..], &["--checkpoint", "saved"]].concat(), folder);
    wait_for("a checkpoint", || checkpoints(&saved).pop());
    let (output, _) = end_with("INT", child);
    assert_exit(&output, 6);
    assert_eq!(checkpoints(&saved).len(), 1);
    let resumed = start(&[&every[..], &["--resume", "saved"]].concat(), folder);
    let (output, _) = end_with("TERM", resumed);
    assert_exit(&output, 6);
    assert_exit(&check(folder, &["--resume", "saved", "--json", "resumed.json"]), 0);
    assert_exit(&check(folder, &["--json", "alone.json"]), 0);
    assert_eq!(counts(&folder.join("resumed.json")), counts(&folder.join("alone.json")));
}

#[test]
fn the_same_command_begins_and_goes_on() {
    let (folder, _) = folder_with("empty", "");
    let folder = folder.path();
    let command = ["--checkpoint", "saved", "--or-resume", "--json"];
    let stop = [&command[..], &["stopped.json", "--memory-limit", "1MB"]].concat();
    assert_exit(&check(folder, &stop), 6);
    let [file] = checkpoints(&folder.join("saved")).try_into().expect("one checkpoint");
    assert_exit(&check(folder, &[&command[..], &["resumed.json"]].concat()), 0);
    assert!(file.exists());
    assert_exit(&check(folder, &["--json", "alone.json"]), 0);
    assert_eq!(counts(&folder.join("resumed.json")), counts(&folder.join("alone.json")));
}

#[test]
fn a_checkpoint_that_is_not_as_it_was_written_is_refused() {
    let (folder, _) = folder_with("empty", "");
    let folder = folder.path();
    let file = stopped(folder);
    let intact = fs::read(&file).expect("it exists");
    let mut corrupted = intact.clone();
    corrupted[intact.len() / 2] ^= 1;
    for damaged in [&corrupted[..], &intact[..intact.len() - 1], b"not a checkpoint"] {
        fs::write(&file, damaged).expect("the folder is ours");
        let output = check(folder, &["--resume", "saved"]);
        assert_exit(&output, 2);
        assert!(stderr(&output).contains("is damaged or no checkpoint"), "{}", stderr(&output));
        assert_eq!(fs::read(&file).expect("it stays"), damaged);
    }
}

#[test]
fn a_checkpoint_of_another_configuration_or_other_options_is_refused() {
    let (folder, _) = folder_with("empty", "");
    let folder = folder.path();
    stopped(folder);
    let other = ["check", "election-2", "--network", "any", "--resume", "saved"];
    for output in
        [raftcheck(&other, folder), check(folder, &["--no-symmetry", "--resume", "saved"])]
    {
        assert_exit(&output, 2);
        let error = stderr(&output);
        assert!(error.contains("is a checkpoint of another search"), "{error}");
    }
}

#[test]
fn a_disk_limit_ends_a_check_and_leaves_no_part_of_a_checkpoint() {
    let (folder, _) = folder_with("empty", "");
    let folder = folder.path();
    let output = check(
        folder,
        &["--checkpoint", "saved", "--checkpoint-every", "10ms", "--disk-limit", "20KB"],
    );
    assert_exit(&output, 6);
    assert!(stdout(&output).contains("the checkpoint does not fit"), "{}", stdout(&output));
    let names = fs::read_dir(folder.join("saved")).expect("it was made");
    let names = names.map(|entry| entry.expect("an entry").file_name());
    let whole = |name: &std::ffi::OsString| {
        let path = Path::new(name);
        path.extension().is_some_and(|end| end == "lock" || end == "checkpoint")
    };
    assert!(names.into_iter().all(|name| whole(&name)));
    if !checkpoints(&folder.join("saved")).is_empty() {
        assert_exit(&check(folder, &["--resume", "saved"]), 0);
    }
}

#[test]
fn folders_are_neither_overwritten_nor_invented() {
    let (folder, _) = folder_with("empty", "");
    let folder = folder.path();
    let before = fs::read(stopped(folder)).expect("it exists");
    for (arguments, error) in [
        (["--checkpoint", "saved"], "saved has a checkpoint already"),
        (["--resume", "absent"], "absent has no checkpoint of process 0 of 1"),
        (["--resume", "."], "has no checkpoint of process 0 of 1"),
    ] {
        let output = check(folder, &arguments);
        assert_exit(&output, 2);
        assert!(stderr(&output).contains(error), "{}", stderr(&output));
    }
    assert!(!folder.join("absent").exists());
    let [file] = checkpoints(&folder.join("saved")).try_into().expect("one checkpoint");
    assert_eq!(fs::read(file).expect("it stays"), before);
}

#[test]
fn checkpoints_are_for_one_configuration_over_any_network() {
    let (folder, _) = folder_with("empty", "");
    for arguments in [
        &["check", "--checkpoint", "saved"][..],
        &["check", CONFIG, "--network", "bounded", "--checkpoint", "saved"],
        &["check", CONFIG, "election-2", "--network", "any", "--checkpoint", "saved"],
    ] {
        let output = raftcheck(arguments, folder.path());
        assert_exit(&output, 2);
        let error = stderr(&output);
        assert!(
            error.contains("--checkpoint is for one configuration, over any network"),
            "{error}"
        );
    }
    let output = raftcheck(&["check", CONFIG, "--disk-limit", "1GB"], folder.path());
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("--disk-limit has no effect"), "{}", stderr(&output));
    assert!(!folder.path().join("saved").exists());
}
