//! The program under test, and a configuration for it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A configuration whose exploration takes a moment.
pub(crate) const SMALL: &str = r#"
tier = "smoke"
about = "Small."
leaves-out = "Nearly everything."
servers = 3
batch = 1
window = 1
disk = "atomic"
apply = "at-once"

[bounds]
max_term = 1
proposals = 0
heartbeats = 0
in_flight = 2
"#;

pub(crate) fn raftcheck(arguments: &[&str], folder: &Path) -> Output {
    command(arguments, folder).output().expect("raftcheck was built")
}

/// Returns the program, not started yet.
pub(crate) fn command(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raftcheck"));
    command.args(arguments).current_dir(folder);
    command
}

/// Starts the program, with pipes for its output.
pub(crate) fn start(arguments: &[&str], folder: &Path) -> Child {
    let mut command = command(arguments, folder);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("raftcheck was built")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn folder_with(name: &str, text: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("the folder is ours");
    (folder, path)
}

pub(crate) fn assert_exit(output: &Output, code: i32) {
    let (out, err) = (stdout(output), stderr(output));
    assert_eq!(output.status.code(), Some(code), "stdout:\n{out}\nstderr:\n{err}");
}

/// Reads a file as JSON.
pub(crate) fn json(path: &Path) -> serde_json::Value {
    parse(&std::fs::read_to_string(path).expect("the file was written"))
}

/// Reads a text as JSON.
pub(crate) fn parse(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The time after which anything here counts as broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends a signal to a process that catches it. Returns the output of the process and the time
/// until it ended.
pub(crate) fn end_with(signal: &str, mut child: Child) -> (Output, Duration) {
    wait_for("a handler of signals", || catches_signals(child.id()).then_some(()));
    let sent = Instant::now();
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", signal, &id]).status().expect("kill").success());
    // A process that does not end is killed, so that a failure leaves nothing behind.
    while child.try_wait().expect("its state").is_none() && sent.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    let elapsed = sent.elapsed();
    let _ = child.kill();
    (child.wait_with_output().expect("it ends"), elapsed)
}

/// Waits until something is there.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what} is not there");
        std::thread::yield_now();
    }
}

/// Returns the checkpoints in a folder, sorted.
pub(crate) fn checkpoints(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_checkpoint = |path: &PathBuf| path.extension().is_some_and(|name| name == "checkpoint");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_checkpoint).collect();
    files.sort();
    files
}

/// Returns what is the same for every exploration of a configuration over any network.
pub(crate) fn counts(report: &Path) -> Vec<serde_json::Value> {
    const SAME: [&str; 8] = [
        "verdict",
        "states_hash",
        "server_tuples",
        "distinct_states",
        "orbit_states",
        "transitions",
        "local_transitions",
        "witnesses",
    ];
    let report = json(report);
    SAME.iter().map(|field| report["configs"][0][field].clone()).collect()
}

/// Returns whether a process catches SIGINT and SIGTERM, according to Linux.
fn catches_signals(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let bits = 1 << (2 - 1) | 1 << (15 - 1);
    caught & bits == bits
}
