//! A client cannot block other clients by opening many connections or sessions.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use raft_kv::client::{Client, Options};
use raft_kv::store::MAX_SESSIONS;
use tokio::net::TcpSocket;

use crate::cluster::{Cluster, PATIENCE, wait_for};
use crate::raw::{ask, metric, rest, say};

const LOCAL: &str = "Host: localhost\r\n";

/// The maximum time for a request of a client that is not blocked.
const SOON: Duration = Duration::from_secs(5);

fn leader_ports(cluster: &Cluster) -> (u16, u16) {
    let place = usize::try_from(cluster.leader() - 1).unwrap();
    (cluster.client_ports[place], cluster.health_ports[place])
}

/// Opens a connection from another address of this machine.
fn from(cluster: &Cluster, address: &str, port: u16) -> TcpStream {
    let connected = cluster.runtime.block_on(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(address.parse().unwrap(), 0)).unwrap();
        socket.connect(([127, 0, 0, 1], port).into()).await.unwrap()
    });
    let stream = connected.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Returns whether the server has closed the connection. It sends no other data.
fn is_closed(mut stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    match stream.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

fn open(streams: &[TcpStream]) -> usize {
    streams.iter().filter(|stream| !is_closed(stream)).count()
}

/// Returns a client that makes one attempt at one server, with a short timeout.
fn hasty_client(port: u16) -> Client {
    let servers = vec![format!("http://127.0.0.1:{port}").parse().unwrap()];
    let options = Options { request_timeout: SOON, deadline: Duration::ZERO, ..Options::default() };
    Client::new(servers, options).unwrap()
}

/// Returns a connection with a request in progress. The request is complete when `b` is sent.
fn busy(port: u16) -> TcpStream {
    let request = b"PUT /v1/kv/busy HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
                    Connection: close\r\nContent-Length: 1\r\n\r\n";
    let mut stream = say(port, request);
    // The server asks for the body, so the request has begun.
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

#[test]
fn idle_connections_make_room_for_new_ones() {
    let cluster = Cluster::started("max_connections = 20\nmax_connections_per_address = 20");
    let (port, health_port) = leader_ports(&cluster);
    let before = metric(health_port, "http_closed_idle_connections_total");
    let beginnings: [&[u8]; 3] =
        [b"", b"GET /v1", b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n"];
    let idle: Vec<TcpStream> = beginnings.iter().cycle().take(200).map(|b| say(port, b)).collect();
    let mut client = hasty_client(port);
    cluster.runtime.block_on(client.put(b"key", "value")).unwrap();
    assert_eq!(ask(port, "GET /livez HTTP/1.1", LOCAL).0, 200);
    wait_for("the oldest ones to be closed", || (open(&idle) <= 20).then_some(()));
    assert_eq!(open(&idle[..180]), 0, "the youngest ones stay");
    assert!(metric(health_port, "http_closed_idle_connections_total") >= before + 180);
}

#[test]
fn requests_that_are_under_way_are_finished_and_who_finds_no_room_is_told() {
    let cluster = Cluster::started("max_connections = 4\nmax_connections_per_address = 4");
    let (port, health_port) = leader_ports(&cluster);
    let mut streams: Vec<TcpStream> = (0..4).map(|_| busy(port)).collect();
    let (status, answer) =
        ask(port, "PUT /v1/kv/k HTTP/1.1", "Host: localhost\r\nContent-Length: 0\r\n");
    assert_eq!(status, 503, "{answer}");
    assert!(answer.contains("\"outcome\":\"not_done\""), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert!(metric(health_port, "http_refused_connections_total") >= 1);
    for path in ["/livez", "/metrics"] {
        let (status, answer) = ask(health_port, &format!("GET {path} HTTP/1.1"), LOCAL);
        assert_eq!(status, 200, "{answer}");
    }
    for mut stream in streams.drain(..) {
        stream.write_all(b"b").unwrap();
        let answer = rest(stream);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(ask(port, "GET /v1/kv/busy HTTP/1.1", LOCAL).0, 200);
}

#[test]
fn an_address_that_opens_many_connections_closes_its_own() {
    let cluster = Cluster::started("max_connections = 40");
    let (port, _) = leader_ports(&cluster);
    let others: Vec<TcpStream> = (0..15).map(|_| say(port, b"")).collect();
    let many: Vec<TcpStream> = (0..100).map(|_| from(&cluster, "127.0.0.2", port)).collect();
    wait_for("its oldest ones to be closed", || (open(&many) <= 20).then_some(()));
    assert_eq!(open(&many[..80]), 0);
    assert_eq!(open(&others), 15, "they have been idle for longer, and are not of that address");
}

#[test]
fn an_address_that_opens_many_sessions_ends_its_own() {
    let cluster = Cluster::started("");
    let (port, _) = leader_ports(&cluster);
    let mut client = cluster.client();
    cluster.runtime.block_on(client.open_session()).unwrap();
    let opening = "POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n";
    let each = usize::try_from(MAX_SESSIONS).unwrap() / 100;
    let all = format!("{opening}\r\n").repeat(each - 1) + opening + "Connection: close\r\n\r\n";
    let streams: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = from(&cluster, "127.0.0.2", port);
            stream.write_all(all.as_bytes()).unwrap();
            stream
        })
        .collect();
    let mut opened: Vec<u64> = Vec::new();
    for stream in streams {
        let answers = rest(stream);
        assert_eq!(answers.matches("HTTP/1.1 201").count(), each, "{answers}");
        let names = answers.split("{\"client\":").skip(1);
        opened.extend(names.map(|name| name.split('}').next().unwrap().parse::<u64>().unwrap()));
    }
    cluster.runtime.block_on(client.put(b"key", "value")).unwrap();
    let write_of = |session: u64| {
        let headers = format!(
            "Host: localhost\r\nRaft-Client: {session}\r\nRaft-Serial: 1\r\nContent-Length: 0\r\n"
        );
        ask(port, "PUT /v1/kv/many HTTP/1.1", &headers)
    };
    let (first, last) = (*opened.iter().min().unwrap(), *opened.iter().max().unwrap());
    let (status, answer) = write_of(first);
    assert_eq!(status, 410, "{answer}");
    assert!(answer.contains("of the client address with most sessions"), "{answer}");
    assert_eq!(write_of(last).0, 200);
}

#[test]
fn a_server_without_a_leader_is_alive_and_not_ready() {
    let mut cluster = Cluster::new("");
    cluster.start(1);
    for port in [cluster.health_ports[0], cluster.client_ports[0]] {
        let status = |path: &str| {
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
            stream.write_all(request.as_bytes()).ok()?;
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).ok()?;
            Some(String::from_utf8_lossy(&answer[9..]).into_owned())
        };
        assert_eq!(wait_for("an answer", || status("/livez")), "200");
        assert_eq!(status("/readyz").as_deref(), Some("503"));
        assert_eq!(status("/healthz").as_deref(), Some("503"));
    }
    cluster.start(2);
    for port in [cluster.health_ports[0], cluster.client_ports[0]] {
        for path in ["/livez", "/readyz", "/healthz"] {
            wait_for(path, || {
                let (status, _) = ask(port, &format!("GET {path} HTTP/1.1"), LOCAL);
                (status == 200).then_some(())
            });
        }
    }
    // The health address does not serve keys.
    assert_eq!(ask(cluster.health_ports[0], "GET /v1/kv/k HTTP/1.1", LOCAL).0, 404);
}
