//! Connections between servers, which carry frames over TCP, with or without TLS.
//!
//! Each server dials every other server, and sends its messages on the connection that it dialled.
//! So a pair of servers has two connections, each of which is used in one direction after the
//! greeting. A snapshot is sent on a separate connection, so that it does not delay messages.

mod dial;
mod listen;
mod refusals;
mod snapshot;
#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use raft_core::NodeId;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) use dial::{Dialler, Link};
pub(crate) use listen::Listener;
pub(crate) use refusals::{By, Refusals};
pub(crate) use snapshot::SnapshotLink;

use crate::wire::{self, Frame, HEADER, Header, Hello, WireError};

/// The time limit for the whole greeting.
const GREETING: Duration = Duration::from_secs(3);

/// The time for which sent bytes may stay unacknowledged before the connection counts as broken.
/// Without this limit, a connection that a partition has cut would be restored only after the
/// kernel's own long timeouts.
const UNACKNOWLEDGED: Duration = Duration::from_secs(2);

/// The maximum length of the body of a frame in a greeting, in bytes.
const MAX_GREETING: usize = 4096;

/// Certificates for the connections between servers. Both sides present one, which has to be signed
/// by an authority that the other side trusts, and has to name the server: `node-1`, `node-2`, ..
#[derive(Clone, Debug)]
pub struct Security {
    /// For connections that this server dials.
    pub dial: Arc<rustls::ClientConfig>,
    /// For those that it accepts; must demand a client certificate.
    pub accept: Arc<rustls::ServerConfig>,
}

/// Returns the name that a server's certificate must contain.
pub fn certificate_name(id: NodeId) -> String {
    format!("node-{}", id.0)
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// The reason why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("no answer within {} s", GREETING.as_secs())]
    Slow,
    #[error("{0}")]
    Greeting(#[from] listen::Objection),
    #[error("it refuses: {0}")]
    Refused(String),
    #[error("it says something out of turn")]
    OutOfTurn,
    #[error("{0}")]
    Snapshot(#[from] crate::snapshot_store::SnapshotError),
}

impl NetError {
    /// Returns a label for metrics.
    fn label(&self) -> &'static str {
        match self {
            NetError::Io(_) => "broken",
            NetError::Wire(error) => error.label(),
            NetError::Slow => "slow",
            NetError::Greeting(objection) => objection.label(),
            NetError::Refused(_) => "refused",
            NetError::OutOfTurn => "out_of_turn",
            NetError::Snapshot(_) => "snapshot",
        }
    }
}

/// A connection that carries frames.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

impl Connection {
    fn new(stream: Box<dyn Stream>) -> Connection {
        Connection { stream, buffer: Vec::new() }
    }

    /// Dials a server and greets it.
    async fn dial(
        address: &str,
        hello: Hello,
        security: Option<&Security>,
    ) -> Result<Connection, NetError> {
        let greeting = async {
            let stream = TcpStream::connect(address).await?;
            prepare(&stream)?;
            let stream: Box<dyn Stream> = match security {
                None => Box::new(stream),
                Some(security) => {
                    let name = ServerName::try_from(certificate_name(hello.to))
                        .map_err(io::Error::other)?;
                    let connector = tokio_rustls::TlsConnector::from(security.dial.clone());
                    Box::new(connector.connect(name, stream).await?)
                }
            };
            let mut connection = Connection::new(stream);
            connection.send(&Frame::Hello(hello)).await?;
            match connection.receive(MAX_GREETING).await? {
                Frame::Welcome => Ok(connection),
                Frame::Refused(why) => Err(NetError::Refused(why)),
                _ => Err(NetError::OutOfTurn),
            }
        };
        tokio::time::timeout(GREETING, greeting).await.unwrap_or(Err(NetError::Slow))
    }

    /// Sends one frame.
    async fn send(&mut self, frame: &Frame) -> Result<(), NetError> {
        self.send_all(std::slice::from_ref(frame)).await
    }

    /// Sends several frames together.
    async fn send_all(&mut self, frames: &[Frame]) -> Result<(), NetError> {
        self.buffer.clear();
        for frame in frames {
            wire::encode(frame, &mut self.buffer);
        }
        self.stream.write_all(&self.buffer).await?;
        self.stream.flush().await?;
        // The memory for a large batch must not be kept forever.
        self.buffer.shrink_to(256 << 10);
        Ok(())
    }

    /// Receives one frame, whose body is at most `limit` bytes long.
    async fn receive(&mut self, limit: usize) -> Result<Frame, NetError> {
        let mut header = [0; HEADER];
        self.stream.read_exact(&mut header).await?;
        let header = Header::decode(header)?;
        if header.length > limit {
            let announced = u32::try_from(header.length).unwrap_or(u32::MAX);
            return Err(WireError::TooLong(announced).into());
        }
        self.buffer.resize(header.length, 0);
        self.stream.read_exact(&mut self.buffer).await?;
        let frame = header.decode_body(&self.buffer)?;
        self.buffer.shrink_to(256 << 10);
        Ok(frame)
    }
}

/// Configures a connection to send small messages immediately and to detect a broken connection.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}
