//! The receiving side: greets whoever dials, and hands on what servers of the cluster say.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use raft_core::NodeId;
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tracing::{debug, info, warn};

use super::{Connection, GREETING, MAX_GREETING, NetError, Security, Stream};
use crate::metrics::{Direction, OpenConnection, rejected_frame};
use crate::replica::Said;
use crate::snapshot_store::SnapshotStore;
use crate::wire::{Frame, Hello, MAX_BODY, Purpose};

/// How many connections may be in their greeting at once. Further ones are closed.
const GREETINGS: usize = 256;

/// Something that another server said.
#[derive(Debug)]
pub(crate) struct FromPeer {
    pub(crate) from: NodeId,
    pub(crate) said: Said,
}

/// Who may connect, and where what they say goes.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) id: NodeId,
    pub(crate) cluster: String,
    pub(crate) voters: BTreeSet<NodeId>,
    pub(crate) security: Option<Security>,
    pub(crate) snapshots: SnapshotStore,
    pub(crate) inbox: mpsc::Sender<FromPeer>,
    /// The newest connection of each server for each purpose; it replaces the one before.
    pub(crate) live: Mutex<BTreeMap<(NodeId, bool), AbortHandle>>,
    /// The disk with which each server introduced itself first.
    pub(crate) disks: Mutex<BTreeMap<NodeId, u64>>,
}

impl Listener {
    /// Accepts connections for ever.
    pub(crate) async fn run(self: Arc<Self>, socket: TcpListener) {
        let greetings = Arc::new(Semaphore::new(GREETINGS));
        loop {
            let stream = match socket.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: existing connections go on.
                    warn!(%error, "cannot accept connections for the moment");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(permit) = greetings.clone().try_acquire_owned() else {
                rejected("too_many_connections");
                continue;
            };
            let listener = self.clone();
            tokio::spawn(async move {
                let greeting = tokio::time::timeout(GREETING, listener.greet(stream)).await;
                drop(permit);
                match greeting.unwrap_or(Err(NetError::Slow)) {
                    Ok((connection, hello)) => listener.serve(connection, &hello),
                    Err(error) => {
                        rejected(error.label());
                        debug!(%error, "a connection was refused");
                    }
                }
            });
        }
    }

    async fn greet(&self, stream: TcpStream) -> Result<(Connection, Hello), NetError> {
        super::prepare(&stream)?;
        let mut certificate = None;
        let stream: Box<dyn Stream> = match &self.security {
            None => Box::new(stream),
            Some(security) => {
                let acceptor = tokio_rustls::TlsAcceptor::from(security.accept.clone());
                let stream = acceptor.accept(stream).await?;
                let presented = stream.get_ref().1.peer_certificates();
                certificate =
                    presented.and_then(|chain| chain.first()).map(|c| c.clone().into_owned());
                Box::new(stream)
            }
        };
        let mut connection = Connection::new(stream);
        let Frame::Hello(hello) = connection.receive(MAX_GREETING).await? else {
            return Err(NetError::OutOfTurn);
        };
        let mut objection = self.objection(&hello);
        if self.security.is_some() && !names(certificate.as_ref(), hello.from) {
            objection = Some(format!("the certificate does not name {}", hello.from));
        }
        if let Some(why) = objection {
            warn!(from = %hello.from, why, "a server was refused");
            connection.send(&Frame::Refused(why.clone())).await?;
            return Err(NetError::Refused(why));
        }
        connection.send(&Frame::Welcome).await?;
        Ok((connection, hello))
    }

    /// Why a server that introduces itself like this is not to be listened to.
    fn objection(&self, hello: &Hello) -> Option<String> {
        let Hello { cluster, from, to, disk, .. } = hello;
        if *cluster != self.cluster {
            return Some(format!("this is cluster \"{}\", not \"{cluster}\"", self.cluster));
        }
        if *to != self.id {
            return Some(format!("this is {}, not {to}; check the addresses", self.id));
        }
        if *from == self.id {
            return Some(format!("there is another {from}: two servers have one id"));
        }
        if !self.voters.contains(from) {
            return Some(format!("{from} is not a member of this cluster"));
        }
        let mut disks = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        let known = *disks.entry(*from).or_insert(*disk);
        (known != *disk).then(|| {
            format!(
                "{from} has been here with another data directory: either two servers have one id, \
                 or {from} has lost its data, and then it could vote twice. If it was replaced on \
                 purpose, restart this server"
            )
        })
    }

    /// Listens to a server that was greeted, in place of its earlier connection.
    fn serve(self: &Arc<Self>, connection: Connection, hello: &Hello) {
        let (from, purpose) = (hello.from, hello.purpose);
        let listener = self.clone();
        let task = tokio::spawn(async move {
            let _open = OpenConnection::new(Direction::Incoming);
            info!(%from, ?purpose, "a server connected");
            let end = match purpose {
                Purpose::Messages => listener.messages(connection, from).await,
                Purpose::Snapshot => {
                    super::snapshot::receive(connection, from, &listener.snapshots, &listener.inbox)
                        .await
                }
            };
            match end {
                Ok(()) => {}
                Err(NetError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    info!(%from, "a server disconnected");
                }
                Err(error) => {
                    rejected(error.label());
                    warn!(%from, %error, "the connection of a server ended");
                }
            }
        });
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) =
            live.insert((from, purpose == Purpose::Snapshot), task.abort_handle())
        {
            earlier.abort();
        }
    }

    async fn messages(&self, mut connection: Connection, from: NodeId) -> Result<(), NetError> {
        loop {
            let frame = connection.receive(MAX_BODY).await?;
            let said = Said::of(frame).ok_or(NetError::OutOfTurn)?;
            // A full inbox slows the sender down.
            if self.inbox.send(FromPeer { from, said }).await.is_err() {
                return Ok(());
            }
        }
    }
}

fn names(certificate: Option<&rustls::pki_types::CertificateDer<'static>>, id: NodeId) -> bool {
    let Some(certificate) = certificate else { return false };
    let Ok(name) = ServerName::try_from(super::certificate_name(id)) else { return false };
    webpki::EndEntityCert::try_from(certificate)
        .is_ok_and(|certificate| certificate.verify_is_valid_for_subject_name(&name).is_ok())
}

fn rejected(reason: &'static str) {
    rejected_frame(reason).increment(1);
}
