//! A network that can be cut: every connection goes through a proxy.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// The way in which a link treats connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It passes on everything.
    Open,
    /// It accepts connections, but passes on nothing in either direction until it is opened again.
    /// Then everything arrives.
    Stalled,
    /// It resets existing and new connections.
    Reset,
    /// It resets each connection after this many bytes from the side that opened it.
    ResetAfter(u64),
}

/// A proxy for the connections from one side to another, in both directions of each connection.
#[derive(Debug)]
pub(crate) struct Link {
    /// The port at which it accepts connections.
    pub(crate) port: u16,
    mode: watch::Sender<Mode>,
    resets: Arc<AtomicU64>,
}

impl Link {
    /// Creates a link to a port on loopback, which need not be open yet.
    pub(crate) fn new(runtime: &Handle, target: u16) -> Link {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (mode, modes) = watch::channel(Mode::Open);
        let resets = Arc::new(AtomicU64::new(0));
        runtime.spawn(accept(listener, target, modes, resets.clone()));
        Link { port, mode, resets }
    }

    /// Sets the mode from now on.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Returns the number of connections that were reset while they were open.
    pub(crate) fn resets(&self) -> u64 {
        self.resets.load(Ordering::Relaxed)
    }
}

async fn accept(
    listener: TcpListener,
    target: u16,
    modes: watch::Receiver<Mode>,
    resets: Arc<AtomicU64>,
) {
    loop {
        // A connection that is closed before it is accepted is ignored.
        if let Ok((near, _)) = listener.accept().await {
            tokio::spawn(relay(near, target, modes.clone(), resets.clone()));
        }
    }
}

/// Relays one connection, until either side closes it or the link resets it.
async fn relay(
    mut near: TcpStream,
    target: u16,
    mut modes: watch::Receiver<Mode>,
    resets: Arc<AtomicU64>,
) {
    let mode = passable(&mut modes).await;
    let far = match mode {
        Some(Mode::Reset) | None => Err(io::ErrorKind::ConnectionReset.into()),
        Some(_) => TcpStream::connect(("127.0.0.1", target)).await,
    };
    let Ok(mut far) = far else { return reset(&near) };
    // The same as on a connection without a proxy.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ended = {
        let (mut near_in, mut near_out) = near.split();
        let (mut far_in, mut far_out) = far.split();
        tokio::select! {
            ended = pump(&mut near_in, &mut far_out, modes.clone(), true) => ended,
            ended = pump(&mut far_in, &mut near_out, modes.clone(), false) => ended,
            _ = modes.wait_for(|mode| *mode == Mode::Reset) => Ended::Reset,
        }
    };
    if ended == Ended::Reset {
        resets.fetch_add(1, Ordering::Relaxed);
        reset(&near);
        reset(&far);
    }
}

/// The reason why a connection has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    HungUp,
    Reset,
}

/// Copies bytes in one direction. Only the bytes of the side that opened the connection count
/// towards [`Mode::ResetAfter`].
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut modes: watch::Receiver<Mode>,
    dialled: bool,
) -> Ended {
    let mut buffer = vec![0; 16 << 10];
    let mut carried = 0;
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return Ended::HungUp };
        // The link may have been stalled after these bytes were sent. Then they wait, too.
        let mode = passable(&mut modes).await;
        carried += read as u64;
        if dialled && matches!(mode, Some(Mode::ResetAfter(limit)) if carried > limit) {
            return Ended::Reset;
        }
        if mode.is_none() || to.write_all(&buffer[..read]).await.is_err() {
            return Ended::HungUp;
        }
    }
}

/// Waits while the link is stalled. Returns its mode, or `None` if the link does not exist any
/// more.
async fn passable(modes: &mut watch::Receiver<Mode>) -> Option<Mode> {
    modes.wait_for(|mode| *mode != Mode::Stalled).await.ok().map(|mode| *mode)
}

/// Makes the system reset the connection when it is closed.
fn reset(stream: &TcpStream) {
    // If this fails, the connection is broken already, as intended.
    let _ = stream.set_zero_linger();
}
