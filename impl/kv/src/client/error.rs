//! Why a request came to nothing, and what is known of its effect.

use std::path::PathBuf;
use std::time::Duration;

use super::Address;
use crate::api::{Failure, Outcome};

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nobody to ask.
    #[error("no server is named")]
    NoServers,
    /// An address begins with `https://`, but whom to believe is not known.
    #[error("{0} is reached through TLS, but no authority's certificate is given")]
    NoAuthority(Address),
    /// An address begins with `https://`, and what answers there does not speak TLS.
    #[error("{0} does not speak TLS")]
    NotTls(Address),
    /// A certificate or a key cannot be used.
    #[error("cannot use {}: {reason}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The store has no empty key.
    #[error("a key must not be empty")]
    EmptyKey,
    /// No server did it; it will not be done.
    #[error("no server took the request within {}: {reason}", seconds(*waited))]
    Unavailable {
        /// How long the client tried.
        waited: Duration,
        /// What the last attempt met.
        reason: String,
    },
    /// A write may have been done, or may still be: a request without a session is not repeated
    /// when its outcome is unknown.
    #[error("nobody knows whether the write was done: {reason}")]
    Unknown {
        /// What the last attempt met.
        reason: String,
    },
    /// The server does not do it, and asking again would not help.
    #[error("{server} refuses: {}", failure.message)]
    Refused {
        /// Who.
        server: Address,
        /// The HTTP status.
        status: u16,
        /// Why.
        failure: Failure,
    },
    /// An answer that makes no sense.
    #[error("{server} does not answer like a server of this store: {reason}")]
    Protocol {
        /// Who.
        server: Address,
        /// What does not fit.
        reason: String,
    },
}

impl Error {
    /// What is known of the effect of the request.
    pub fn outcome(&self) -> Outcome {
        match self {
            Error::Unknown { .. } | Error::Protocol { .. } => Outcome::Unknown,
            Error::Refused { failure, .. } => failure.outcome,
            _ => Outcome::NotDone,
        }
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
