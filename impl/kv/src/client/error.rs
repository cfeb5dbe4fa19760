//! The reasons why a request fails, and the outcome of a failed request.

use std::path::PathBuf;
use std::time::Duration;

use super::Address;
use crate::api::{Failure, Outcome};

/// The reason why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The list of servers is empty.
    #[error("no server is named")]
    NoServers,
    /// An address begins with `https://`, but no certificate of an authority is given.
    #[error("{0} is reached through TLS, but no authority's certificate is given")]
    NoAuthority(Address),
    /// An address begins with `https://`, but the server there does not speak TLS.
    #[error("{0} does not speak TLS")]
    NotTls(Address),
    /// A certificate or a key cannot be used.
    #[error("cannot use {}: {reason}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// The problem with the file.
        reason: String,
    },
    /// The key is empty, which the store does not allow.
    #[error("a key must not be empty")]
    EmptyKey,
    /// The request was not done by any server, and will not be done.
    #[error("no server took the request within {}: {reason}", seconds(*waited))]
    Unavailable {
        /// The time for which the client tried.
        waited: Duration,
        /// The failure of the last attempt.
        reason: String,
    },
    /// A write may have been done, or may still be done later. A write without a session is not
    /// repeated when its outcome is unknown.
    #[error("nobody knows whether the write was done: {reason}")]
    Unknown {
        /// The failure of the last attempt.
        reason: String,
    },
    /// The server refuses the request, and a retry would not help.
    #[error("{server} refuses: {}", failure.message)]
    Refused {
        /// The server.
        server: Address,
        /// The HTTP status.
        status: u16,
        /// The reason, as stated by the server.
        failure: Failure,
    },
    /// The server's answer is not valid.
    #[error("{server} does not answer like a server of this store: {reason}")]
    Protocol {
        /// The server.
        server: Address,
        /// A description of the problem.
        reason: String,
    },
}

impl Error {
    /// Returns the outcome of the request, as far as it is known.
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
