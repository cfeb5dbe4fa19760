//! Greetings over real sockets, with and without certificates.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use raft_core::NodeId;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::{By, Dialler, Listener, NetError, Refusals, Security, certificate_name};
use crate::directory::OsDirectory;
use crate::log_store::Identity;
use crate::panic_supervisor::Supervisor;
use crate::snapshot_store::SnapshotStore;
use crate::wire::{Hello, Purpose};

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);
const THREE: NodeId = NodeId(3);
const FOUR: NodeId = NodeId(4);
const FIVE: NodeId = NodeId(5);

/// The authority that signs the certificates of a cluster.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Returns the TLS configuration of a server, with a certificate for its id.
    fn security(&self, id: NodeId) -> Security {
        let params = CertificateParams::new([certificate_name(id)]).unwrap();
        let key = KeyPair::generate().unwrap();
        let chain = vec![params.signed_by(&key, &self.0).unwrap().der().clone()];
        let key = || PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let roots = Arc::new(roots);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
        let accept = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(chain.clone(), key())
            .unwrap();
        let dial = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key())
            .unwrap();
        Security { dial: Arc::new(dial), accept: Arc::new(accept) }
    }
}

/// A listening server 1, in a cluster of three servers.
struct One {
    address: SocketAddr,
    refusals: Arc<Refusals>,
    inbox: mpsc::Receiver<crate::peer_message::FromPeer>,
    _directory: tempfile::TempDir,
}

impl One {
    async fn listens(security: Option<Security>) -> One {
        let directory = tempfile::tempdir().unwrap();
        let (sender, inbox) = mpsc::channel(1);
        let refusals = Arc::new(Refusals::default());
        let voters = [ONE, TWO, THREE].into();
        let listener = Listener {
            identity: Identity { cluster: "test".to_owned(), node: ONE, voters, disk: 1 },
            security,
            snapshots: SnapshotStore::new(OsDirectory::at(directory.path()).unwrap(), u64::MAX),
            inbox: sender,
            refusals: refusals.clone(),
            live: std::sync::Mutex::default(),
            disks: std::sync::Mutex::default(),
            supervisor: Supervisor::new().0,
        };
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(Arc::new(listener).run(socket));
        One { address, refusals, inbox, _directory: directory }
    }

    fn dialler(&self, hello: Hello, security: Option<Security>) -> Dialler {
        let refusals = Arc::new(Refusals::default());
        Dialler { address: self.address.to_string(), hello, security, refusals }
    }

    /// Dials the server and sends a greeting. Returns the reason if the greeting is refused.
    async fn greet(&self, hello: Hello, security: Option<Security>) -> Result<(), String> {
        match self.dialler(hello, security).dial().await {
            Ok(_) => Ok(()),
            Err(NetError::Refused(why)) => Err(why),
            Err(error) => panic!("no answer to the greeting: {error}"),
        }
    }

    fn why_refused(&self, id: NodeId) -> Option<String> {
        self.refusals.lately(id, By::Us, Instant::now())
    }
}

fn hello(from: NodeId, disk: u64) -> Hello {
    let (cluster, voters) = ("test".to_owned(), [ONE, TWO, THREE].into());
    Hello { cluster, from, to: ONE, voters, disk, purpose: Purpose::Messages }
}

#[tokio::test]
async fn who_claims_to_be_a_server_that_its_certificate_does_not_name_does_not_lock_that_one_out() {
    let authority = Authority::new();
    let one = One::listens(Some(authority.security(ONE))).await;
    for purpose in [Purpose::Messages, Purpose::Snapshot] {
        // Server 2, with its own certificate, claims to be server 3 with a new disk.
        let lie = Hello { purpose, ..hello(THREE, 99) };
        let refused = one.greet(lie, Some(authority.security(TWO))).await;
        assert_eq!(refused, Err("the certificate does not name n3".to_owned()));
        assert_eq!(one.why_refused(THREE), None, "nothing is known of server 3");
    }
    for purpose in [Purpose::Messages, Purpose::Snapshot] {
        let right = Hello { purpose, ..hello(THREE, 3) };
        assert_eq!(one.greet(right, Some(authority.security(THREE))).await, Ok(()));
    }
    assert!(one.inbox.is_empty());
}

#[tokio::test]
async fn a_greeting_with_anything_wrong_in_it_leaves_no_disk_behind() {
    let one = One::listens(None).await;
    let wrong = [
        (Hello { cluster: "other".to_owned(), ..hello(THREE, 99) }, "not \"other\""),
        (Hello { to: TWO, ..hello(THREE, 99) }, "this is n1, not n2"),
        (Hello { voters: [ONE, THREE].into(), ..hello(THREE, 99) }, "the members differ"),
        (hello(ONE, 99), "there is another n1"),
        (hello(FOUR, 99), "n4 is not a member"),
    ];
    for (hello, words) in wrong {
        let why = one.greet(hello, None).await.unwrap_err();
        assert!(why.contains(words), "{why}");
    }
    assert_eq!(one.why_refused(FOUR), None, "nothing is kept of who is no member");
    assert_eq!(one.greet(hello(THREE, 3), None).await, Ok(()));
}

#[tokio::test]
async fn a_server_with_other_members_is_refused_and_both_sides_know_why() {
    let one = One::listens(None).await;
    let other = Hello { voters: [THREE, FOUR, FIVE].into(), ..hello(THREE, 3) };
    let dialler = one.dialler(other, None);
    let Err(NetError::Refused(why)) = dialler.dial().await else { panic!("it is listened to") };
    assert_eq!(why, "the members differ: n3 has 3 4 5, n1 has 1 2 3");
    assert_eq!(one.why_refused(THREE).as_ref(), Some(&why));
    assert_eq!(dialler.refusals.lately(ONE, By::Them, Instant::now()), Some(why));
    // A refusal ends when a later greeting is accepted.
    let mended = Dialler { hello: hello(THREE, 3), ..dialler };
    assert!(mended.dial().await.is_ok());
    assert_eq!(mended.refusals.lately(ONE, By::Them, Instant::now()), None);
}

#[tokio::test]
async fn a_second_disk_under_a_known_id_is_refused_and_the_first_one_still_accepted() {
    let one = One::listens(None).await;
    assert_eq!(one.greet(hello(THREE, 3), None).await, Ok(()));
    let why = one.greet(hello(THREE, 4), None).await.unwrap_err();
    assert!(why.contains("n3 has been here with another data directory"), "{why}");
    assert_eq!(one.why_refused(THREE), Some(why));
    assert_eq!(one.greet(hello(THREE, 3), None).await, Ok(()));
}
