//! The authority that a client trusts, and the certificate of the client.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, InvalidMessage, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Address, Error};

/// The authority that a client trusts, and the certificate of the client.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads the authority's certificate, and the certificate and the key of this client if the
    /// servers ask for them. All files are in PEM format.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or has unusable content.
    pub fn read(authority: &Path, identity: Option<(&Path, &Path)>) -> Result<Tls, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(authority)? {
            roots.add(certificate).map_err(|error| unusable(authority, error))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(authority, error))?
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let secret =
                    PrivateKeyDer::from_pem_file(key).map_err(|error| bad_pem(key, &error))?;
                builder
                    .with_client_auth_cert(chain, secret)
                    .map_err(|error| unusable(certificate, error))?
            }
        };
        Ok(Tls { connector: TlsConnector::from(Arc::new(config)) })
    }

    pub(super) async fn wrap(
        &self,
        server: &Address,
        stream: TcpStream,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(server.host().to_owned()).map_err(std::io::Error::other)?;
        self.connector.connect(name, stream).await.map_err(|error| {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
            // A server without TLS answers the handshake with plain HTTP, which is not a TLS
            // record.
            let is_no_record = matches!(
                inner,
                Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType))
            );
            if is_no_record { ErrorKind::Unsupported.into() } else { error }
        })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match found {
        Ok(found) if found.is_empty() => Err(unusable(path, "it has no certificate")),
        Ok(found) => Ok(found),
        Err(error) => Err(bad_pem(path, &error)),
    }
}

fn bad_pem(path: &Path, error: &pem::Error) -> Error {
    match error {
        pem::Error::Io(error) => unusable(path, error),
        pem::Error::NoItemsFound => unusable(path, "it has nothing of that kind in PEM"),
        error => unusable(path, error),
    }
}

fn unusable(path: &Path, reason: impl fmt::Display) -> Error {
    Error::Tls { path: path.to_owned(), reason: reason.to_string() }
}
