//! `raftd config check`, `raftd run --help`, and the messages of a server that does not start.

use std::path::Path;
use std::process::{Command, Output};

use crate::cluster::{Cluster, failing, flat, wait_for};

fn raftd(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_raftd")).args(args).output().unwrap()
}

fn check(config: &Path) -> Output {
    raftd(&["config", "check", config.to_str().unwrap()])
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn refused(output: &Output, words: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty());
    for word in words {
        assert!(flat(&said).contains(&flat(word)), "\"{word}\" is not in: {said}");
    }
}

fn with_tls(cluster: &Cluster, key: &str) {
    let text = cluster.config_text(1, "test")
        + "[tls]\nauthority = \"pki/ca.pem\"\ncertificate = \"pki/node-1.pem\"\n"
        + &format!("key = \"{key}\"\n");
    std::fs::write(cluster.config(1), text).unwrap();
}

#[test]
fn the_help_of_run_describes_the_whole_configuration() {
    for command in [&["run", "--help"][..], &["config", "check", "--help"]] {
        let help = String::from_utf8(raftd(command).stdout).unwrap();
        for key in raft_kv::config::KEYS {
            let described = help.lines().any(|line| line.trim_start().starts_with(key.name));
            assert!(described, "{} is not in: {help}", key.path());
        }
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
}

#[test]
fn a_configuration_that_is_sound_is_checked_with_one_line_and_no_data() {
    let cluster = Cluster::new("");
    let output = check(&cluster.config(2));
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(said, "OK: server 2 of 3 in cluster \"test\", without TLS\n");
    assert!(!cluster.path("node-2").exists());
}

#[test]
fn a_mistake_is_shown_with_its_key_its_file_and_its_line() {
    let cluster = Cluster::new("");
    let text = cluster.config_text(1, "test");
    std::fs::write(
        cluster.config(1),
        text.replace("data = \"node-1\"\n", "") + "data = \"node-1\"\n",
    )
    .unwrap();
    let words = ["`data` stands inside the table [[members]]", "move `data` up", "node-1.toml:17"];
    refused(&check(&cluster.config(1)), &words);
    refused(&failing(&cluster.config(1)), &words);

    let unknown = text.replace("client = \"127.0.0.1", "client = \"no.such.host.invalid");
    std::fs::write(cluster.config(1), unknown).unwrap();
    let words = ["members[1].client: cannot resolve \"no.such.host.invalid:", "node-1.toml:9"];
    refused(&check(&cluster.config(1)), &words);
    refused(&failing(&cluster.config(1)), &words);
}

#[test]
fn certificates_and_keys_that_cannot_be_used_are_named_with_their_keys() {
    let cluster = Cluster::new("");
    with_tls(&cluster, "pki/node-1.key");
    let words = ["tls.authority: cannot read", "pki/ca.pem", "No such file", "raftctl cert --out"];
    refused(&check(&cluster.config(1)), &words);
    refused(&failing(&cluster.config(1)), &words);

    let made = Command::new(env!("CARGO_BIN_EXE_raftctl"))
        .args(["cert", "--nodes", "2", "--out"])
        .arg(cluster.path("pki"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    let sound = check(&cluster.config(1));
    assert_eq!(sound.status.code(), Some(0), "{}", stderr(&sound));
    assert!(String::from_utf8_lossy(&sound.stdout).contains("with TLS"));

    with_tls(&cluster, "pki/node-1.pem");
    let words = ["tls.key: ", "pki/node-1.pem cannot be used: there is no private key in it"];
    refused(&check(&cluster.config(1)), &words);
    with_tls(&cluster, "pki/node-2.key");
    let words =
        ["tls.certificate: ", "node-1.pem cannot be used", "belong to the key in", "node-2.key"];
    refused(&check(&cluster.config(1)), &words);
    std::fs::remove_file(cluster.path("pki/node-1.pem")).unwrap();
    refused(&check(&cluster.config(1)), &["tls.certificate: cannot read", "node-1.toml:"]);
}

#[test]
fn a_snapshot_that_cannot_be_read_is_named_with_what_to_do() {
    let mut cluster = Cluster::started("");
    let mut client = cluster.client();
    cluster.runtime.block_on(client.put(b"key", "value")).unwrap();
    let leader = cluster.leader();
    let address = cluster.addresses().swap_remove(usize::try_from(leader - 1).unwrap());
    let taken = Command::new(env!("CARGO_BIN_EXE_raftctl"))
        .args(["--servers", &address.to_string(), "snapshot"])
        .output()
        .unwrap();
    assert!(taken.status.success(), "{}", stderr(&taken));
    wait_for("a snapshot", || (cluster.status(leader)?.snapshot_index > 0).then_some(()));
    assert_eq!(cluster.terminate(leader), Some(0));
    let directory = cluster.path(&format!("node-{leader}/snapshots"));
    let snapshot = std::fs::read_dir(directory).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(&snapshot).unwrap();
    std::fs::remove_file(&snapshot).unwrap();
    let name = snapshot.file_name().unwrap().to_str().unwrap();
    let refuses = |why: &str| {
        let output = failing(&cluster.config(leader));
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        for word in ["the snapshot that the log builds on", name, why, "Bring that file back"] {
            assert!(said.contains(word), "\"{word}\" is not in: {said}");
        }
    };
    refuses("No such file");
    std::fs::write(&snapshot, &bytes[1..]).unwrap();
    refuses("is damaged");
}

#[test]
fn the_reason_of_an_end_is_printed_once_and_as_json_if_the_log_is() {
    let cluster = Cluster::started("");
    let taken = cluster.config_text(1, "test").replace("data = \"node-1\"", "data = \"other\"");
    let config = cluster.path("other.toml");
    std::fs::write(&config, taken).unwrap();
    let said = stderr(&failing(&config));
    assert_eq!(said.matches("cannot listen for clients on").count(), 1, "{said}");

    let broken = cluster.path("broken.toml");
    std::fs::write(&broken, "cluster = 1").unwrap();
    for (config, code, words) in
        [(&config, 4, "cannot listen for clients on"), (&broken, 2, "broken.toml:1: ")]
    {
        let config = config.to_str().unwrap();
        let output = raftd(&["--log-format", "json", "run", "--config", config]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        let lines: Vec<serde_json::Value> =
            said.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        let errors: Vec<_> = lines.iter().filter(|line| line["level"] == "ERROR").collect();
        assert_eq!(errors.len(), 1, "{said}");
        assert!(errors[0]["fields"]["message"].as_str().unwrap().contains(words), "{said}");
    }
}
