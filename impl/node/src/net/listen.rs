//! The receiving side: answers greetings, and passes on the messages of the servers of the cluster.
//!
//! The sender of a greeting is unknown at first, and all claims in the greeting are unverified.
//! With TLS, the certificate is compared with the claimed id before any other claim is checked. The
//! disk in the greeting is stored last, after all other checks have succeeded. Without TLS, the
//! claimed id cannot be verified.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use raft_core::NodeId;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tracing::{debug, info, warn};

use super::{By, Connection, GREETING, MAX_GREETING, NetError, Refusals, Security, Stream};
use crate::log_store::{Identity, members};
use crate::metrics::{Direction, OpenConnection, rejected_frame};
use crate::panic_supervisor::Supervisor;
use crate::peer_message::{FromPeer, PeerMessage};
use crate::snapshot_store::SnapshotStore;
use crate::wire::{Frame, Hello, MAX_BODY, Purpose};

/// The maximum number of connections that may be in their greeting at once. Further connections are
/// closed.
const GREETINGS: usize = 256;

/// The listener for connections of other servers.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) identity: Identity,
    pub(crate) security: Option<Security>,
    pub(crate) snapshots: SnapshotStore,
    pub(crate) inbox: mpsc::Sender<FromPeer>,
    pub(crate) refusals: Arc<Refusals>,
    /// The newest connection of each server for each purpose. It replaces the previous one.
    pub(crate) live: Mutex<BTreeMap<(NodeId, bool), AbortHandle>>,
    /// The disk in the first accepted greeting of each server. It is kept until this server is
    /// restarted.
    pub(crate) disks: Mutex<BTreeMap<NodeId, u64>>,
    pub(crate) supervisor: Supervisor,
}

/// The reason why a greeting is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Objection {
    #[error("the certificate does not name {0}")]
    Certificate(NodeId),
    #[error("this is cluster \"{here}\", not \"{there}\"")]
    OtherCluster { here: String, there: String },
    #[error("this is {here}, not {wanted}; check the addresses")]
    WrongAddress { here: NodeId, wanted: NodeId },
    #[error("there is another {0}: two servers have one id")]
    SameId(NodeId),
    #[error("the members differ: {from} has {}, {here} has {}", members(theirs), members(ours))]
    OtherMembers { from: NodeId, theirs: BTreeSet<NodeId>, here: NodeId, ours: BTreeSet<NodeId> },
    #[error("{0} is not a member of this cluster")]
    NoMember(NodeId),
    #[error(
        "{0} has been here with another data directory: either two servers have one id, or {0} has \
         lost its data, and then it could vote twice. If it was replaced on purpose, restart this \
         server"
    )]
    OtherDisk(NodeId),
}

impl Objection {
    /// Returns a label for metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Objection::Certificate(_) => "certificate",
            Objection::OtherCluster { .. } => "other_cluster",
            Objection::WrongAddress { .. } => "wrong_address",
            Objection::SameId(_) => "same_id",
            Objection::OtherMembers { .. } => "other_members",
            Objection::NoMember(_) => "no_member",
            Objection::OtherDisk(_) => "other_disk",
        }
    }
}

impl Listener {
    /// Accepts connections forever.
    pub(crate) async fn run(self: Arc<Self>, socket: TcpListener) {
        let greetings = Arc::new(Semaphore::new(GREETINGS));
        loop {
            let stream = match socket.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Probably there are no file descriptors left. Existing connections continue.
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
        if let Err(objection) = self.examine(&hello, certificate.as_ref()) {
            let why = objection.to_string();
            warn!(from = %hello.from, why, "a server was refused");
            connection.send(&Frame::Refused(why)).await?;
            return Err(objection.into());
        }
        connection.send(&Frame::Welcome).await?;
        Ok((connection, hello))
    }

    /// Decides whether to accept a greeting. The identity of the sender is verified first. Before
    /// that, nothing from the greeting is stored, neither for `status` nor for later greetings.
    fn examine(
        &self,
        hello: &Hello,
        certificate: Option<&CertificateDer<'static>>,
    ) -> Result<(), Objection> {
        if self.security.is_some() && !names(certificate, hello.from) {
            return Err(Objection::Certificate(hello.from));
        }
        let examined = self.belongs(hello).and_then(|()| self.recognize(hello));
        if let Err(objection) = &examined
            && self.identity.voters.contains(&hello.from)
        {
            let why = objection.to_string();
            self.refusals.note(hello.from, By::Us, Instant::now(), &why);
        }
        examined
    }

    /// Checks that the sender is another server of this cluster, and wants to reach this server.
    fn belongs(&self, hello: &Hello) -> Result<(), Objection> {
        let Identity { cluster, node: here, voters, .. } = &self.identity;
        let from = hello.from;
        if hello.cluster != *cluster {
            let (here, there) = (cluster.clone(), hello.cluster.clone());
            return Err(Objection::OtherCluster { here, there });
        }
        if hello.to != *here {
            return Err(Objection::WrongAddress { here: *here, wanted: hello.to });
        }
        if from == *here {
            return Err(Objection::SameId(from));
        }
        if hello.voters != *voters {
            let (theirs, ours) = (hello.voters.clone(), voters.clone());
            return Err(Objection::OtherMembers { from, theirs, here: *here, ours });
        }
        if !voters.contains(&from) {
            return Err(Objection::NoMember(from));
        }
        Ok(())
    }

    /// Checks that the sender has the same disk as in its first greeting. Stores the disk of a
    /// first greeting.
    fn recognize(&self, hello: &Hello) -> Result<(), Objection> {
        let mut disks = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        let known = *disks.entry(hello.from).or_insert(hello.disk);
        if known == hello.disk { Ok(()) } else { Err(Objection::OtherDisk(hello.from)) }
    }

    /// Serves a connection whose greeting was accepted. It replaces the earlier connection of that
    /// server.
    fn serve(self: &Arc<Self>, connection: Connection, hello: &Hello) {
        let (from, purpose) = (hello.from, hello.purpose);
        let listener = self.clone();
        let task = self.supervisor.task("raft-connection", async move {
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
        if let Some(earlier) = live.insert((from, purpose == Purpose::Snapshot), task) {
            earlier.abort();
        }
    }

    async fn messages(&self, mut connection: Connection, from: NodeId) -> Result<(), NetError> {
        loop {
            let frame = connection.receive(MAX_BODY).await?;
            let message = PeerMessage::of(frame).ok_or(NetError::OutOfTurn)?;
            // A full inbox slows the sender down.
            if self.inbox.send(FromPeer { from, message }).await.is_err() {
                return Ok(());
            }
        }
    }
}

fn names(certificate: Option<&CertificateDer<'static>>, id: NodeId) -> bool {
    let Some(certificate) = certificate else { return false };
    let Ok(name) = ServerName::try_from(super::certificate_name(id)) else { return false };
    webpki::EndEntityCert::try_from(certificate)
        .is_ok_and(|certificate| certificate.verify_is_valid_for_subject_name(&name).is_ok())
}

fn rejected(reason: &'static str) {
    rejected_frame(reason).increment(1);
}
