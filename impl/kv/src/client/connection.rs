//! A connection to one server.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_rustls::client::TlsStream;

use super::{Address, Tls};

/// The maximum length of the body of an answer, in bytes.
const LONGEST_BODY: usize = 64 << 20;

/// A byte stream to and from a server, with or without TLS.
#[derive(Debug)]
pub enum Stream {
    /// A stream without TLS.
    Plain(TcpStream),
    /// A stream with TLS.
    Secure(Box<TlsStream<TcpStream>>),
}

/// Connects to a server.
///
/// # Errors
///
/// The connection cannot be opened, or TLS fails. [`io::ErrorKind::Unsupported`] means that the
/// server does not speak TLS.
pub async fn connect(server: &Address, tls: Option<&Tls>) -> io::Result<Stream> {
    let stream = TcpStream::connect((server.host(), server.port())).await?;
    stream.set_nodelay(true)?;
    if !server.is_secure() {
        return Ok(Stream::Plain(stream));
    }
    let no_authority = || io::Error::other("TLS without an authority's certificate");
    let tls = tls.ok_or_else(no_authority)?;
    Ok(Stream::Secure(Box::new(tls.wrap(server, stream).await?)))
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Secure(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Secure(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Secure(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Secure(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A complete answer of a server.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The reason why there is no answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// The server has not received the request.
    NotSent(String),
    /// The server may have received the request or a part of it.
    Sent(String),
    /// The server has not received the request, because it does not speak TLS.
    NotTls,
}

/// A connection that is kept for the next request.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) server: Address,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Connects to a server, at the latest at `end`. A background task reads and writes as long as
    /// the connection exists.
    pub(super) async fn open(
        server: &Address,
        tls: Option<&Tls>,
        end: Instant,
    ) -> Result<Connection, Lost> {
        let not_sent = |reason: String| Lost::NotSent(format!("{server}: {reason}"));
        let opening = async {
            let stream = connect(server, tls).await.map_err(|error| match error.kind() {
                io::ErrorKind::Unsupported => Lost::NotTls,
                _ => not_sent(cause(&error)),
            })?;
            handshake(TokioIo::new(stream)).await.map_err(|error| not_sent(cause(&error)))
        };
        let opened = timeout_at(end.into(), opening).await;
        let (sender, connection) =
            opened.map_err(|_| not_sent("no connection in time".to_owned()))??;
        // The request that waits for the answer gets the error of this task.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { server: server.clone(), sender })
    }

    /// Returns whether the connection can still be used, as far as the client knows.
    pub(super) fn is_usable(&self) -> bool {
        self.sender.is_ready() && !self.sender.is_closed()
    }

    /// Sends a request and waits for the whole answer, at the latest until `end`.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        end: Instant,
    ) -> Result<Reply, Lost> {
        let began = Instant::now();
        let answered = timeout_at(end.into(), self.try_exchange(request)).await;
        let in_time = answered.unwrap_or_else(|_| {
            let waited = began.elapsed().as_secs_f64();
            Err(Lost::Sent(format!("no answer within {waited:.1} s")))
        });
        in_time.map_err(|lost| match lost {
            Lost::NotSent(reason) => Lost::NotSent(format!("{}: {reason}", self.server)),
            Lost::Sent(reason) => Lost::Sent(format!("{}: {reason}", self.server)),
            Lost::NotTls => Lost::NotTls,
        })
    }

    async fn try_exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Reply, Lost> {
        self.sender.ready().await.map_err(|error| Lost::NotSent(cause(&error)))?;
        let response = self.sender.try_send_request(request).await.map_err(|mut error| {
            // If the error contains the request, no byte of the request was written.
            let returned = error.take_message().is_some();
            let reason = cause(&error.into_error());
            if returned { Lost::NotSent(reason) } else { Lost::Sent(reason) }
        })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LONGEST_BODY).collect().await;
        let body = body.map_err(|error| Lost::Sent(cause(&*error)))?.to_bytes();
        Ok(Reply { status: head.status, headers: head.headers, body })
    }
}

/// Returns the innermost reason of an error, which is the most useful one for people.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    // The error number adds nothing to the words before it.
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
