//! Requests byte by byte.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::cluster::PATIENCE;

/// A connection on which these bytes were sent.
pub(crate) fn say(port: u16, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The other side may hang up in the middle.
    let _ = stream.write_all(bytes);
    stream
}

/// What comes until the other side hangs up.
pub(crate) fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status and the whole of the answer to a request without a body, of which the first line is
/// given, and the headers, each with the end of its line.
pub(crate) fn ask(port: u16, line: &str, headers: &str) -> (u16, String) {
    let request = format!("{line}\r\n{headers}Connection: close\r\n\r\n");
    let answer = rest(say(port, request.as_bytes()));
    (answer[9..12].parse().unwrap(), answer)
}

/// The sum of a counter over its labels.
pub(crate) fn metric(port: u16, name: &str) -> u64 {
    let (_, text) = ask(port, "GET /metrics HTTP/1.1", "Host: localhost\r\n");
    let values = text.lines().filter(|line| line.starts_with(name));
    values.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}
