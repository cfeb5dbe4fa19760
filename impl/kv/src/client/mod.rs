//! A client of the key-value service.
//!
//! A [`Client`] knows the addresses of some servers and keeps one connection. It follows a
//! redirection to the leader and stays there. The table shows its reaction to each kind of failure:
//!
//! | failure | a read, or a write in a session | a write without a session |
//! | --- | --- | --- |
//! | no connection, or no byte was sent | retry at the next server | retry at the next server |
//! | 307 | retry at the server in `Location` | retry at the server in `Location` |
//! | 503 or 429, `not_done` | retry at the next server after `Retry-After` | retry at the next server after `Retry-After` |
//! | 5xx or 429, `unknown` or without a stated outcome | retry at the next server after `Retry-After` | [`Error::Unknown`] |
//! | the connection broke, or no answer in time | retry at the next server | [`Error::Unknown`] |
//! | any other failure | [`Error::Refused`] | [`Error::Refused`] |
//!
//! A write in a session ([`Client::open_session`]) is done only once, even if it is sent several
//! times. All its attempts have the same serial number, by which the servers recognize a
//! repetition. If time runs out after an attempt with an unknown outcome, the result of the whole
//! write is [`Error::Unknown`].

mod address;
mod connection;
mod error;
mod requests;
mod retry;
mod tls;

use std::time::Duration;

use bytes::Bytes;

use crate::api::Written;

pub use address::{Address, AddressError};
pub use connection::{Stream, connect};
pub use error::Error;
pub use requests::key_path;
pub use tls::Tls;

use connection::Connection;

/// The time limits and the TLS settings of a client.
#[derive(Clone, Debug)]
pub struct Options {
    /// The maximum time for one attempt, including connecting.
    pub request_timeout: Duration,
    /// The maximum time for a request with all its attempts. If it is zero, there is only one
    /// attempt.
    pub deadline: Duration,
    /// The TLS settings for servers at `https://`.
    pub tls: Option<Tls>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            request_timeout: Duration::from_secs(5),
            deadline: Duration::from_secs(10),
            tls: None,
        }
    }
}

/// A value and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The value.
    pub value: Bytes,
    /// The index of the log entry that last changed it.
    pub version: u64,
}

/// The condition of a compare-and-set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The key must have this version.
    Version(u64),
    /// The key must not exist.
    Absent,
}

/// The result of a compare-and-set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// The value was written.
    Written(Written),
    /// Nothing was written, because the condition was not met.
    Conflict {
        /// The current version of the key, or `None` if it does not exist.
        present: Option<u64>,
    },
}

/// A client of the key-value service.
#[derive(Debug)]
pub struct Client {
    servers: Vec<Address>,
    options: Options,
    /// The server to ask next: the leader, as far as the client knows.
    target: Address,
    connection: Option<Connection>,
    session: Option<Session>,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    client: u64,
    /// The serial number of the last write.
    serial: u64,
}

impl Client {
    /// Creates a client of the cluster to which these servers belong. The client connects at its
    /// first request.
    ///
    /// # Errors
    ///
    /// The list of servers is empty, or a server is at `https://` and the options have no TLS
    /// settings.
    pub fn new(servers: Vec<Address>, options: Options) -> Result<Client, Error> {
        let target = servers.first().ok_or(Error::NoServers)?.clone();
        let secure = servers.iter().find(|server| server.is_secure());
        if let (Some(server), None) = (secure, &options.tls) {
            return Err(Error::NoAuthority(server.clone()));
        }
        Ok(Client { servers, options, target, connection: None, session: None })
    }

    /// Sets the maximum time for each further request with all its attempts.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.options.deadline = deadline;
    }

    /// Returns the server to ask next: the leader, as far as the client knows.
    pub fn target(&self) -> &Address {
        &self.target
    }

    /// Returns the id of the session, if one is open.
    pub fn session(&self) -> Option<u64> {
        self.session.map(|session| session.client)
    }
}
