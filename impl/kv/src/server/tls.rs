//! Certificates from files.

use std::path::Path;
use std::sync::Arc;

use raft_node::Security;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::config::TlsConfig;

/// What a server needs for its peers, and for its clients.
///
/// # Errors
///
/// A sentence about the file that cannot be used.
pub(super) fn load(config: &TlsConfig) -> Result<(Security, Arc<ServerConfig>), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let wrong = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&config.authority)? {
        roots.add(certificate).map_err(|error| wrong(&config.authority, &error))?;
    }
    let roots = Arc::new(roots);
    let chain = certificates(&config.certificate)?;
    let key =
        || PrivateKeyDer::from_pem_file(&config.key).map_err(|error| wrong(&config.key, &error));
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
        .build()
        .map_err(|error| wrong(&config.authority, &error))?;
    let server = |needs_certificates: bool| -> Result<ServerConfig, String> {
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = if needs_certificates {
            builder.with_client_cert_verifier(verifier.clone())
        } else {
            builder.with_no_client_auth()
        };
        builder
            .with_single_cert(chain.clone(), key()?)
            .map_err(|error| wrong(&config.certificate, &error))
    };
    let dial = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots.clone())
        .with_client_auth_cert(chain.clone(), key()?)
        .map_err(|error| wrong(&config.certificate, &error))?;
    let security = Security { dial: Arc::new(dial), accept: Arc::new(server(true)?) };
    Ok((security, Arc::new(server(config.clients_need_certificates)?)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |error: rustls::pki_types::pem::Error| format!("{}: {error}", path.display());
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(wrong)?
        .collect::<Result<_, _>>()
        .map_err(wrong)?;
    if found.is_empty() {
        return Err(format!("{}: there is no certificate in it", path.display()));
    }
    Ok(found)
}
