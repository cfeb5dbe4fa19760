//! Mistakes and damage are reported, and do not change any data.

use std::path::Path;

use crate::cluster::{Cluster, failing, flat, wait_for};

#[track_caller]
pub(crate) fn refuses(config: &Path, code: i32, words: &[&str]) {
    let output = failing(config);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(flat(&said).contains(&flat(word)), "\"{word}\" is not in: {said}");
    }
}

/// Returns a cluster whose first server has data and is not running.
fn with_data() -> Cluster {
    let mut cluster = Cluster::started("");
    let mut client = cluster.client();
    for number in 0..50 {
        let key = format!("key/{number}");
        cluster.runtime.block_on(client.put(key.as_bytes(), vec![b'v'; 2000])).unwrap();
    }
    let last = cluster.status(cluster.leader()).unwrap().last_index;
    wait_for("server 1 to catch up", || (cluster.status(1)?.applied_index >= last).then_some(()));
    cluster.kill(1);
    cluster
}

#[test]
fn a_configuration_that_makes_no_sense() {
    let cluster = Cluster::new("");
    let config = cluster.config(1);
    let text = cluster.config_text(1, "test");
    std::fs::write(&config, text.replace("id = 1\ndata", "id = 7\ndata")).unwrap();
    refuses(&config, 2, &["id: 7 is not among the members [1, 2, 3]"]);
    std::fs::write(&config, text.replace("data =", "dta =")).unwrap();
    refuses(&config, 2, &["unknown field `dta`", "expected one of"]);
    std::fs::write(&config, "cluster = ").unwrap();
    refuses(&config, 2, &["node-1.toml:1"]);
    refuses(&cluster.path("absent.toml"), 2, &["cannot read the configuration", "absent.toml"]);
    let slow = format!("timing = {{ heartbeat = \"1s\" }}\n{text}");
    std::fs::write(&config, slow).unwrap();
    refuses(&config, 2, &["at most half of the shortest election timeout"]);
}

#[test]
fn an_address_that_is_taken() {
    let cluster = Cluster::started("");
    let text = cluster.config_text(1, "test").replace("data = \"node-1\"", "data = \"elsewhere\"");
    std::fs::write(cluster.path("other.toml"), text).unwrap();
    refuses(&cluster.path("other.toml"), 4, &["cannot listen for clients on", "in use"]);
}

#[test]
fn data_that_is_in_use() {
    let cluster = Cluster::started("");
    let text = cluster.on_any_ports(&cluster.config_text(1, "test"));
    std::fs::write(cluster.path("other.toml"), text).unwrap();
    refuses(&cluster.path("other.toml"), 3, &["node-1", "another process is using"]);
}

#[test]
fn data_of_another_server_or_another_cluster() {
    let cluster = with_data();
    let foreign = cluster.config_text(1, "production");
    std::fs::write(cluster.config(1), foreign).unwrap();
    refuses(&cluster.config(1), 3, &["belongs to n1 of cluster \"test\"", "\"production\""]);
    let other = cluster.config_text(2, "test").replace("node-2", "node-1");
    std::fs::write(cluster.config(1), cluster.on_any_ports(&other)).unwrap();
    refuses(&cluster.config(1), 3, &["belongs to n1", "not to n2"]);
}

#[test]
fn a_server_of_another_cluster_is_not_listened_to() {
    let mut cluster = Cluster::new("");
    std::fs::write(cluster.config(3), cluster.config_text(3, "production")).unwrap();
    (1..=3).for_each(|id| cluster.start(id));
    let leader = cluster.leader();
    assert_ne!(leader, 3);
    wait_for("a word about it", || {
        cluster
            .log(3)
            .contains("this is cluster \\\"test\\\", not \\\"production\\\"")
            .then_some(())
            .or_else(|| cluster.log(3).contains("this is cluster \"test\"").then_some(()))
    });
    assert!(cluster.is_running(3));
}

#[test]
fn two_servers_with_one_id() {
    let mut cluster = Cluster::started("");
    let twin = cluster.config_text(3, "test").replace("data = \"node-3\"", "data = \"twin\"");
    std::fs::write(cluster.path("twin.toml"), cluster.on_any_ports(&twin)).unwrap();
    let log = std::fs::File::create(cluster.path("twin.log")).unwrap();
    let mut process =
        crate::cluster::raftd(&cluster.path("twin.toml")).stderr(log).spawn().unwrap();
    wait_for("a word about it", || {
        let said = std::fs::read_to_string(cluster.path("twin.log")).ok()?;
        said.contains("another data directory").then_some(())
    });
    process.kill().unwrap();
    process.wait().unwrap();
    let mut client = cluster.client();
    cluster.runtime.block_on(client.put(b"key", "value")).unwrap();
    assert!(cluster.is_running(3));
}

#[test]
fn a_log_that_is_damaged() {
    let cluster = with_data();
    let path = cluster.path("node-1/log-a");
    let sound = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for page in (0..sound.len()).step_by(4096) {
        let Some(place) = (page..page + 4096).rev().find(|place| sound[*place] != 0) else {
            continue;
        };
        let mut damaged = sound.clone();
        damaged[place] ^= 0x10;
        std::fs::write(&path, &damaged).unwrap();
        // If the damaged page is not in use, the start fails later, because the address for servers
        // is taken.
        let mut config = cluster.config_text(1, "test");
        let taken = cluster.peer_ports[1];
        config.insert_str(0, &format!("listen_peers = \"127.0.0.1:{taken}\"\n"));
        std::fs::write(cluster.config(1), config).unwrap();
        let output = failing(&cluster.config(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked"), "{said}");
        let damaged = output.status.code() == Some(3) && said.contains("log-a");
        assert!(damaged || output.status.code() == Some(4), "{said}");
        refused += usize::from(damaged);
        if refused == 3 {
            return;
        }
    }
    panic!("only {refused} damaged pages were noticed");
}

#[test]
fn a_log_that_is_gone() {
    let cluster = with_data();
    for name in ["log-a", "log-b", "acknowledged"] {
        std::fs::remove_file(cluster.path("node-1").join(name)).unwrap();
    }
    refuses(&cluster.config(1), 3, &["log-a", "the log is gone, and there was one"]);
}

#[test]
fn a_witness_that_is_gone() {
    let cluster = with_data();
    std::fs::remove_file(cluster.path("node-1/acknowledged")).unwrap();
    refuses(&cluster.config(1), 3, &["\"acknowledged\" beside it is gone or damaged"]);
}

#[test]
fn a_state_that_is_damaged_is_refused_and_one_that_is_gone_is_made_again() {
    let mut cluster = Cluster::started("");
    let mut client = cluster.client();
    for number in 0..50 {
        let key = format!("key/{number}");
        cluster.runtime.block_on(client.put(key.as_bytes(), vec![b'v'; 2000])).unwrap();
    }
    (1..=3).for_each(|id| assert_eq!(cluster.terminate(id), Some(0)));
    let state = cluster.path("node-1/kv/state.redb");
    let mut bytes = std::fs::read(&state).unwrap();
    let value = bytes.windows(100).position(|window| window == [b'v'; 100]).unwrap();
    for place in (value..value + 40_000).step_by(500) {
        bytes[place] ^= 1;
    }
    std::fs::write(&state, bytes).unwrap();
    refuses(&cluster.config(1), 3, &["state.redb", "Remove it"]);
    std::fs::remove_file(&state).unwrap();
    cluster.start(1);
    cluster.start(2);
    for number in 0..50 {
        let key = format!("key/{number}");
        let found = cluster.runtime.block_on(client.get(key.as_bytes())).unwrap().unwrap();
        assert_eq!(found.value, vec![b'v'; 2000]);
    }
}

#[test]
fn a_log_that_cannot_be_written() {
    let cluster = with_data();
    let directory = cluster.path("node-1");
    std::fs::remove_dir_all(&directory).unwrap();
    std::fs::write(&directory, "not a directory").unwrap();
    refuses(&cluster.config(1), 3, &["node-1"]);
}
