//! Explorations by two processes.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Output};
use std::time::{Duration, Instant};

use crate::support::{
    assert_exit, checkpoints, counts, folder_with, raftcheck, start, stderr, stdout, wait_for,
};

/// The longest time until a process notices that another one is gone.
const SOON: Duration = Duration::from_secs(5);

/// Writes a file with two free addresses.
fn hosts(folder: &Path) {
    let listeners = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").expect("there is a free port"));
    let lines =
        listeners.map(|listener| format!("{}\n", listener.local_addr().expect("it is bound")));
    std::fs::write(folder.join("hosts"), lines.concat()).expect("the folder is ours");
}

fn begin(folder: &Path, config: &str, process: &str, more: &[&str]) -> Child {
    let arguments = ["check", config, "--network", "any", "--threads", "1", "--hosts", "hosts"];
    start(&[&arguments[..], &["--process", process], more].concat(), folder)
}

fn end(child: Child) -> Output {
    child.wait_with_output().expect("it ends")
}

#[test]
fn two_processes_print_the_hash_of_one() {
    let (folder, _) = folder_with("empty", "");
    let folder = folder.path();
    hosts(folder);
    let first = begin(folder, "replication-3", "0", &["--json", "first.json"]);
    let second = begin(folder, "replication-3", "1", &["--json", "second.json"]);
    assert_exit(&end(first), 0);
    assert_exit(&end(second), 0);
    let alone = ["check", "replication-3", "--network", "any", "--json", "alone.json"];
    assert_exit(&raftcheck(&alone, folder), 0);
    let alone = counts(&folder.join("alone.json"));
    assert_eq!(counts(&folder.join("first.json")), alone);
    assert_eq!(counts(&folder.join("second.json")), alone);
}

#[test]
fn a_killed_process_ends_the_other_and_both_go_on_from_their_checkpoints() {
    let (folder, _) = folder_with("empty", "");
    let folder = folder.path();
    hosts(folder);
    let saving = ["--checkpoint", "saved", "--checkpoint-every", "50ms"];
    let first = begin(folder, "replication-3", "0", &saving);
    let mut second = begin(folder, "replication-3", "1", &saving);
    wait_for("a checkpoint of both", || {
        (checkpoints(&folder.join("saved")).len() >= 2).then_some(())
    });
    second.kill().expect("it runs");
    let killed = Instant::now();
    let output = end(first);
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
    assert_exit(&output, 6);
    let error = stderr(&output);
    assert!(
        error.contains("lost process 1 at 127.0.0.1:") && error.contains("--resume"),
        "{error}"
    );
    end(second);

    let first = begin(folder, "replication-3", "0", &["--resume", "saved", "--json", "first.json"]);
    let second = begin(folder, "replication-3", "1", &["--resume", "saved"]);
    assert_exit(&end(first), 0);
    assert_exit(&end(second), 0);
    let alone = ["check", "replication-3", "--network", "any", "--json", "alone.json"];
    assert_exit(&raftcheck(&alone, folder), 0);
    assert_eq!(counts(&folder.join("first.json")), counts(&folder.join("alone.json")));
}

#[test]
fn processes_with_different_configurations_refuse_each_other() {
    let (folder, _) = folder_with("empty", "");
    let folder = folder.path();
    hosts(folder);
    let first = begin(folder, "election-2", "0", &[]);
    let second = begin(folder, "election-3", "1", &[]);
    for output in [end(first), end(second)] {
        assert_exit(&output, 2);
        assert!(stderr(&output).contains("explores something else"), "{}", stderr(&output));
    }
}

#[test]
fn a_process_that_waits_for_the_others_obeys_the_time_limit() {
    let (folder, _) = folder_with("empty", "");
    let folder = folder.path();
    hosts(folder);
    let output = end(begin(folder, "election-2", "0", &["--time-limit", "200ms"]));
    assert_exit(&output, 6);
    assert!(stderr(&output).contains("stopped while waiting for process 1"), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
}

#[test]
fn a_process_that_the_list_does_not_have_is_refused() {
    let (folder, _) = folder_with("empty", "");
    let folder = folder.path();
    hosts(folder);
    let output = end(begin(folder, "election-2", "2", &[]));
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("there is no process 2"), "{}", stderr(&output));
}
