//! Snapshots on their way: offered, resumed where a broken connection left off, and stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use raft_core::{Bytes, InstallSnapshot, Message, NodeId};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{Connection, Dialler, FromPeer, NetError, Said};
use crate::snapshot_store::{SnapshotError, SnapshotName, SnapshotStore};
use crate::wire::{CHUNK, Chunk, Frame, MAX_BODY};

/// How long either side may be silent. Storing the end of a large file can take a while.
const SILENCE: Duration = Duration::from_secs(30);

/// Whether a snapshot is on its way to a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct SnapshotLink {
    busy: Arc<AtomicBool>,
}

impl SnapshotLink {
    /// Whether a snapshot is on its way.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Begins to send a snapshot, unless one is on its way; returns whether it began. Must be called
    /// on a runtime.
    pub(crate) fn start(
        &self,
        dialler: Dialler,
        offer: InstallSnapshot,
        store: SnapshotStore,
    ) -> bool {
        if self.busy.swap(true, Ordering::AcqRel) {
            return false;
        }
        let busy = self.busy.clone();
        tokio::spawn(async move {
            let (peer, index) = (dialler.hello.to, offer.snapshot.last_included_index);
            info!(%peer, %index, "sending a snapshot");
            match send_snapshot(&dialler, offer, &store).await {
                Ok(()) => info!(%peer, %index, "the snapshot is there"),
                Err(error) => warn!(%peer, %index, %error, "a snapshot did not arrive"),
            }
            busy.store(false, Ordering::Release);
        });
        true
    }
}

/// Sends a snapshot; when this returns, the other side has stored it.
async fn send_snapshot(
    dialler: &Dialler,
    offer: InstallSnapshot,
    store: &SnapshotStore,
) -> Result<(), NetError> {
    let name = SnapshotName::of(&offer.snapshot)?;
    store.require(name)?;
    let mut connection = dialler.dial().await?;
    connection.send(&Frame::SnapshotOffer(offer)).await?;
    let Frame::SnapshotWanted(mut offset) = silent(connection.receive(MAX_BODY)).await? else {
        return Err(NetError::OutOfTurn);
    };
    let path = store.path(name);
    let mut file = tokio::fs::File::open(&path).await?;
    tokio::io::AsyncSeekExt::seek(&mut file, std::io::SeekFrom::Start(offset)).await?;
    let mut data = vec![0; CHUNK];
    while offset < name.length {
        let wanted = usize::try_from(name.length - offset).unwrap_or(CHUNK).min(CHUNK);
        tokio::io::AsyncReadExt::read_exact(&mut file, &mut data[..wanted]).await?;
        let chunk = Chunk { offset, data: Bytes::from(&data[..wanted]) };
        silent(connection.send(&Frame::SnapshotChunk(chunk))).await?;
        offset += wanted as u64;
    }
    match silent(connection.receive(MAX_BODY)).await? {
        Frame::SnapshotStored => Ok(()),
        Frame::Refused(why) => Err(NetError::Refused(why)),
        _ => Err(NetError::OutOfTurn),
    }
}

async fn silent<T>(future: impl Future<Output = Result<T, NetError>>) -> Result<T, NetError> {
    tokio::time::timeout(SILENCE, future).await.unwrap_or(Err(NetError::Slow))
}

/// Receives a snapshot, stores it durably, and only then says that it came.
pub(super) async fn receive(
    mut connection: Connection,
    from: NodeId,
    store: &SnapshotStore,
    inbox: &mpsc::Sender<FromPeer>,
) -> Result<(), NetError> {
    let Frame::SnapshotOffer(offer) = silent(connection.receive(MAX_BODY)).await? else {
        return Err(NetError::OutOfTurn);
    };
    let name = SnapshotName::of(&offer.snapshot)?;
    if store.require(name).is_ok() {
        connection.send(&Frame::SnapshotWanted(name.length)).await?;
    } else {
        store_chunks(&mut connection, store.clone(), name).await?;
    }
    let said = Said::Message(Message::InstallSnapshot(offer));
    if inbox.send(FromPeer { from, said }).await.is_err() {
        return Ok(());
    }
    connection.send(&Frame::SnapshotStored).await
}

async fn store_chunks(
    connection: &mut Connection,
    store: SnapshotStore,
    name: SnapshotName,
) -> Result<(), NetError> {
    let mut incoming = blocking(move || store.receive(name)).await?;
    connection.send(&Frame::SnapshotWanted(incoming.length())).await?;
    let mut complete = incoming.length() == name.length;
    while !complete {
        let Frame::SnapshotChunk(chunk) = silent(connection.receive(MAX_BODY)).await? else {
            return Err(NetError::OutOfTurn);
        };
        (incoming, complete) = blocking(move || {
            let complete = incoming.add(chunk.offset, chunk.data.as_slice())?;
            Ok((incoming, complete))
        })
        .await?;
    }
    blocking(move || incoming.finish()).await
}

/// Does something with files where it delays nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, NetError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(NetError::Io(std::io::Error::other(error))),
    }
}
