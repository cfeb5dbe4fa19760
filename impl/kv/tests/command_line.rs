//! `raftd` and `raftctl` in scripts: output that nobody reads, JSON, and options.

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn raftctl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raftctl"));
    command.args(arguments).env_remove("RAFTCTL_SERVERS");
    command
}

fn raftd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raftd"));
    command.args(arguments);
    command
}

fn run(mut command: Command) -> Output {
    command.output().expect("the program was built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn assert_exit(output: &Output, code: i32) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "stdout:\n{out}\nstderr:\n{err}");
}

/// An address at which no server listens, so that connections are refused.
const NOBODY: &str = "http://127.0.0.1:1";

#[test]
fn the_version_names_the_program() {
    assert!(text(&run(raftd(&["--version"])).stdout).starts_with("raftd "));
    assert!(text(&run(raftctl(&["--version"])).stdout).starts_with("raftctl "));
}

#[test]
fn results_on_standard_output_are_nothing_but_json() {
    let output = run(raftctl(&["--servers", NOBODY, "status", "--json", "-"]));
    assert_exit(&output, 1);
    let results: serde_json::Value = serde_json::from_slice(&output.stdout).expect("only JSON");
    assert_eq!(results["majority_agrees"], false);
    assert!(text(&output.stderr).contains("NO LEADER"), "{}", text(&output.stderr));
}

#[test]
fn an_option_without_effect_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("certs").display().to_string();
    for arguments in [
        &["cert", "--out", &out, "--servers", NOBODY][..],
        &["cert", "--out", &out, "--ca", "ca.pem"],
        &["cert", "--out", &out, "--timeout", "2s"],
        &["status", "--force"],
        &["status", "--json", "-", "--force"],
        &["bench", "--etcd", NOBODY, "--servers", NOBODY],
    ] {
        let output = run(raftctl(arguments));
        assert_exit(&output, 2);
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    assert!(!Path::new(&out).exists());
    let output = run(raftd(&["dev", "--data", &out, "--configure-only", "--no-restart"]));
    assert_exit(&output, 2);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data").display().to_string();
    let certificates = directory.path().join("certs").display().to_string();
    for mut command in [
        raftd(&["dev", "--data", &data, "--configure-only"]),
        raftctl(&["cert", "--out", &certificates]),
        raftd(&["--help"]),
        raftctl(&["--help"]),
    ] {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_exit(&output, 0);
        assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    }
}

#[cfg(target_os = "linux")]
mod full_device {
    use std::fs::File;
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use super::*;

    fn full() -> File {
        File::options().write(true).open("/dev/full").expect("a device")
    }

    #[test]
    fn it_is_said_in_one_message() {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data").display().to_string();
        let certificates = directory.path().join("certs").display().to_string();
        for (mut command, code) in [
            (raftd(&["dev", "--data", &data, "--configure-only"]), 3),
            (raftctl(&["cert", "--out", &certificates]), 2),
            (raftctl(&["--servers", NOBODY, "status"]), 2),
        ] {
            let output = command.stdout(full()).output().expect("it ends");
            assert_exit(&output, code);
            let message = text(&output.stderr);
            assert!(
                message.contains("No space left") && !message.contains("panicked"),
                "{message}"
            );
        }
    }

    /// Threads that the server needs write log lines all the time, so a failed write must not end
    /// them.
    #[test]
    fn a_server_whose_log_cannot_be_written_goes_on() {
        let port = || {
            let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
            socket.local_addr().expect("an address").port()
        };
        let (peer, client) = (port(), port());
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("one.toml");
        let members = format!(
            "[[members]]\nid = 1\npeer = \"127.0.0.1:{peer}\"\nclient = \"127.0.0.1:{client}\"\n"
        );
        std::fs::write(&config, format!("cluster = \"t\"\nid = 1\ndata = \"d\"\n{members}"))
            .expect("the directory is ours");
        let mut command = raftd(&["run", "--config", &config.display().to_string()]);
        let mut child = command.stdin(Stdio::null()).stderr(full()).spawn().expect("it starts");
        let began = Instant::now();
        let answered = loop {
            if let Some(answer) = put(client) {
                break answer.starts_with("HTTP/1.1 200");
            }
            if began.elapsed() > Duration::from_secs(20) {
                break false;
            }
            std::thread::yield_now();
        };
        let _ = child.kill();
        let ended = child.wait().expect("it ends");
        assert!(answered, "it ended with {ended}");
    }

    /// Writes a key. Returns `None` if the server does not confirm the write.
    fn put(port: u16) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        let request = format!(
            "PUT /v1/kv/a HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: 1\r\n\
             connection: close\r\n\r\nx"
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.starts_with("HTTP/1.1 200").then_some(answer)
    }
}
