//! Snapshots on their way: offered, resumed where a broken connection left off, and stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use raft_core::{InstallSnapshot, Message, NodeId};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::{Connection, Dialler, FromPeer, NetError};
use crate::metrics::{Direction, OpenConnection, SnapshotOperation};
use crate::replica::Said;
use crate::snapshot_store::{SnapshotError, SnapshotStore};
use crate::snapshot_transfer::{Receiving, Sending};
use crate::supervisor::Supervisor;
use crate::wire::{CHUNK, Frame, MAX_BODY};

/// How long either side may be silent. Storing the end of a large file can take a while.
const SILENCE: Duration = Duration::from_secs(30);

/// How long to wait after a snapshot did not arrive.
const RETRY: Duration = Duration::from_millis(500);

/// Whether a snapshot is on its way to a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct SnapshotLink(Arc<Progress>);

#[derive(Debug, Default)]
struct Progress {
    /// Somebody is trying.
    busy: AtomicBool,
    /// The other side has answered and is receiving.
    receiving: AtomicBool,
}

impl SnapshotLink {
    /// Whether the other side is receiving a snapshot.
    pub(crate) fn is_receiving(&self) -> bool {
        self.0.receiving.load(Ordering::Acquire)
    }

    /// Begins to send a snapshot, unless one is on its way. Must be called on a runtime.
    pub(crate) fn start(
        &self,
        dialler: Dialler,
        offer: InstallSnapshot,
        store: SnapshotStore,
        supervisor: &Supervisor,
    ) {
        if self.0.busy.swap(true, Ordering::AcqRel) {
            return;
        }
        let progress = self.0.clone();
        supervisor.task("raft-send-snapshot", async move {
            let (peer, index) = (dialler.hello.to, offer.snapshot.last_included_index);
            match send_snapshot(&dialler, offer, &store, &progress.receiving).await {
                Ok(()) => info!(%peer, %index, "the snapshot is there"),
                Err(error) => {
                    // That nobody is there, the other connection has said.
                    if progress.receiving.load(Ordering::Acquire) {
                        warn!(%peer, %index, %error, "a snapshot did not arrive");
                        SnapshotOperation::Send.failed();
                    } else {
                        debug!(%peer, %index, %error, "a snapshot cannot be sent");
                    }
                    progress.receiving.store(false, Ordering::Release);
                    tokio::time::sleep(RETRY).await;
                }
            }
            progress.receiving.store(false, Ordering::Release);
            progress.busy.store(false, Ordering::Release);
        });
    }
}

/// Sends a snapshot; when this returns, the other side has stored it.
async fn send_snapshot(
    dialler: &Dialler,
    offer: InstallSnapshot,
    store: &SnapshotStore,
    receiving: &AtomicBool,
) -> Result<(), NetError> {
    let mut sending = Sending::begin(&offer, store, CHUNK)?;
    let mut connection = dialler.dial().await?;
    let _open = OpenConnection::new(Direction::Outgoing);
    let began = Instant::now();
    receiving.store(true, Ordering::Release);
    let (peer, name) = (dialler.hello.to, sending.name());
    info!(%peer, index = %name.last_included.index, bytes = name.length, "sending a snapshot");
    connection.send(&Frame::SnapshotOffer(offer)).await?;
    let Frame::SnapshotWanted(offset) = silent(connection.receive(MAX_BODY)).await? else {
        return Err(NetError::OutOfTurn);
    };
    sending.go_on_at(offset);
    loop {
        let (returned, chunk) = blocking(move || {
            let chunk = sending.next_chunk()?;
            Ok((sending, chunk))
        })
        .await?;
        sending = returned;
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

async fn silent<T>(future: impl Future<Output = Result<T, NetError>>) -> Result<T, NetError> {
    tokio::time::timeout(SILENCE, future).await.unwrap_or(Err(NetError::Slow))
}

/// Receives a snapshot, stores it durably, and only then says that it came.
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
    let said = Said::Message(Message::InstallSnapshot(offer));
    if inbox.send(FromPeer { from, said }).await.is_err() {
        return Ok(());
    }
    connection.send(&Frame::SnapshotStored).await
}

/// Does something with files where it delays nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, NetError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => match error.try_into_panic() {
            // It is the task's that wanted it done.
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(NetError::Io(std::io::Error::other(error))),
        },
    }
}
