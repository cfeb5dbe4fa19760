//! One client.

use std::collections::HashMap;
use std::time::Duration;

use raft_core::NodeId;
use raft_kv::command::{ClientId, RequestId};

use super::http::{self, Reply};
use crate::cluster::http::{HttpRequest, HttpResponse};
use raft_linearizability::{Answer, Operation, Ticket};

/// The current activity of a client.
#[derive(Debug)]
pub(super) enum Doing {
    Thinking,
    /// The client opens its session.
    Opening,
    Asking {
        key: String,
        operation: Operation,
        ticket: Ticket,
        since: Duration,
        /// Whether the request was already sent and its outcome is unknown.
        in_doubt: bool,
    },
    /// The client sends a request again that was answered long ago. This must have no effect.
    RetryingLate(HttpRequest),
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) session: Option<ClientId>,
    pub(super) wants_session: bool,
    pub(super) serial: u64,
    pub(super) doing: Doing,
    /// The number of its last attempt, which distinguishes late answers from the awaited one.
    pub(super) attempt: u64,
    pub(super) server: NodeId,
    /// The versions of keys that it saw last.
    pub(super) seen: HashMap<String, Option<u64>>,
    pub(super) answered: u64,
    /// The last request of its session that was answered.
    pub(super) last: Option<HttpRequest>,
    /// An earlier answered request of its session.
    pub(super) stale: Option<HttpRequest>,
    /// The only servers that it can reach; all if `None`.
    pub(super) reaches: Option<Vec<NodeId>>,
}

impl Client {
    pub(super) fn new(server: NodeId, wants_session: bool) -> Client {
        Client {
            session: None,
            wants_session,
            serial: 0,
            doing: Doing::Thinking,
            attempt: 0,
            server,
            seen: HashMap::new(),
            answered: 0,
            last: None,
            stale: None,
            reaches: None,
        }
    }

    pub(super) fn reaches(&self, server: NodeId) -> bool {
        self.reaches.as_ref().is_none_or(|servers| servers.contains(&server))
    }

    /// Returns the current request.
    pub(super) fn request(&self) -> Option<HttpRequest> {
        match &self.doing {
            Doing::Thinking => None,
            Doing::Opening => Some(http::open_session()),
            Doing::RetryingLate(request) => Some(request.clone()),
            Doing::Asking { key, operation, .. } => {
                let named = self.session.filter(|_| *operation != Operation::Get);
                let named = named.map(|client| RequestId { client, serial: self.serial });
                Some(http::request(key, operation, named))
            }
        }
    }

    /// Returns whether it is safe to send the request again.
    pub(super) fn may_repeat(&self) -> bool {
        match &self.doing {
            Doing::Asking { operation, .. } => {
                *operation == Operation::Get || self.session.is_some()
            }
            Doing::Opening => true,
            Doing::Thinking | Doing::RetryingLate(_) => false,
        }
    }

    /// Interprets an answer to the current request.
    ///
    /// # Errors
    ///
    /// Describes an answer that the client cannot have.
    pub(super) fn understand(&self, response: &HttpResponse) -> Result<Reply, String> {
        let operation = match &self.doing {
            Doing::Asking { operation, .. } => Some(operation),
            Doing::Thinking | Doing::Opening | Doing::RetryingLate(_) => None,
        };
        let reply = http::understand(operation, response)?;
        let late = matches!(self.doing, Doing::RetryingLate(_));
        match reply {
            Reply::Session(_) if late => Err("that it has a session".to_owned()),
            Reply::Stale if !late => Err("that its last request is an old one".to_owned()),
            Reply::SessionGone if self.session.is_none() => {
                Err("that its session is gone, and it has none".to_owned())
            }
            reply => Ok(reply),
        }
    }

    /// Remembers the version in an answer.
    pub(super) fn learn(&mut self, answer: &Answer) {
        let Doing::Asking { key, .. } = &self.doing else { return };
        let version = match answer {
            Answer::Found { version, .. } | Answer::Written { version, .. } => Some(*version),
            Answer::Conflict { present } => *present,
            Answer::Missing | Answer::Deleted { .. } => None,
        };
        self.seen.insert(key.clone(), version);
        let numbered = self.request().filter(|request| !request.headers.is_empty());
        if let (Some(request), Some(_)) = (numbered, self.session) {
            self.stale = self.last.replace(request);
        }
    }

    /// Ends the current activity, and returns it.
    pub(super) fn finish(&mut self) -> Doing {
        std::mem::replace(&mut self.doing, Doing::Thinking)
    }
}
