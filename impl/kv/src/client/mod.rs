//! A client of the key-value service.
//!
//! A [`Client`] knows the addresses of some servers, keeps one connection, follows redirections to
//! the leader and stays there. What it does when something goes wrong:
//!
//! | what happened | a read, or a write in a session | a write without a session |
//! | --- | --- | --- |
//! | no connection, or not a byte was sent | again, elsewhere | again, elsewhere |
//! | 307 | there | there |
//! | 503 or 429, `not_done` | again, after `Retry-After` | again, after `Retry-After` |
//! | 503, `unknown` | again, after `Retry-After` | [`Error::Unknown`] |
//! | the connection broke, or no answer in time | again, elsewhere | [`Error::Unknown`] |
//! | anything else | [`Error::Refused`] | [`Error::Refused`] |
//!
//! A write in a session ([`Client::open_session`]) is done once however often it is sent: all its
//! attempts have the same serial number, by which the servers know a repetition. If time runs out
//! after an attempt with an unknown outcome, the whole write is [`Error::Unknown`].

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

/// How patient a client is, and whom it trusts.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long one attempt may take, with connecting.
    pub request_timeout: Duration,
    /// How long a request may take, with all attempts; with zero there is only one attempt.
    pub deadline: Duration,
    /// For servers at `https://`.
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
    /// The index of the entry that last changed it.
    pub version: u64,
}

/// What must be there for a compare-and-set to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The key, with a value of this version.
    Version(u64),
    /// Nothing.
    Absent,
}

/// What a compare-and-set did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// It wrote.
    Written(Written),
    /// It did not: something else was there.
    Conflict {
        /// The version of what is there, or nothing.
        present: Option<u64>,
    },
}

/// A client of the key-value service.
#[derive(Debug)]
pub struct Client {
    servers: Vec<Address>,
    options: Options,
    /// Whom to ask: the leader, as far as is known.
    target: Address,
    connection: Option<Connection>,
    session: Option<Session>,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    client: u64,
    /// The number of the last write.
    serial: u64,
}

impl Client {
    /// A client of the cluster to which these servers belong. It connects when it is first used.
    ///
    /// # Errors
    ///
    /// No server is named, or it is not known whom to believe.
    pub fn new(servers: Vec<Address>, options: Options) -> Result<Client, Error> {
        let target = servers.first().ok_or(Error::NoServers)?.clone();
        let secure = servers.iter().find(|server| server.is_secure());
        if let (Some(server), None) = (secure, &options.tls) {
            return Err(Error::NoAuthority(server.clone()));
        }
        Ok(Client { servers, options, target, connection: None, session: None })
    }

    /// From now on, a request may take that long, with all attempts.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.options.deadline = deadline;
    }

    /// The server that will be asked next: the leader, as far as is known.
    pub fn target(&self) -> &Address {
        &self.target
    }

    /// The name of the session, if one is open.
    pub fn session(&self) -> Option<u64> {
        self.session.map(|session| session.client)
    }
}
