//! The messages of the programs, and the files that they create.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Ports, wait_for};

fn raftctl() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raftctl"));
    command.env_remove("RAFTCTL_SERVERS").stdin(Stdio::null());
    command
}

fn dev(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raftd"));
    command.arg("dev").args(arguments).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("its end", || child.try_wait().unwrap());
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_program_says_its_name_and_version() {
    let raftd = Command::new(env!("CARGO_BIN_EXE_raftd")).arg("--version").output().unwrap();
    let raftctl = raftctl().arg("--version").output().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(String::from_utf8_lossy(&raftd.stdout), format!("raftd {version}\n"));
    assert_eq!(String::from_utf8_lossy(&raftctl.stdout), format!("raftctl {version}\n"));
}

#[test]
fn dev_says_once_that_a_port_is_taken() {
    let (directory, ports) = (tempfile::tempdir().unwrap(), Ports::reserve());
    let data = directory.path().join("data");
    let base = |number| ports.at(number).to_string();
    let arguments = |taken: u16| {
        let taken = TcpListener::bind(("127.0.0.1", ports.at(taken))).unwrap();
        let (client, peer, health) = (base(0), base(3), base(6));
        let options = ["--client-port", &client, "--peer-port", &peer, "--health-port", &health];
        let mut arguments = vec!["--data", data.to_str().unwrap()];
        arguments.extend(options);
        (dev(&arguments), taken.local_addr().unwrap())
    };
    for taken in [1, 5, 6] {
        let (output, address) = arguments(taken);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(4), "{text}");
        assert_eq!(text.matches(&address.to_string()).count(), 1, "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(output.stdout.is_empty(), "nothing was started");
        assert!(!data.exists(), "nothing was written");
    }
}

#[test]
fn dev_refuses_ports_that_do_not_exist_or_overlap() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let cases: [(&[&str], &str); 5] = [
        (&["--client-port", "65534"], "--client-port 65534"),
        (&["--peer-port", "65534"], "--peer-port 65534"),
        (&["--health-port", "65530", "--nodes", "9"], "--health-port 65530"),
        (&["--client-port", "0"], "--client-port 0"),
        (&["--client-port", "7200"], "overlap"),
    ];
    for (options, words) in cases {
        let output = dev(&[options, &["--data", data.to_str().unwrap()]].concat());
        let text = said(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(words), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!data.exists(), "nothing was written");
    }
}

/// Finds the files and directories under `path` that do not have the permissions 0600 or 0700.
fn for_others(path: &Path, found: &mut Vec<String>) {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    let mode = metadata.permissions().mode() & 0o777;
    let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
    if mode != expected {
        found.push(format!("{} {mode:o}", path.display()));
    }
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            for_others(&entry.unwrap().path(), found);
        }
    }
}

#[test]
fn the_files_of_a_server_are_for_its_owner() {
    let (directory, ports) = (tempfile::tempdir().unwrap(), Ports::reserve());
    // Files that a program creates here without explicit permissions are accessible to everybody.
    let open_to_all = Permissions::from_mode(0o777);
    std::fs::set_permissions(directory.path(), open_to_all).unwrap();
    let data = directory.path().join("data");
    let script = format!(
        "umask 000; exec {} dev --nodes 1 --trace-log --data {} --client-port {} --peer-port {} \
         --health-port {}",
        env!("CARGO_BIN_EXE_raftd"),
        data.display(),
        ports.at(0),
        ports.at(1),
        ports.at(2),
    );
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let servers = format!("http://127.0.0.1:{}", ports.at(0));
    let put = |key: &str| {
        let mut command = raftctl();
        command.args(["--servers", &servers, "--timeout", "1s", "put", key, "value"]);
        command.output().unwrap().status.success().then_some(())
    };
    wait_for("a server", || put("key"));
    let snapshot = raftctl().args(["--servers", &servers, "snapshot"]).output().unwrap();
    assert!(snapshot.status.success(), "{}", said(&snapshot));
    let snapshots = data.join("node-1/snapshots");
    wait_for("a snapshot", || {
        let mut files = std::fs::read_dir(&snapshots).ok()?;
        files.next().map(drop)
    });
    let mut wrong = Vec::new();
    for_others(&data, &mut wrong);
    crate::cluster::signal(&child, "TERM");
    child.wait().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for name in ["kv/state.redb", "log-a", "trace.jsonl", "acknowledged"] {
        assert!(data.join("node-1").join(name).exists(), "{name}");
    }
}

#[test]
fn the_keys_of_certificates_are_for_their_owner() {
    let directory = tempfile::tempdir().unwrap();
    let pki = directory.path().join("pki");
    let script =
        format!("umask 000; exec {} cert --out {}", env!("CARGO_BIN_EXE_raftctl"), pki.display());
    assert!(Command::new("sh").args(["-c", &script]).output().unwrap().status.success());
    for name in ["ca", "node-1", "node-2", "node-3", "client"] {
        let key = std::fs::metadata(pki.join(format!("{name}.key"))).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_client_waits_as_long_as_it_is_told_whatever_it_meets() {
    const TIMEOUT: Duration = Duration::from_secs(3);
    /// The additional time for the start of a process on a busy machine. It is shorter than the
    /// timeout. A client that waited for the whole timeout twice, to connect and for an answer,
    /// would take longer.
    const MARGIN: Duration = Duration::from_secs(2);
    let mut cluster = Cluster::new("");
    cluster.start(1);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap();
    assert!(
        raftctl()
            .args(["cert", "--out"])
            .arg(cluster.path("pki"))
            .output()
            .unwrap()
            .status
            .success()
    );
    let authority = cluster.path("pki/ca.pem");
    let dead = format!("http://127.0.0.1:{}", cluster.client_ports[1]);
    let no_leader = format!("http://127.0.0.1:{}", cluster.client_ports[0]);
    wait_for("the server", || cluster.status(1).map(drop));
    let (silent, silent_tls) = (format!("http://{silent}"), format!("https://{silent}"));
    let all = [dead.as_str(), &no_leader, &silent].join(",");
    let servers = [&dead, &no_leader, &silent, &silent_tls, &all];
    let commands: [&[&str]; 5] = [
        &["get", "k"],
        &["put", "k", "v"],
        &["put", "k", "v", "--session"],
        &["status"],
        &["snapshot"],
    ];
    let mut running = Vec::new();
    for servers in servers {
        for command in commands {
            let mut program = raftctl();
            program.args(["--timeout", "3s", "--servers", servers, "--ca"]).arg(&authority);
            program.args(command).stdout(Stdio::null()).stderr(Stdio::piped());
            let what = format!("{command:?} of {servers}");
            running.push((what, Instant::now(), program.spawn().unwrap()));
        }
    }
    wait_for("all of them to end", || {
        running.retain_mut(|(what, began, child)| {
            let Some(status) = child.try_wait().unwrap() else { return true };
            assert!(began.elapsed() < TIMEOUT + MARGIN, "{what} took {:?}", began.elapsed());
            let code = status.code();
            assert!(matches!(code, Some(1 | 3 | 4)), "{what} ended with {code:?}");
            false
        });
        running.is_empty().then_some(())
    });
}
