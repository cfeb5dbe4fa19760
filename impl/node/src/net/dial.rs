//! The sending side: one task for each other server, which keeps a connection to that server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::Counter;
use raft_core::NodeId;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{By, Connection, NetError, Refusals, Security};
use crate::metrics::{Direction, OpenConnection};
use crate::panic_supervisor::Supervisor;
use crate::peer_message::PeerMessage;
use crate::wire::{BATCH_BYTES, Hello};

/// The maximum number of messages in the queue to one server. Further messages are dropped, as a
/// network may drop them.
const QUEUE: usize = 4096;

/// The first wait between two attempts to connect. Each further wait is twice as long.
const RETRY: Duration = Duration::from_millis(20);

/// The longest wait for a server that cannot be reached. It is shorter than an election timeout, so
/// that servers that start together are connected before they start elections.
const LONGEST_RETRY: Duration = Duration::from_millis(100);

/// The wait after a server has refused this server. The other server reports each refusal.
const REFUSED_RETRY: Duration = Duration::from_millis(500);

/// The parameters for dialling a server.
#[derive(Clone, Debug)]
pub(crate) struct Dialler {
    pub(crate) address: String,
    pub(crate) hello: Hello,
    pub(crate) security: Option<Security>,
    pub(crate) refusals: Arc<Refusals>,
}

impl Dialler {
    pub(super) async fn dial(&self) -> Result<Connection, NetError> {
        let dialled =
            Connection::dial(&self.address, self.hello.clone(), self.security.as_ref()).await;
        match &dialled {
            Ok(_) => self.refusals.forget(self.hello.to, By::Them),
            Err(NetError::Refused(reason)) => {
                self.refusals.note(self.hello.to, By::Them, Instant::now(), reason);
            }
            Err(_) => {}
        }
        dialled
    }
}

/// A queue of messages to one server.
#[derive(Debug)]
pub(crate) struct Link {
    queue: mpsc::Sender<PeerMessage>,
    sent: Counter,
    dropped: Counter,
}

impl Link {
    /// Starts to connect, and keeps connecting for as long as the link exists. Must be called on a
    /// Tokio runtime.
    pub(crate) fn start(dialler: Dialler, supervisor: &Supervisor) -> Link {
        let (queue, messages) = mpsc::channel(QUEUE);
        let peer = dialler.hello.to.0.to_string();
        supervisor.task("raft-link", keep_connected(dialler, messages));
        Link {
            queue,
            sent: metrics::counter!("raft_messages_sent_total", "peer" => peer.clone()),
            dropped: metrics::counter!("raft_messages_dropped_total", "peer" => peer),
        }
    }

    /// Queues a message, or drops it if the queue is full.
    pub(crate) fn send(&self, message: PeerMessage) {
        match self.queue.try_send(message) {
            Ok(()) => self.sent.increment(1),
            Err(_) => self.dropped.increment(1),
        }
    }
}

async fn keep_connected(dialler: Dialler, mut messages: mpsc::Receiver<PeerMessage>) {
    let peer = dialler.hello.to;
    let mut wait = RETRY;
    let mut last_error = String::new();
    while !messages.is_closed() {
        let error = match dialler.dial().await {
            Ok(connection) => {
                info!(%peer, address = dialler.address, "connected");
                (wait, last_error) = (RETRY, String::new());
                match pass_on(connection, &mut messages).await {
                    Ok(()) => return,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        complain(peer, &dialler.address, &error, &mut last_error);
        let refused = matches!(error, NetError::Refused(_));
        tokio::time::sleep(if refused { REFUSED_RETRY } else { wait }).await;
        wait = (wait * 2).min(LONGEST_RETRY);
        // The messages in the queue are out of date by now.
        while messages.try_recv().is_ok() {}
    }
}

/// Logs an error, unless it is the same as the last one.
fn complain(peer: NodeId, address: &str, error: &NetError, last: &mut String) {
    let text = error.to_string();
    if text != *last {
        warn!(%peer, address, error = text, "no connection; trying again");
        *last = text;
    }
}

/// Sends messages until the connection breaks or the link is dropped.
async fn pass_on(
    mut connection: Connection,
    messages: &mut mpsc::Receiver<PeerMessage>,
) -> Result<(), NetError> {
    let _open = OpenConnection::new(Direction::Outgoing);
    let mut batch = Vec::new();
    let mut frames = Vec::new();
    loop {
        if messages.recv_many(&mut batch, 64).await == 0 {
            return Ok(());
        }
        frames.extend(batch.drain(..).flat_map(|message| message.frames(BATCH_BYTES)));
        // A long batch is sent in parts, so that only a small part of it is in memory twice.
        for part in frames.chunks(16) {
            connection.send_all(part).await?;
        }
        frames.clear();
    }
}
