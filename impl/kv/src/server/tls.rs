//! Certificates and keys from files.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use raft_node::Security;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::config::{KeyError, TlsConfig};

/// A file that the configuration names, with the configuration key that names it.
#[derive(Clone, Copy)]
struct PemFile<'c> {
    key: &'static str,
    path: &'c Path,
}

impl PemFile<'_> {
    /// Returns the error for a file with unusable content.
    fn unusable(self, why: &dyn Display) -> KeyError {
        KeyError::new(self.key, format!("{} cannot be used: {why}", self.path.display()))
    }

    fn unreadable(self, error: &pem::Error, wanted: &str) -> KeyError {
        match error {
            pem::Error::Io(error) => {
                let message = format!(
                    "cannot read {}: {error}. Name a PEM file that this user can read; \
                     `raftctl cert --out DIR` makes certificates for tests",
                    self.path.display()
                );
                KeyError::new(self.key, message)
            }
            pem::Error::NoItemsFound => self
                .unusable(&format!("there is no {wanted} in it; it must be a PEM file with one")),
            error => self.unusable(&format!("{error}; it must be a PEM file with a {wanted}")),
        }
    }

    fn certificates(self) -> Result<Vec<CertificateDer<'static>>, KeyError> {
        let wrong = |error: pem::Error| self.unreadable(&error, "certificate");
        let found: Vec<_> = CertificateDer::pem_file_iter(self.path)
            .map_err(wrong)?
            .collect::<Result<_, _>>()
            .map_err(wrong)?;
        if found.is_empty() { Err(wrong(pem::Error::NoItemsFound)) } else { Ok(found) }
    }

    fn private_key(self) -> Result<PrivateKeyDer<'static>, KeyError> {
        PrivateKeyDer::from_pem_file(self.path)
            .map_err(|error| self.unreadable(&error, "private key"))
    }
}

/// Loads the TLS settings of a server, for connections to its peers and for connections of clients.
///
/// # Errors
///
/// [`KeyError`] with the configuration key of the file that cannot be used.
pub(super) fn load(config: &TlsConfig) -> Result<(Security, Arc<ServerConfig>), KeyError> {
    let authority = PemFile { key: "tls.authority", path: &config.authority };
    let certificate = PemFile { key: "tls.certificate", path: &config.certificate };
    let private_key = PemFile { key: "tls.key", path: &config.key };

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in authority.certificates()? {
        roots.add(certificate).map_err(|error| authority.unusable(&error))?;
    }
    let roots = Arc::new(roots);
    let chain = certificate.certificates()?;
    let secret = private_key.private_key()?;
    // If the certificate and the key do not match, either of the two files can be the wrong one.
    let mismatch = |error: rustls::Error| {
        let other = format!("{error}. Does it belong to the key in {}?", config.key.display());
        certificate.unusable(&other)
    };
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
        .build()
        .map_err(|error| authority.unusable(&error))?;
    let server = |needs_certificates: bool| -> Result<ServerConfig, KeyError> {
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| certificate.unusable(&error))?;
        let builder = if needs_certificates {
            builder.with_client_cert_verifier(verifier.clone())
        } else {
            builder.with_no_client_auth()
        };
        builder.with_single_cert(chain.clone(), secret.clone_key()).map_err(mismatch)
    };
    let dial = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| certificate.unusable(&error))?
        .with_root_certificates(roots.clone())
        .with_client_auth_cert(chain.clone(), secret.clone_key())
        .map_err(mismatch)?;
    let security = Security { dial: Arc::new(dial), accept: Arc::new(server(true)?) };
    Ok((security, Arc::new(server(config.clients_need_certificates)?)))
}
