//! What goes back to clients.

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{ETAG, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use raft_node::{ProposeError, ReadError};
use serde::Serialize;

use crate::api::{Deleted, Failure, Outcome, Session, Written};
use crate::command::{Answer, MAX_VALUE};

/// A request that was not, or perhaps not, done.
#[derive(Debug)]
pub(super) struct Refusal(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    failure: Failure,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// A refusal of something that was not done.
    pub(super) fn new(status: StatusCode, error: &str, message: impl Into<String>) -> Refusal {
        let (error, message, outcome) = (error.to_owned(), message.into(), Outcome::NotDone);
        let failure = Failure { error, message, outcome };
        Refusal(Box::new(Parts { status, failure, headers: Vec::new() }))
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(super) fn overloaded(message: &str) -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message).in_a_second()
    }

    pub(super) fn no_leader() -> Refusal {
        let message = "no leader is known here; an election takes less than a second as a rule";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "no_leader", message).in_a_second()
    }

    pub(super) fn too_large(what: &str, limit: usize) -> Refusal {
        let message = format!("{what} has at most {limit} bytes");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// Somebody else has to be asked.
    pub(super) fn elsewhere(location: &str) -> Refusal {
        let message = format!("this server does not lead; {location} does");
        let refusal = Refusal::new(StatusCode::TEMPORARY_REDIRECT, "not_leader", message);
        match HeaderValue::from_str(location) {
            Ok(value) => refusal.with(LOCATION, value),
            Err(_) => Refusal::no_leader(),
        }
    }

    /// Nobody knows what became of it.
    pub(super) fn unknown(message: &str) -> Refusal {
        Refusal::new(StatusCode::GATEWAY_TIMEOUT, "unknown", message).perhaps_done()
    }

    fn perhaps_done(mut self) -> Refusal {
        self.0.failure.outcome = Outcome::Unknown;
        self
    }

    fn in_a_second(self) -> Refusal {
        self.with(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Refusal {
        self.0.headers.push((name, value));
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Parts { status, failure, headers } = *self.0;
        let mut response = (status, Json(failure)).into_response();
        response.headers_mut().extend(headers);
        response
    }
}

/// What to say when a command was not applied, but for [`ProposeError::NotLeader`].
pub(super) fn not_applied(error: ProposeError) -> Refusal {
    match error {
        ProposeError::NotLeader { .. } | ProposeError::Superseded => Refusal::no_leader(),
        ProposeError::Overloaded => Refusal::overloaded("too much is under way"),
        ProposeError::TooLarge => Refusal::too_large("a value", MAX_VALUE),
        ProposeError::Unknown => Refusal::unknown("the server stopped leading or stopped"),
    }
}

/// What to say when a read was not served, but for [`ReadError::NotLeader`].
pub(super) fn not_read(error: ReadError) -> Refusal {
    match error {
        ReadError::NotLeader { .. } => Refusal::no_leader(),
        ReadError::Overloaded => Refusal::overloaded("too many reads, or a leader just elected"),
        ReadError::TimedOut => {
            Refusal::overloaded("no majority confirmed in time that this server still leads")
        }
        ReadError::Stopped => Refusal::overloaded("the server is stopping"),
    }
}

/// A key's version as a header.
pub(super) fn etag(version: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("digits are fine in a header")
}

/// What the state machine said, as an answer.
pub(super) fn applied(answer: Answer) -> Result<Response, Refusal> {
    match answer {
        Answer::Written { version, length } => {
            let mut response = json(StatusCode::OK, &Written { version, length });
            response.headers_mut().insert(ETAG, etag(version));
            Ok(response)
        }
        Answer::Deleted { existed } => Ok(json(StatusCode::OK, &Deleted { existed })),
        Answer::SessionOpened { client } => {
            Ok(json(StatusCode::CREATED, &Session { client: client.0 }))
        }
        Answer::Conflict { present } => {
            let message = match present {
                Some(version) => format!("the key's version is {version}"),
                None => "the key does not exist".to_owned(),
            };
            let refusal = Refusal::new(StatusCode::PRECONDITION_FAILED, "conflict", message);
            Err(match present {
                Some(version) => refusal.with(ETAG, etag(version)),
                None => refusal,
            })
        }
        Answer::UnknownSession => Err(Refusal::new(
            StatusCode::GONE,
            "unknown_session",
            "the session was never opened or has expired; this request was not applied, an earlier \
             attempt of it may have been",
        )
        .perhaps_done()),
        Answer::StaleSerial => Err(Refusal::new(
            StatusCode::CONFLICT,
            "stale_serial",
            "the session has gone on to a higher serial; this request was not applied, an earlier \
             attempt of it may have been",
        )
        .perhaps_done()),
        Answer::TooLarge => Err(Refusal::too_large("a value", MAX_VALUE)),
        Answer::BadCommand => {
            Err(Refusal::bad_request("the servers do not understand the command"))
        }
    }
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    (status, Json(value)).into_response()
}

/// Raw bytes with their version.
pub(super) fn value(version: u64, value: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(value));
    response.headers_mut().insert(ETAG, etag(version));
    response
}
