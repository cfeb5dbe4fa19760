//! Requests as raw bytes.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::cluster::PATIENCE;

/// Opens a connection and sends these bytes.
pub(crate) fn say(port: u16, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The server may close the connection before all bytes are sent.
    let _ = stream.write_all(bytes);
    stream
}

/// Reads until the server closes the connection.
pub(crate) fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends a request without a body. `line` is its first line, and `headers` are its headers, each
/// with a line end. Returns the status and the whole answer.
pub(crate) fn ask(port: u16, line: &str, headers: &str) -> (u16, String) {
    let request = format!("{line}\r\n{headers}Connection: close\r\n\r\n");
    let answer = rest(say(port, request.as_bytes()));
    (answer[9..12].parse().unwrap(), answer)
}

/// Returns the sum of a counter over its labels.
pub(crate) fn metric(port: u16, name: &str) -> u64 {
    let (_, text) = ask(port, "GET /metrics HTTP/1.1", "Host: localhost\r\n");
    let values = text.lines().filter(|line| line.starts_with(name));
    values.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}
