//! The reaction of the client to servers that redirect, refuse, disappear or report an unknown
//! outcome. The servers follow a script.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use raft_kv::api::Outcome;
use raft_kv::client::{Address, Client, Error, Expected, Options, Swapped};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The action of a server at its next request.
#[derive(Clone, Debug)]
enum Act {
    /// Answers with a status, further headers and a body.
    Answer(&'static str, String, &'static str),
    /// Reads the request and closes the connection.
    Drop,
    /// Reads the request and never answers.
    Hang,
}

const WRITTEN: &str = r#"{"version":7,"length":3}"#;
const NO_LEADER: &str =
    r#"{"error":"no_leader","message":"there is no leader","outcome":"not_done"}"#;
const LOST: &str = r#"{"error":"lost","message":"no longer the leader","outcome":"unknown"}"#;
const TOO_LARGE: &str =
    r#"{"error":"too_large","message":"the value is too large","outcome":"not_done"}"#;
const NOT_FOUND: &str =
    r#"{"error":"not_found","message":"there is no such key","outcome":"not_done"}"#;
const CONFLICT: &str = r#"{"error":"conflict","message":"another version","outcome":"not_done"}"#;

fn written() -> Act {
    Act::Answer("200 OK", String::new(), WRITTEN)
}

fn found() -> Act {
    Act::Answer("200 OK", "etag: \"7\"\r\n".to_owned(), "abc")
}

fn busy(seconds: u32, body: &'static str) -> Act {
    Act::Answer("503 Service Unavailable", format!("retry-after: {seconds}\r\n"), body)
}

fn redirect(to: &Server) -> Act {
    let location = format!("location: {}/v1/kv/k\r\n", to.address);
    Act::Answer("307 Temporary Redirect", location, "")
}

fn session() -> Act {
    Act::Answer("201 Created", String::new(), r#"{"client":42}"#)
}

/// A server that follows a script. When the script ends, it answers 400, which no test expects.
struct Server {
    address: Address,
    script: Arc<Mutex<VecDeque<Act>>>,
    /// All requests so far, with their heads and bodies.
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
}

impl Server {
    async fn start(script: impl IntoIterator<Item = Act>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = Server {
            address: address(listener.local_addr().expect("its address")),
            script: Arc::new(Mutex::new(script.into_iter().collect())),
            requests: Arc::default(),
            connections: Arc::default(),
        };
        let (script, requests) = (Arc::clone(&server.script), Arc::clone(&server.requests));
        let connections = Arc::clone(&server.connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *connections.lock().expect("a lock") += 1;
                tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&requests)));
            }
        });
        server
    }

    fn then(&self, acts: impl IntoIterator<Item = Act>) {
        self.script.lock().expect("a lock").extend(acts);
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("a lock").clone()
    }

    fn count(&self) -> usize {
        self.requests().len()
    }

    fn connections(&self) -> usize {
        *self.connections.lock().expect("a lock")
    }
}

async fn serve(
    mut stream: TcpStream,
    script: Arc<Mutex<VecDeque<Act>>>,
    requests: Arc<Mutex<Vec<String>>>,
) {
    while let Some(request) = read(&mut stream).await {
        requests.lock().expect("a lock").push(request);
        let act = script.lock().expect("a lock").pop_front();
        let bad = Act::Answer("400 Bad Request", String::new(), "the script is over");
        match act.unwrap_or(bad) {
            Act::Answer(status, headers, body) => {
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.expect("an answer");
            }
            Act::Drop => return,
            Act::Hang => std::future::pending().await,
        }
    }
}

/// Reads a whole request. Returns `None` at the end of the connection.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    loop {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
        text.push_str(std::str::from_utf8(&buffer[..length]).expect("text"));
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let stated = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= stated.map_or(0, |length| length.parse().expect("a length")) {
            return Some(text);
        }
    }
}

fn address(socket: SocketAddr) -> Address {
    format!("http://{socket}").parse().expect("an address")
}

/// Returns an address where no server listens.
async fn nobody() -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    address(listener.local_addr().expect("its address"))
}

fn options() -> Options {
    let request_timeout = Duration::from_millis(200);
    Options { request_timeout, deadline: Duration::from_secs(3), tls: None }
}

fn client(servers: &[&Server]) -> Client {
    let servers = servers.iter().map(|server| server.address.clone()).collect();
    Client::new(servers, options()).expect("a client")
}

/// Returns a client that gives up after a short time.
fn impatient(server: &Server) -> Client {
    let options = Options { deadline: PATIENCE, ..options() };
    Client::new(vec![server.address.clone()], options).expect("a client")
}

const PATIENCE: Duration = Duration::from_millis(300);

/// Returns the value of a header, if the request has this header.
fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test]
async fn follows_a_redirection_and_stays_with_the_leader() {
    let leader = Server::start([written(), found()]).await;
    let follower = Server::start([redirect(&leader)]).await;
    let mut client = client(&[&follower, &leader]);
    assert_eq!(client.put(b"k", "abc").await.expect("a put").version, 7);
    let found = client.get(b"k").await.expect("a get").expect("a value");
    assert_eq!((&found.value[..], found.version), (&b"abc"[..], 7));
    assert_eq!((follower.count(), leader.count(), leader.connections()), (1, 2, 1));
    assert_eq!(client.target(), &leader.address);
    assert!(leader.requests()[0].starts_with("PUT /v1/kv/k HTTP/1.1"), "{:?}", leader.requests());
    assert!(leader.requests()[0].ends_with("\r\n\r\nabc"), "{:?}", leader.requests());
}

#[tokio::test]
async fn goes_on_when_nobody_listens() {
    let server = Server::start([written()]).await;
    let servers = vec![nobody().await, nobody().await, server.address.clone()];
    let mut client = Client::new(servers, options()).expect("a client");
    client.put(b"k", "abc").await.expect("a put");
}

#[tokio::test]
async fn waits_as_long_as_it_is_told() {
    let server = Server::start([busy(1, NO_LEADER), busy(0, NO_LEADER), written()]).await;
    let started = Instant::now();
    client(&[&server]).put(b"k", "abc").await.expect("a put");
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn gives_up_and_says_that_nothing_was_done() {
    let server = Server::start([busy(60, NO_LEADER), busy(60, NO_LEADER)]).await;
    let started = Instant::now();
    let error = impatient(&server).put(b"k", "abc").await.expect_err("no leader");
    // The client gives up at its deadline and not earlier, although the server has asked for a
    // longer pause. Before that, it makes another attempt.
    assert!(started.elapsed() >= PATIENCE);
    assert_eq!(server.count(), 2);
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::NotDone);
    assert!(error.to_string().contains("there is no leader"), "{error}");
}

#[tokio::test]
async fn a_write_without_a_session_is_not_repeated_in_doubt() {
    for act in [Act::Drop, Act::Hang, busy(0, LOST), busy(0, "a proxy is down")] {
        let server = Server::start([act.clone(), written()]).await;
        let error = client(&[&server]).put(b"k", "abc").await.expect_err("doubt");
        assert!(matches!(error, Error::Unknown { .. }), "{act:?}: {error}");
        assert_eq!(error.outcome(), Outcome::Unknown);
        assert_eq!(server.count(), 1, "{act:?}");
    }
}

#[tokio::test]
async fn every_kind_of_write_is_a_write() {
    let server = Server::start([Act::Drop, Act::Drop, Act::Drop]).await;
    let mut client = client(&[&server]);
    let append = client.append(b"k", "x").await.expect_err("doubt");
    let delete = client.delete(b"k").await.expect_err("doubt");
    let swap = client.compare_and_set(b"k", Expected::Version(3), "x").await.expect_err("doubt");
    for error in [append, delete, swap] {
        assert!(matches!(error, Error::Unknown { .. }), "{error}");
    }
    let requests = server.requests();
    assert_eq!(header(&requests[2], "if-match"), Some("\"3\""));
    assert!(requests[0].starts_with("POST /v1/kv/k/append "));
    assert!(requests[1].starts_with("DELETE /v1/kv/k "));
    assert!(requests[2].starts_with("POST /v1/kv/k/cas "));
}

#[tokio::test]
async fn a_write_in_a_session_is_repeated_with_the_same_number() {
    let script = [session(), Act::Drop, busy(0, LOST), Act::Hang, written(), written()];
    let server = Server::start(script).await;
    let mut client = client(&[&server]);
    assert_eq!(client.open_session().await.expect("a session"), 42);
    client.put(b"k", "abc").await.expect("a put");
    client.append(b"k", "def").await.expect("an append");
    let requests = server.requests();
    let serials = requests.iter().map(|request| header(request, "raft-serial"));
    let expected = [None, Some("1"), Some("1"), Some("1"), Some("1"), Some("2")];
    assert_eq!(serials.collect::<Vec<_>>(), expected);
    assert!(requests[1..].iter().all(|request| header(request, "raft-client") == Some("42")));
}

#[tokio::test]
async fn a_write_in_a_session_stays_unknown_when_later_attempts_fail() {
    let busy = [busy(60, NO_LEADER), busy(60, NO_LEADER)];
    let server = Server::start([session(), Act::Drop].into_iter().chain(busy)).await;
    let mut in_time = impatient(&server);
    in_time.open_session().await.expect("a session");
    let error = in_time.put(b"k", "abc").await.expect_err("doubt");
    assert!(matches!(error, Error::Unknown { .. }), "{error}");

    let refusal = Act::Answer("410 Gone", String::new(), TOO_LARGE);
    let server = Server::start([session(), Act::Drop, refusal]).await;
    let mut refused = client(&[&server]);
    refused.open_session().await.expect("a session");
    let error = refused.put(b"k", "abc").await.expect_err("doubt");
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
}

#[tokio::test]
async fn a_read_is_repeated_whatever_happens() {
    let script = [Act::Drop, Act::Hang, busy(0, LOST), busy(0, NO_LEADER), found()];
    let server = Server::start(script).await;
    let found = client(&[&server]).get(b"k").await.expect("a get").expect("a value");
    assert_eq!(&found.value[..], b"abc");
    assert_eq!(server.count(), 5);
}

#[tokio::test]
async fn a_refusal_is_final() {
    let refusal = Act::Answer("413 Content Too Large", String::new(), TOO_LARGE);
    let server = Server::start([refusal]).await;
    let error = client(&[&server]).put(b"k", "abc").await.expect_err("a refusal");
    assert_eq!(error.outcome(), Outcome::NotDone);
    assert!(matches!(&error, Error::Refused { status: 413, .. }), "{error}");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn not_found_and_conflict_are_answers() {
    let server = Server::start([
        Act::Answer("404 Not Found", String::new(), NOT_FOUND),
        Act::Answer("412 Precondition Failed", "etag: \"9\"\r\n".to_owned(), CONFLICT),
        Act::Answer("412 Precondition Failed", String::new(), CONFLICT),
        Act::Answer("200 OK", String::new(), r#"{"existed":true}"#),
    ])
    .await;
    let mut client = client(&[&server]);
    assert_eq!(client.get(b"k").await.expect("a get"), None);
    let there = client.compare_and_set(b"k", Expected::Absent, "x").await.expect("an answer");
    assert_eq!(there, Swapped::Conflict { present: Some(9) });
    let gone = client.compare_and_set(b"k", Expected::Version(9), "x").await.expect("an answer");
    assert_eq!(gone, Swapped::Conflict { present: None });
    assert!(client.delete(b"k").await.expect("a delete").existed);
    assert_eq!(header(&server.requests()[1], "if-none-match"), Some("*"));
}

#[tokio::test]
async fn another_kind_of_server_is_told_apart() {
    let server =
        Server::start([Act::Answer("404 Not Found", String::new(), "<h1>404</h1>"), written()])
            .await;
    let mut client = client(&[&server]);
    let error = client.get(b"k").await.expect_err("a web server");
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
    let error = client.get(b"k").await.expect_err("no ETag");
    assert!(error.to_string().contains("ETag"), "{error}");
    assert!(matches!(client.put(b"", "x").await, Err(Error::EmptyKey)));
}

#[tokio::test]
async fn servers_that_point_at_each_other_do_not_keep_it_busy() {
    let (a, b) = (Server::start([]).await, Server::start([]).await);
    a.then((0..100).map(|_| redirect(&b)));
    b.then((0..100).map(|_| redirect(&a)));
    let options = Options { deadline: Duration::from_millis(300), ..options() };
    let mut client = Client::new(vec![a.address.clone()], options).expect("a client");
    let error = client.put(b"k", "abc").await.expect_err("a circle");
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(a.count() + b.count() < 20, "{} requests", a.count() + b.count());
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_no_failure() {
    let (a, b) = (Server::start([written()]).await, Server::start([]).await);
    // The server announces that it closes the connection, so the client must not use it again.
    b.then([Act::Answer("200 OK", "connection: close\r\n".to_owned(), WRITTEN), written()]);
    let mut to_b = client(&[&b, &a]);
    to_b.put(b"k", "abc").await.expect("a put");
    to_b.put(b"k", "abc").await.expect("a put");
    assert_eq!((a.count(), b.count(), b.connections()), (0, 2, 2));
}

#[tokio::test]
async fn one_attempt_without_a_deadline() {
    let servers = vec![nobody().await];
    let options = Options { deadline: Duration::ZERO, ..options() };
    let error = Client::new(servers, options).expect("a client").status().await;
    let error = error.expect_err("nobody").to_string();
    assert!(error.contains("refused"), "{error}");
}

#[test]
fn tls_needs_an_authority() {
    let server: Address = "https://127.0.0.1:1".parse().expect("an address");
    let error = Client::new(vec![server], Options::default()).expect_err("no authority");
    assert!(matches!(error, Error::NoAuthority(_)), "{error}");
    assert!(matches!(Client::new(Vec::new(), Options::default()), Err(Error::NoServers)));
}
