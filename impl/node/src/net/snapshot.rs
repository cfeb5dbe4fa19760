//! The transfer of snapshots over connections: they are offered, resumed after a broken connection,
//! and stored.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use raft_core::{InstallSnapshot, Message, NodeId};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::{Connection, Dialler, NetError};
use crate::metrics::{Direction, OpenConnection, SnapshotOperation};
use crate::panic_supervisor::Supervisor;
use crate::peer_message::{FromPeer, PeerMessage};
use crate::snapshot_store::{SnapshotError, SnapshotStore};
use crate::snapshot_transfer::{Attempt, Outbound, Receiving};
use crate::wire::{CHUNK, Frame, MAX_BODY};

/// The maximum time for which either side may send nothing. Storing the end of a large file can
/// take a while.
const SILENCE: Duration = Duration::from_secs(30);

/// The wait after a snapshot did not arrive.
const RETRY: Duration = Duration::from_millis(500);

/// The transfers of snapshots to one server, one at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct SnapshotLink(Arc<Mutex<Progress>>);

#[derive(Debug, Default)]
struct Progress {
    /// Whether a transfer is running.
    busy: bool,
    /// The time at which the receiver last accepted a part. None if the transfer is complete or
    /// given up, or if the receiver cannot be reached.
    took: Option<Instant>,
    outbound: Outbound,
}

impl SnapshotLink {
    /// Returns whether the receiver is receiving a snapshot, or is about to continue with one.
    pub(crate) fn is_receiving(&self) -> bool {
        self.lock().took.is_some_and(|took| took.elapsed() < SILENCE)
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to send a snapshot, or continues the one that a broken connection left unfinished,
    /// unless a transfer is running. Must be called on a Tokio runtime.
    pub(crate) fn start(
        &self,
        dialler: Dialler,
        offer: InstallSnapshot,
        store: &SnapshotStore,
        supervisor: &Supervisor,
    ) {
        let mut progress = self.lock();
        if progress.busy {
            return;
        }
        let peer = dialler.hello.to;
        let attempt = match progress.outbound.attempt(offer, store, CHUNK) {
            Ok(attempt) => attempt,
            Err(error) => return debug!(%peer, %error, "a snapshot cannot be sent"),
        };
        progress.busy = true;
        drop(progress);
        let link = self.clone();
        supervisor.task("raft-send-snapshot", async move {
            let index = attempt.offer.snapshot.last_included_index;
            match link.send(&dialler, attempt).await {
                Ok(()) => info!(%peer, %index, "the snapshot is there"),
                Err(error) => {
                    // If the server cannot be reached, the connection for messages reports that
                    // already.
                    if link.lock().took.is_some() {
                        warn!(%peer, %index, %error, "a snapshot did not arrive; it is tried again");
                        SnapshotOperation::Send.failed();
                    } else {
                        debug!(%peer, %index, %error, "a snapshot cannot be sent");
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
            link.lock().busy = false;
        });
    }

    /// Sends a snapshot. When this returns without an error, the receiver has stored the snapshot.
    async fn send(&self, dialler: &Dialler, mut attempt: Attempt) -> Result<(), NetError> {
        let sent = match dialler.dial().await {
            Ok(mut connection) => self.send_on(&mut connection, &mut attempt).await,
            Err(error) => {
                self.lock().took = None;
                Err(error)
            }
        };
        let mut progress = self.lock();
        if sent.is_ok() || !progress.outbound.broke(attempt) {
            progress.took = None;
        }
        sent
    }

    async fn send_on(
        &self,
        connection: &mut Connection,
        attempt: &mut Attempt,
    ) -> Result<(), NetError> {
        let (name, began) = (attempt.sending.name(), Instant::now());
        let _open = OpenConnection::new(Direction::Outgoing);
        info!(index = %name.last_included.index, bytes = name.length, "sending a snapshot");
        connection.send(&Frame::SnapshotOffer(attempt.offer.clone())).await?;
        let Frame::SnapshotWanted(offset) = silent(connection.receive(MAX_BODY)).await? else {
            return Err(NetError::OutOfTurn);
        };
        attempt.go_on_at(offset);
        loop {
            self.lock().took = Some(Instant::now());
            let mut sending = attempt.sending.clone();
            let read = blocking(move || sending.next_chunk().map(|chunk| (sending, chunk)));
            let (sending, chunk) = read.await?;
            attempt.sending = sending;
            let Some(chunk) = chunk else { break };
            silent(connection.send(&chunk)).await?;
        }
        match silent(connection.receive(MAX_BODY)).await? {
            Frame::SnapshotStored => {
                SnapshotOperation::Send.done(began, name.length);
                Ok(())
            }
            Frame::Refused(why) => Err(NetError::Refused(why)),
            _ => Err(NetError::OutOfTurn),
        }
    }
}

async fn silent<T>(future: impl Future<Output = Result<T, NetError>>) -> Result<T, NetError> {
    tokio::time::timeout(SILENCE, future).await.unwrap_or(Err(NetError::Slow))
}

/// Receives a snapshot, stores it durably, and only then passes its message to the node.
pub(super) async fn receive(
    connection: Connection,
    from: NodeId,
    store: &SnapshotStore,
    inbox: &mpsc::Sender<FromPeer>,
) -> Result<(), NetError> {
    let received = receive_and_store(connection, from, store, inbox).await;
    if received.is_err() {
        SnapshotOperation::Receive.failed();
    }
    received
}

async fn receive_and_store(
    mut connection: Connection,
    from: NodeId,
    store: &SnapshotStore,
    inbox: &mpsc::Sender<FromPeer>,
) -> Result<(), NetError> {
    let Frame::SnapshotOffer(offer) = silent(connection.receive(MAX_BODY)).await? else {
        return Err(NetError::OutOfTurn);
    };
    let began = Instant::now();
    let (offered, store) = (offer.clone(), store.clone());
    let mut receiving = blocking(move || Receiving::begin(&offered, &store)).await?;
    connection.send(&Frame::SnapshotWanted(receiving.here())).await?;
    while !receiving.is_complete() {
        let Frame::SnapshotChunk(chunk) = silent(connection.receive(MAX_BODY)).await? else {
            return Err(NetError::OutOfTurn);
        };
        receiving = blocking(move || {
            receiving.add(&chunk)?;
            Ok(receiving)
        })
        .await?;
    }
    let length = receiving.here();
    blocking(move || receiving.finish()).await?;
    SnapshotOperation::Receive.done(began, length);
    let message = PeerMessage::Message(Message::InstallSnapshot(offer));
    if inbox.send(FromPeer { from, message }).await.is_err() {
        return Ok(());
    }
    connection.send(&Frame::SnapshotStored).await
}

/// Runs file operations on a thread where they do not delay other tasks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, NetError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => match error.try_into_panic() {
            // The calling task has to panic as well.
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(NetError::Io(std::io::Error::other(error))),
        },
    }
}
