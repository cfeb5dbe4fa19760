//! The metrics of real servers at `/metrics`.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;

use raft_kv::server::metrics::all;

use crate::cluster::{Cluster, wait_for};
use crate::exposition::{Exposition, parse};

/// Long election timeouts, with which the leader does not change even on a busy machine.
const CALM: &str = "timing = { election_min = \"2s\", election_max = \"4s\" }\n";

/// Sends a request, and returns the whole answer.
fn ask(port: u16, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let host = format!("Host: 127.0.0.1:{port}\r\nConnection: close");
    let length = body.len();
    write!(stream, "{head} HTTP/1.1\r\n{host}\r\nContent-Length: {length}\r\n\r\n").unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn metrics(port: u16) -> Exposition {
    let answer = ask(port, "GET /metrics", b"");
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    parse(text).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

/// Returns the sum of the samples that have this name and these labels.
fn sum(exposition: &Exposition, sample: &str, labels: &[(&str, &str)]) -> f64 {
    let samples = exposition.values().flat_map(|family| &family.samples);
    let named = samples.filter(|found| found.name == sample);
    let has = |label: &(&str, &str), found: &std::collections::BTreeMap<String, String>| {
        found.get(label.0).is_some_and(|value| value == label.1)
    };
    named
        .filter(|found| labels.iter().all(|label| has(label, &found.labels)))
        .map(|found| found.value)
        .sum()
}

fn port(cluster: &Cluster, id: u64) -> u16 {
    cluster.client_ports[usize::try_from(id - 1).unwrap()]
}

#[test]
fn metrics_are_exposed_as_they_are_documented_and_by_the_rules() {
    let cluster = Cluster::started(CALM);
    let leader = cluster.leader();
    let leads = port(&cluster, leader);
    ask(leads, "PUT /v1/kv/key", b"value");
    let exposed = metrics(leads);

    let documented: BTreeSet<&str> = all().map(|metric| metric.name).collect();
    let there: BTreeSet<&str> = exposed.keys().map(String::as_str).collect();
    assert_eq!(there, documented);
    for metric in all() {
        let family = &exposed[metric.name];
        assert_eq!(family.kind, metric.kind.name(), "{}", metric.name);
        assert_eq!(family.help, metric.help, "{}", metric.name);
        let stem = metric.name.strip_suffix("_total").unwrap_or(metric.name);
        for unit in ["seconds", "bytes"] {
            assert_eq!(stem.ends_with(unit), metric.unit.as_str() == unit, "{}", metric.name);
        }
        let labels: BTreeSet<&str> = metric.labels.iter().copied().collect();
        for sample in &family.samples {
            let found = sample.labels.keys().map(String::as_str).filter(|label| *label != "le");
            assert_eq!(found.collect::<BTreeSet<_>>(), labels, "{}", metric.name);
        }
    }
}

#[test]
fn requests_are_counted_by_route_method_and_outcome_and_a_client_cannot_make_up_labels() {
    let cluster = Cluster::started(CALM);
    let leader = cluster.leader();
    let leads = port(&cluster, leader);
    for key in 0..5 {
        ask(leads, &format!("PUT /v1/kv/{key}"), b"value");
        ask(leads, &format!("GET /v1/kv/{key}"), b"");
        ask(leads, &format!("GET /v1/kv/absent-{key}"), b"");
        ask(leads, &format!("GET /made-up-{key}"), b"");
        ask(leads, &format!("MADEUP{key} /v1/status"), b"");
    }
    let follower = port(&cluster, if leader == 1 { 2 } else { 1 });
    ask(follower, "PUT /v1/kv/key", b"value");

    let exposed = metrics(leads);
    let count = |method, route, outcome| {
        let labels = [("method", method), ("route", route), ("outcome", outcome)];
        sum(&exposed, "http_request_duration_seconds_count", &labels)
    };
    let whole = |count: f64, wanted: u32| (count - f64::from(wanted)).abs() < 0.5;
    assert!(whole(count("PUT", "/v1/kv/{key}", "done"), 5));
    assert!(whole(count("GET", "/v1/kv/{key}", "done"), 5));
    assert!(whole(count("GET", "/v1/kv/{key}", "not_done"), 5));
    assert!(whole(count("GET", "none", "not_done"), 5));
    assert!(whole(count("other", "/v1/status", "not_done"), 5));
    assert!(whole(sum(&exposed, "http_responses_total", &[("code", "404")]), 10));
    assert!(whole(sum(&exposed, "http_responses_total", &[("code", "405")]), 5));
    assert!(whole(sum(&exposed, "http_connections", &[("state", "active")]), 1), "this one");
    let redirected = metrics(follower);
    assert!(whole(sum(&redirected, "http_responses_total", &[("code", "307")]), 1));
    assert!(whole(sum(&redirected, "raftd_build_info", &[]), 1));
    assert!(sum(&redirected, "process_resident_memory_bytes", &[]) > 1e6);
}

#[test]
fn connections_are_counted_while_they_are_open() {
    let cluster = Cluster::started(CALM);
    let leads = port(&cluster, cluster.leader());
    let idle = |wanted: u32| {
        let open = sum(&metrics(leads), "http_connections", &[("state", "idle")]);
        ((open - f64::from(wanted)).abs() < 0.5).then_some(())
    };
    wait_for("no connection", || idle(0));
    let open: Vec<TcpStream> =
        (0..7).map(|_| TcpStream::connect(("127.0.0.1", leads)).unwrap()).collect();
    wait_for("seven connections", || idle(7));
    drop(open);
    wait_for("no connection again", || idle(0));
    let peers =
        |direction| sum(&metrics(leads), "raft_peer_connections", &[("direction", direction)]);
    wait_for("two connections each way", || {
        let both = peers("incoming") + peers("outgoing");
        ((both - 4.0).abs() < 0.5).then_some(())
    });
}

#[test]
fn a_follower_that_is_away_lags_and_comes_back_with_a_snapshot() {
    let snapshots = "snapshots = { log_mib = 1, mib_per_second = 64 }";
    let mut cluster = Cluster::started(&format!("{CALM}{snapshots}"));
    let leader = cluster.leader();
    let leads = port(&cluster, leader);
    let away = if leader == 3 { 2 } else { 3 };
    cluster.kill(away);
    let mut client = cluster.client();
    let mut put = |keys: std::ops::Range<u32>| {
        for key in keys {
            let key = key.to_be_bytes();
            cluster.runtime.block_on(client.put(&key, vec![b'v'; 100_000])).unwrap();
        }
    };
    put(0..8);
    let name = away.to_string();
    let peer = [("peer", name.as_str())];
    wait_for("it lags", || {
        let exposed = metrics(leads);
        let entries = sum(&exposed, "raft_follower_lag_entries", &peer);
        let bytes = sum(&exposed, "raft_follower_lag_bytes", &peer);
        (entries >= 8.0 && (800_000.0..900_000.0).contains(&bytes)).then_some(())
    });
    put(8..32);
    wait_for("a compacted log", || {
        (sum(&metrics(leads), "raft_snapshot_index", &[]) > 8.0).then_some(())
    });
    cluster.start(away);
    wait_for("its port", || TcpStream::connect(("127.0.0.1", port(&cluster, away))).ok());
    let done = |server: u64, operation| {
        let labels = [("operation", operation)];
        let exposed = metrics(port(&cluster, server));
        let bytes = sum(&exposed, "raft_snapshot_size_bytes_sum", &labels);
        let times = sum(&exposed, "raft_snapshot_duration_seconds_count", &labels);
        (bytes > 800_000.0 && times > 0.5).then_some(())
    };
    wait_for("a snapshot taken", || done(leader, "take"));
    wait_for("a snapshot sent", || done(leader, "send"));
    wait_for("a snapshot received", || done(away, "receive"));
    wait_for("a snapshot restored", || done(away, "restore"));
    wait_for("nothing to lag behind", || {
        (sum(&metrics(leads), "raft_follower_lag_bytes", &peer) < 0.5).then_some(())
    });
}

#[test]
fn elections_and_leaders_are_counted() {
    let mut cluster = Cluster::started("");
    let count = |cluster: &Cluster, id, name| sum(&metrics(port(cluster, id)), name, &[]);
    let changes = |cluster: &Cluster, id| count(cluster, id, "raft_leader_changes_total");
    let known = |id: u64| wait_for("a leader", || Some(changes(&cluster, id)).filter(|n| *n > 0.5));
    let before = [1, 2, 3].map(known);
    let elections: f64 =
        (1..=3).map(|id| count(&cluster, id, "raft_elections_started_total")).sum();
    assert!(elections > 0.5, "whoever leads has called an election");
    // A change of the leader since the first count is counted too.
    let leader = cluster.leader();
    cluster.kill(leader);
    for (id, before) in (1..=3).zip(before) {
        if id != leader {
            wait_for("another leader", || (changes(&cluster, id) > before).then_some(()));
        }
    }
}
