//! The error messages for mistakes in the configuration file.

use raft_kv::config::ConfigError;

use crate::{SMALLEST, file, read};

/// Checks that the file is refused with a message that contains these words and refers to the line
/// that contains `line`.
#[track_caller]
fn refused(text: &str, line: &str, words: &[&str]) {
    let error = read(text).unwrap_err();
    let said = error.one_line();
    for word in words {
        assert!(said.contains(word), "\"{word}\" is not in: {said}");
    }
    let number = text.lines().position(|found| found.contains(line)).unwrap() + 1;
    assert!(said.contains(&format!("node.toml:{number}: ")), "line {number} is not in: {said}");
}

/// Returns the smallest file with another line in place of one of its lines.
fn with(line: &str, other: &str) -> String {
    assert!(SMALLEST.contains(line));
    SMALLEST.replace(line, other)
}

#[test]
fn a_key_behind_the_header_of_another_table() {
    let text = SMALLEST.replace("data = \"data\"\n", "") + "data = \"data\"\n";
    let words = ["`data`", "inside the table [[members]]", "move `data` up, above the first line"];
    refused(&text, "data =", &words);
    let text = format!("heartbeat = \"10ms\"\n{SMALLEST}");
    refused(&text, "heartbeat", &["`heartbeat`", "top of the file", "into the table [timing]"]);
    let text = format!("{SMALLEST}[timing]\nlog_mib = 5\n");
    refused(&text, "log_mib", &["inside the table [timing]", "into the table [snapshots]"]);
}

#[test]
fn a_key_that_does_not_exist() {
    let text = with("data =", "dta =");
    refused(&text, "dta", &["unknown field `dta`", "expected one of `cluster`"]);
    let text = format!("{SMALLEST}[timing]\nheartbeet = \"5ms\"\n");
    refused(&text, "heartbeet", &["unknown field `heartbeet`"]);
}

#[test]
fn a_key_that_is_missing_or_no_toml_at_all() {
    let said = read(&with("cluster = \"test\"\n", "")).unwrap_err().one_line();
    assert!(
        said.contains("missing field `cluster` (`raftd run --help` shows an example"),
        "{said}"
    );
    refused(&with("id = 1\ndata", "id = \ndata"), "id = ", &["`raftd run --help`"]);
    let (directory, _) = file("");
    let absent = raft_kv::config::Config::read(&directory.path().join("absent.toml"));
    assert!(matches!(absent, Err(ConfigError::Read { .. })));
}

#[test]
fn values_out_of_range_name_their_key() {
    let top = |line: &str| format!("{line}\n{SMALLEST}");
    let below = |table: &str, line: &str| format!("{SMALLEST}[{table}]\n{line}\n");
    refused(&top("threads = 0"), "threads", &["threads: must be above 0"]);
    refused(&top("max_connections = 0"), "max_conn", &["max_connections: must be above 0"]);
    refused(&top("request_timeout = \"0s\""), "request", &["request_timeout: must be above 0"]);
    refused(&top("cache_mib = 99999999"), "cache", &["cache_mib: must be at most"]);
    refused(&top("listen_peers = \"x\""), "listen", &["listen_peers: \"x\" is not an address"]);
    refused(&top("listen_clients = \":1\""), "listen", &["listen_clients: \":1\" is not an"]);
    let slow = below("timing", "heartbeat = \"100ms\"");
    refused(
        &slow,
        "heartbeat",
        &["timing.heartbeat: 100ms must be at most half", "timing.election_min", "150ms"],
    );
    refused(&below("timing", "heartbeat = \"0s\""), "heart", &["heartbeat: must be above 0"]);
    let narrow = below("timing", "election_max = \"150ms\"");
    refused(&narrow, "election_max", &["timing.election_max: 150ms must be above"]);
    refused(&below("snapshots", "log_mib = 0"), "log_mib", &["log_mib: must be above 0"]);
    refused(&below("snapshots", "log_mib = 257"), "log_mib", &["log_mib: must be at most 256"]);
    let stopped = below("snapshots", "mib_per_second = 0");
    refused(&stopped, "mib_per", &["snapshots.mib_per_second: must be above 0"]);
    refused(&with("\"test\"", "\"\""), "cluster", &["cluster: 1 to 64 bytes long"]);
}

#[test]
fn values_at_the_ends_of_their_ranges_are_fine() {
    let text = format!(
        "threads = 1\nmax_connections = 1\ncache_mib = 0\n{SMALLEST}\
         [timing]\nheartbeat = \"75ms\"\nelection_max = \"151ms\"\n\
         [snapshots]\nlog_mib = 256\nmib_per_second = 1\n"
    );
    let config = read(&text).unwrap();
    assert_eq!(config.node_options().unwrap().bounds.snapshot_log_bytes, 256 << 20);
}

#[test]
fn members_that_make_no_sense() {
    let second = "[[members]]\nid = 2\npeer = \"127.0.0.1:7202\"\nclient = \"127.0.0.1:7102\"\n";
    let two = format!("{SMALLEST}{second}");
    assert_eq!(read(&two).unwrap().members.len(), 2);
    let text = two.replace(":7202", "");
    refused(&text, "peer = \"127.0.0.1\"", &["members[2].peer: \"127.0.0.1\" is not an address"]);
    let text = two.replace(":7102", ":70000");
    refused(&text, "70000", &["members[2].client: "]);
    let text = two.replace("id = 2", "id = 0 # none");
    refused(&text, "# none", &["members[2].id: must be at least 1"]);
    let text = two.replace("id = 2", "id = 1 # again");
    refused(&text, "# again", &["members[2].id: two members have id 1"]);
    let text = two.replace("id = 1\ndata", "id = 7 # who?\ndata");
    refused(&text, "# who?", &["id: 7 is not among the members [1, 2]"]);
}
