//! The output of the program.

use crate::support::{
    SMALL, assert_exit, command, folder_with, json, raftcheck, start, stderr, stdout,
};

#[test]
fn no_line_is_wider_than_100_columns() {
    let (folder, _) = folder_with("small.toml", SMALL);
    for arguments in [&["check", "small.toml"][..], &["list"], &["list", "--properties"]] {
        for line in stdout(&raftcheck(arguments, folder.path())).lines() {
            assert!(line.chars().count() <= 100, "{arguments:?}: {line}");
        }
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_the_verdict_stands() {
    let (folder, _) = folder_with("small.toml", SMALL);
    for (arguments, code) in [
        (&["check", "small.toml", "--json", "r.json"][..], 0),
        (&["list"], 0),
        (&["list", "--properties"], 0),
        (&["mutants", "--list"], 0),
        (&["trace", "small.toml", "--witness", "read-served"], 5),
    ] {
        let mut child = start(arguments, folder.path());
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_exit(&output, code);
        assert_eq!(stderr(&output), "", "{arguments:?}");
    }
    assert_eq!(json(&folder.path().join("r.json"))["verdict"], "HOLDS");
}

#[test]
fn mutants_that_nobody_reads_about_are_not_run() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let mut child = start(&["mutants", "--json", "r.json"], folder.path());
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_exit(&output, 6);
    assert_eq!(stderr(&output), "");
    let report = json(&folder.path().join("r.json"));
    assert!(report["mutants_not_tried"].as_u64() > Some(0), "{report}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_device_is_said_in_one_message() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let says_it = |output: &std::process::Output| {
        assert_exit(output, 2);
        let message = stderr(output);
        assert!(message.contains("cannot ") && message.contains("No space left"), "{message}");
        assert!(!message.contains("panicked") && message.lines().count() <= 2, "{message}");
    };
    for arguments in [&["check", "small.toml", "--json", "r.json"][..], &["list"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("a device");
        says_it(&command(arguments, folder.path()).stdout(full).output().expect("it ends"));
    }
    assert_eq!(json(&folder.path().join("r.json"))["verdict"], "HOLDS", "the results are there");

    let output = raftcheck(&["check", "small.toml", "--json", "/dev/full"], folder.path());
    says_it(&output);
    assert!(stdout(&output).contains("HOLDS: "), "the text is there");
}

#[test]
#[cfg(target_os = "linux")]
fn a_complaint_that_nobody_can_read_is_no_panic() {
    let (folder, _) = folder_with("small.toml", SMALL);
    let full = std::fs::File::options().write(true).open("/dev/full").expect("a device");
    let output = command(&["check", "nowhere.toml"], folder.path()).stderr(full).output();
    assert_exit(&output.expect("it ends"), 2);
}

#[test]
fn the_version_names_the_program() {
    let (folder, _) = folder_with("small.toml", SMALL);
    assert!(stdout(&raftcheck(&["--version"], folder.path())).starts_with("raftcheck "));
}

#[test]
fn the_program_knows_no_folder_of_the_machine_that_built_it() {
    // The debug information of this build names such a folder, and so do the reports of panics in
    // libraries. The program itself uses only the paths that its code shows and opens.
    let sources = include_str!("../../src/config.rs");
    let program = sources.split("#[cfg(test)]").next().expect("the program");
    assert!(!program.contains("CARGO_MANIFEST_DIR"));
    // In a folder without the sources, the program has all configurations.
    let folder = tempfile::TempDir::new().expect("a folder");
    let listed = stdout(&raftcheck(&["list", "--tier", "nightly"], folder.path()));
    assert!(listed.contains("snapshot-3-two"), "{listed}");
}
