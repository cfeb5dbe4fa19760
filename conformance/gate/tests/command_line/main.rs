//! `raftgate` as scripts use it: signals, pipes, files, and options with the same meaning in every
//! command.

mod conform;
mod lab;
mod log;
mod run;
mod validate;

// These modules are shared with the tests of the suites.
#[path = "../../../logs/tests/validate/cluster.rs"]
#[expect(dead_code, reason = "the suite of the logs needs more of it")]
mod cluster;
#[path = "../../../logs/tests/column_log/cluster.rs"]
#[expect(dead_code, reason = "the suite of the column log needs more of it")]
mod column_log_cluster;
#[path = "../../../logs/tests/column_log/support.rs"]
#[expect(dead_code, reason = "the suite of the column log needs more of it")]
mod column_log_files;
#[path = "../../../conform/tests/conform/support.rs"]
#[expect(dead_code, reason = "the suite of conformance needs more of it")]
mod conform_traces;
#[path = "../../../logs/tests/validate/logs.rs"]
#[expect(dead_code, reason = "the suite of the logs needs more of it")]
mod logs;

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raftgate"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("raftgate was built")
}

fn start(arguments: &[&str]) -> Child {
    command(arguments).spawn().expect("raftgate was built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn assert_exit(output: &Output, code: i32) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "stdout:\n{out}\nstderr:\n{err}");
}

fn json(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).expect("the file was written");
    serde_json::from_str(&text).expect("JSON")
}

#[cfg(target_os = "linux")]
mod signals {
    use std::time::{Duration, Instant};

    use super::*;

    /// The longest time until a signal ends the program. On an idle machine it takes a second, but
    /// tests run in parallel.
    const SOON: Duration = Duration::from_secs(5);

    /// Returns whether a process catches SIGINT and SIGTERM.
    fn catches_signals(process: u32) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
        let bits = 1 << (2 - 1) | 1 << (15 - 1);
        caught & bits == bits
    }

    #[test]
    fn a_signal_ends_each_long_command_with_what_was_counted() {
        let directory = tempfile::tempdir().expect("a directory");
        for (number, (signal, arguments)) in [
            ("INT", &["conform"][..]),
            ("TERM", &["simulate", "--seeds", "0..1000000"]),
            // A single run of this command takes longer than the test waits.
            ("INT", &["simulate", "--seeds", "1", "--chaos", "10000h"]),
            ("INT", &["lab", "--seeds", "100000"]),
        ]
        .into_iter()
        .enumerate()
        {
            let path = directory.path().join(format!("{number}.json"));
            let file = path.display().to_string();
            let mut child = start(&[arguments, &["--json", &file]].concat());
            let began = Instant::now();
            while !catches_signals(child.id()) {
                assert!(began.elapsed() < Duration::from_secs(20), "it does not catch signals");
                std::thread::yield_now();
            }
            let sent = Instant::now();
            let id = child.id().to_string();
            let killed = Command::new("kill").args(["-s", signal, &id]).status().expect("kill");
            assert!(killed.success());
            // The process is killed if it does not end, so that a failure leaves no process behind.
            while child.try_wait().expect("its state").is_none() && sent.elapsed() < SOON {
                std::thread::yield_now();
            }
            let _ = child.kill();
            let output = child.wait_with_output().expect("it ends");
            assert_exit(&output, 6);
            let out = text(&output.stdout);
            assert!(out.contains("INCOMPLETE: ") && out.contains("it was interrupted"), "{out}");
            assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
            assert_eq!(json(&path)["exit_code"], 6, "{arguments:?}");
        }
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_the_verdict_stands() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("r.json");
    let path = file.display().to_string();
    for arguments in [
        &["conform", "figure-8-end-3", "--json", &path][..],
        &["simulate", "--seeds", "1", "--list"],
        &["lab", "--list"],
        &["lab", "BasicAgree", "--seeds", "1"],
    ] {
        let mut child = start(arguments);
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_exit(&output, 0);
        // A slow run prints its progress, and nothing else.
        let stderr = text(&output.stderr);
        assert!(!stderr.contains("panicked") && !stderr.contains("error"), "{stderr}");
    }
    assert_eq!(json(&file)["verdict"], "CONFORMS");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_device_is_said_in_one_message() {
    let trace =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../specs/corpus/vote-survives-a-crash.jsonl");
    for arguments in [
        &["simulate", "--seeds", "1"][..],
        &["lab", "--list"],
        &["lab", "BasicAgree", "--seeds", "1"],
        &["conform", "--trace", trace],
        &["log", trace],
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("a device");
        let output = command(arguments).stdout(full).output().expect("it ends");
        assert_exit(&output, 2);
        let message = text(&output.stderr);
        assert!(message.contains("No space left") && !message.contains("panicked"), "{message}");
    }
}

#[test]
fn what_cannot_be_written_is_known_before_the_work_begins() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("the directory is ours");
    let (exists, below) = (file.display().to_string(), file.join("below").display().to_string());
    for arguments in [
        &["conform", "--json", &below][..],
        &["conform", "--save", &below],
        &["conform", "--save", &exists],
        &["simulate", "--seeds", "1000000", "--json", &below],
        &["simulate", "--seeds", "1000000", "--save", &below],
        &["simulate", "--seeds", "1000000", "--save", &exists],
        &["lab", "--seeds", "1000000", "--json", &exists],
        &["lab", "--seeds", "1000000", "--keep-failures", &below],
    ] {
        let output = run(arguments);
        assert_exit(&output, 2);
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    let left = std::fs::read_dir(directory.path()).expect("a directory").count();
    assert_eq!(left, 1, "nothing is left behind");
}

#[test]
fn results_on_standard_output_are_nothing_but_json() {
    let trace =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../specs/corpus/vote-survives-a-crash.jsonl");
    for arguments in [
        &["conform", "--trace", trace][..],
        &["simulate", "--seeds", "1"],
        &["lab", "BasicAgree", "--seeds", "1"],
    ] {
        let output = run(&[arguments, &["--json", "-"]].concat());
        assert_exit(&output, 0);
        let results: serde_json::Value =
            serde_json::from_slice(&output.stdout).expect("nothing but JSON");
        assert_eq!(results["exit_code"], 0, "{arguments:?}");
        assert!(!output.stderr.is_empty(), "the text goes to stderr");
    }
    let output = run(&["log", trace, "--json", "-"]);
    assert_exit(&output, 0);
    let out = text(&output.stdout);
    let is_json = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
    assert!(out.lines().count() > 5 && out.lines().all(is_json), "{out}");
}

#[test]
fn an_option_without_effect_is_refused() {
    for arguments in [
        &["conform", "--trace", "x", "--threads", "2"][..],
        &["conform", "--force"],
        &["lab", "--list", "--seeds", "3"],
        &["lab", "--list", "--threads", "3"],
        &["log", "x", "--json", "-", "--width", "80"],
        &["log", "x", "--stats", "--wrap"],
        &["simulate", "--json", "-", "--force"],
        &["simulate", "--jobs", "2"],
        &["simulate", "--threads", "0"],
    ] {
        let output = run(arguments);
        assert_exit(&output, 2);
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_time_limit_without_a_unit_is_in_seconds() {
    let output = run(&["simulate", "--seeds", "1000000", "--time-limit", "0.01"]);
    assert_exit(&output, 6);
    let out = text(&output.stdout);
    assert!(out.contains("INCOMPLETE: ") && out.contains("the time limit was reached"), "{out}");
}

#[test]
fn the_version_names_the_program() {
    assert!(text(&run(&["--version"]).stdout).starts_with("raftgate "));
}
