//! A page in a browser cannot make a server do anything, whatever host name the page uses.

use crate::cluster::Cluster;
use crate::raw::{ask, rest, say};

/// Starts three servers, and returns them with the leader's port for clients.
fn led(extra: &str) -> (Cluster, u16) {
    let cluster = Cluster::started(extra);
    let place = usize::try_from(cluster.leader() - 1).unwrap();
    let port = cluster.client_ports[place];
    (cluster, port)
}

fn status_of(port: u16, headers: &str) -> u16 {
    ask(port, "GET /v1/status HTTP/1.1", headers).0
}

#[test]
fn a_request_names_the_server_that_it_is_for() {
    let (cluster, port) = led("names = [\"kv.example\", \"192.0.2.7\", \"2001:db8::7\"]");
    let own = [
        format!("127.0.0.1:{port}"),
        "127.0.0.1".to_owned(),
        format!("localhost:{port}"),
        "LocalHost".to_owned(),
        "localhost.:80".to_owned(),
        "[::1]:7101".to_owned(),
        "kv.example".to_owned(),
        "KV.EXAMPLE:443".to_owned(),
        "192.0.2.7:7101".to_owned(),
        "[2001:db8:0::7]:7101".to_owned(),
    ];
    for host in own {
        assert_eq!(status_of(port, &format!("Host: {host}\r\n")), 200, "{host}");
    }
    let foreign = [
        "evil.example",
        "evil.example:7101",
        "localhost.evil.example",
        "kv.example.evil.example",
        "kv.example@evil.example",
        "evil.example@kv.example",
        "kv.example:7101:7101",
        "kv.example:port",
        "192.0.2.8",
        "[2001:db8::8]",
        "2001:db8::7",
        "[::1",
        "",
    ];
    for host in foreign {
        for port in [port, cluster.health_ports[0]] {
            let (status, answer) = ask(port, "GET /readyz HTTP/1.1", &format!("Host: {host}\r\n"));
            assert_eq!(status, 421, "{host}: {answer}");
            assert!(answer.contains("is not a name of this server"), "{answer}");
        }
    }
    // A whole URL is checked in addition to the header.
    let whole = "GET http://evil.example/v1/status HTTP/1.1";
    assert_eq!(ask(port, whole, "Host: localhost\r\n").0, 421);
    let whole = "GET http://localhost/v1/status HTTP/1.1";
    assert_eq!(ask(port, whole, "Host: evil.example\r\n").0, 421);
    assert_eq!(ask(port, whole, "Host: localhost\r\n").0, 200);
}

#[test]
fn a_request_names_exactly_one_host() {
    let (_cluster, port) = led("");
    assert_eq!(status_of(port, ""), 400);
    assert_eq!(ask(port, "GET /v1/status HTTP/1.0", "").0, 400);
    assert_eq!(ask(port, "GET /v1/status HTTP/1.0", "Host: localhost\r\n").0, 200);
    assert_eq!(status_of(port, "Host: localhost\r\nHost: localhost\r\n"), 400);
    assert_eq!(status_of(port, "Host: localhost\r\nHost: evil.example\r\n"), 400);
}

#[test]
fn a_page_of_another_origin_changes_nothing() {
    let (_cluster, port) = led("");
    let origins = ["https://evil.example", "null", "http://localhost", ""];
    for origin in origins {
        for line in
            ["POST /v1/kv/k/append HTTP/1.1", "PUT /v1/kv/k HTTP/1.1", "OPTIONS /v1/kv/k HTTP/1.1"]
        {
            let request = format!(
                "{line}\r\nHost: localhost\r\nOrigin: {origin}\r\nContent-Type: text/plain\r\n\
                 Content-Length: 4\r\nConnection: close\r\n\r\nevil"
            );
            let answer = rest(say(port, request.as_bytes()));
            assert!(answer.starts_with("HTTP/1.1 403"), "{line}, {origin}: {answer}");
            assert!(answer.contains("\"outcome\":\"not_done\""), "{answer}");
            assert!(!answer.contains("access-control"), "{answer}");
        }
        let headers = format!("Host: localhost\r\nOrigin: {origin}\r\n");
        assert_eq!(ask(port, "GET /v1/kv/k HTTP/1.1", &headers).0, 403);
    }
    assert_eq!(ask(port, "GET /v1/kv/k HTTP/1.1", "Host: localhost\r\n").0, 404);
}

#[test]
fn a_page_of_an_allowed_origin_is_served_and_may_read_the_answer() {
    let (cluster, port) =
        led("allowed_origins = [\"https://app.example\", \"http://localhost:3000\"]");
    let allowed = "Host: localhost\r\nOrigin: https://app.example\r\n";
    let (status, answer) =
        ask(port, "PUT /v1/kv/k HTTP/1.1", &format!("{allowed}Content-Length: 0\r\n"));
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("access-control-allow-origin: https://app.example\r\n"), "{answer}");
    let (status, answer) = ask(port, "OPTIONS /v1/kv/k HTTP/1.1", allowed);
    assert_eq!(status, 204, "{answer}");
    assert!(
        answer.contains("access-control-allow-methods: GET, PUT, DELETE, POST\r\n"),
        "{answer}"
    );
    for origin in ["https://app.example:444", "http://app.example", "https://app.example.evil"] {
        assert_eq!(
            status_of(port, &format!("Host: localhost\r\nOrigin: {origin}\r\n")),
            403,
            "{origin}"
        );
    }
    let two = "Host: localhost\r\nOrigin: https://app.example\r\nOrigin: https://evil.example\r\n";
    assert_eq!(status_of(port, two), 403);
    assert_eq!(ask(cluster.health_ports[0], "GET /metrics HTTP/1.1", two).0, 403);
}
