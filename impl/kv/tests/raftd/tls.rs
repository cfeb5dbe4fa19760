//! TLS: servers and clients with the right certificate are served, and others are refused.

use std::process::Command;

use raft_kv::client::{Client, Options, Tls};

use crate::cluster::Cluster;
use crate::raw::{ask, rest, say};

fn certificates(cluster: &Cluster) {
    let made = Command::new(env!("CARGO_BIN_EXE_raftctl"))
        .args(["cert", "--nodes", "3", "--out"])
        .arg(cluster.path("pki"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn configure(cluster: &Cluster, id: u64, certificate_of: u64) {
    let text = cluster.config_text(id, "test")
        + &format!(
            "[tls]\nauthority = \"pki/ca.pem\"\ncertificate = \"pki/node-{certificate_of}.pem\"\n\
             key = \"pki/node-{certificate_of}.key\"\nclients_need_certificates = true\n"
        );
    std::fs::write(cluster.config(id), text).unwrap();
}

fn client(cluster: &Cluster) -> Client {
    let pki = cluster.path("pki");
    let identity = (pki.join("client.pem"), pki.join("client.key"));
    let tls = Tls::read(&pki.join("ca.pem"), Some((&identity.0, &identity.1))).unwrap();
    let ports = cluster.client_ports.iter();
    let servers = ports.map(|port| format!("https://127.0.0.1:{port}").parse().unwrap()).collect();
    Client::new(servers, Options { tls: Some(tls), ..Options::default() }).unwrap()
}

#[test]
fn a_cluster_with_certificates_serves_those_who_have_one() {
    let mut cluster = Cluster::new("");
    certificates(&cluster);
    (1..=3).for_each(|id| configure(&cluster, id, id));
    (1..=3).for_each(|id| cluster.start(id));
    let mut client = client(&cluster);
    cluster.runtime.block_on(client.put(b"key", "value")).unwrap();
    let found = cluster.runtime.block_on(client.get(b"key")).unwrap().unwrap();
    assert_eq!(found.value, "value");
}

/// Runs `raftctl` with a scheme for the servers. Returns its message and its exit code.
fn raftctl(cluster: &Cluster, scheme: &str) -> (String, Option<i32>) {
    let servers = format!("{scheme}://127.0.0.1:{}", cluster.client_ports[0]);
    let output = Command::new(env!("CARGO_BIN_EXE_raftctl"))
        .args(["--servers", &servers, "--ca"])
        .arg(cluster.path("pki/ca.pem"))
        .args(["put", "key", "value"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (said.split_whitespace().collect::<Vec<_>>().join(" "), output.status.code())
}

#[test]
fn who_speaks_in_the_clear_to_a_server_with_certificates_is_told() {
    let mut cluster = Cluster::new("");
    certificates(&cluster);
    (1..=3).for_each(|id| configure(&cluster, id, id));
    (1..=3).for_each(|id| cluster.start(id));
    let mut client = client(&cluster);
    cluster.runtime.block_on(client.put(b"key", "value")).unwrap();
    let port = cluster.client_ports[0];
    for beginning in ["GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n", "PUT "] {
        let answer = rest(say(port, beginning.as_bytes()));
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.contains("this port speaks HTTPS"), "{answer}");
    }
    let (said, code) = raftctl(&cluster, "http");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("this port speaks HTTPS") && said.contains("https://"), "{said}");
    // Health checks are served without TLS, on a separate port.
    assert_eq!(ask(cluster.health_ports[0], "GET /livez HTTP/1.1", "Host: localhost\r\n").0, 200);
}

#[test]
fn who_speaks_tls_to_a_server_without_certificates_is_told() {
    let cluster = Cluster::started("");
    certificates(&cluster);
    let (said, code) = raftctl(&cluster, "https");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("does not speak TLS") && said.contains("http://"), "{said}");
}

#[test]
fn a_server_with_the_certificate_of_another_one_is_refused() {
    let mut cluster = Cluster::new("");
    certificates(&cluster);
    configure(&cluster, 1, 1);
    configure(&cluster, 2, 2);
    configure(&cluster, 3, 2);
    (1..=3).for_each(|id| cluster.start(id));
    let mut client = client(&cluster);
    cluster.runtime.block_on(client.put(b"key", "value")).unwrap();
    crate::cluster::wait_for("a word about it", || {
        cluster.log(1).contains("the certificate does not name n3").then_some(())
    });
}
