//! A parser for the part of HTTP/1.1 that the answers to a benchmark use.

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// The length of the head and the body together, in bytes.
    pub(super) length: usize,
    /// The position of the first byte of the body.
    pub(super) body: usize,
    /// Whether the connection ends with this answer.
    pub(super) close: bool,
    pub(super) location: Option<String>,
}

/// Parses a head. Returns `None` if the end of the head has not arrived yet.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Head>, &'static str> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let mut lines = bytes[..end].split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let status = status(lines.next().unwrap_or_default()).ok_or("not HTTP/1.1")?;
    let body = end + 4;
    let mut content = None;
    let mut head = Head { status, length: body, body, close: false, location: None };
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // The length is compared first, because most names have another length.
        match name.len() {
            8 if name.eq_ignore_ascii_case(b"location") => {
                head.location = Some(String::from_utf8_lossy(value).into_owned());
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                head.close = value.eq_ignore_ascii_case(b"close");
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => content = number(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                return Err("a body in chunks");
            }
            _ => {}
        }
    }
    head.length += content.ok_or("no length of the body")?;
    Ok(Some(head))
}

fn status(line: &[u8]) -> Option<u16> {
    let code = line.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    number(code).and_then(|code| u16::try_from(code).ok())
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_heads() {
        let text = b"HTTP/1.1 307 Temporary Redirect\r\nLocation:  http://a:1/v1/kv/k \r\n\
            Content-Length: 3\r\nDate: x\r\n\r\nabc";
        let head = parse(text).expect("a head").expect("a whole one");
        assert_eq!((head.status, head.length, head.body), (307, text.len(), text.len() - 3));
        assert_eq!(head.location.as_deref(), Some("http://a:1/v1/kv/k"));
        assert!(!head.close);
        let text = b"HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n";
        assert!(parse(text).expect("a head").expect("a whole one").close);
    }

    #[test]
    fn waits_for_the_end() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(parse(&text[..end]), Ok(None), "{end}");
        }
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let cases: [&[u8]; 5] = [
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            b"HTTP/1.1 20\r\ncontent-length: 0\r\n\r\n",
            b"\r\n\r\n",
        ];
        for text in cases {
            assert!(parse(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
    }
}
