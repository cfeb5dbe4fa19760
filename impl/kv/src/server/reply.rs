//! Answers to clients.

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{ETAG, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use raft_node::{ProposeError, ReadError};
use serde::Serialize;

use crate::api::{Deleted, Failure, Outcome, Session, Written};
use crate::command::{Answer, MAX_VALUE};

/// The answer to a request that was not done, or whose outcome is unknown.
#[derive(Debug)]
pub(super) struct Refusal(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    failure: Failure,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// Creates the refusal of a request that was not done.
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

    /// Creates the refusal of a request whose host is not a name of this server.
    pub(super) fn misdirected(host: &str) -> Refusal {
        let message = format!(
            "\"{host}\" is not a name of this server; add it to `names` in its configuration if it is"
        );
        Refusal::new(StatusCode::MISDIRECTED_REQUEST, "not_this_host", message)
    }

    /// Creates the refusal of a request from a web page whose origin is not allowed.
    pub(super) fn foreign_origin(origin: &str) -> Refusal {
        let message = format!(
            "pages of {origin} may not send requests; `allowed_origins` in the configuration says \
             which may"
        );
        Refusal::new(StatusCode::FORBIDDEN, "foreign_origin", message)
    }

    pub(super) fn no_leader() -> Refusal {
        let message = "no leader is known here; an election takes less than a second as a rule";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "no_leader", message).in_a_second()
    }

    pub(super) fn too_large(what: &str, limit: usize) -> Refusal {
        let message = format!("{what} has at most {limit} bytes");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// Creates a redirection to the leader.
    pub(super) fn elsewhere(location: &str) -> Refusal {
        let message = format!("this server does not lead; {location} does");
        let refusal = Refusal::new(StatusCode::TEMPORARY_REDIRECT, "not_leader", message);
        match HeaderValue::from_str(location) {
            Ok(value) => refusal.with(LOCATION, value),
            Err(_) => Refusal::no_leader(),
        }
    }

    /// Creates the answer to a request whose outcome is unknown.
    pub(super) fn unknown(message: &str) -> Refusal {
        Refusal::new(StatusCode::GATEWAY_TIMEOUT, "unknown", message).perhaps_done()
    }

    /// Returns the bytes of an HTTP answer with this refusal, after which the connection is closed.
    pub(super) fn as_bytes(&self) -> Vec<u8> {
        let Parts { status, failure, headers } = &*self.0;
        let body = serde_json::to_vec(failure).unwrap_or_default();
        let mut bytes = format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n",
            body.len()
        )
        .into_bytes();
        for (name, value) in headers {
            bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        bytes.extend([b"\r\n", body.as_slice()].concat());
        bytes
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
        let outcome = failure.outcome;
        let mut response = (status, Json(failure)).into_response();
        response.headers_mut().extend(headers);
        // The metrics read the outcome from the extensions.
        response.extensions_mut().insert(outcome);
        response
    }
}

/// Returns the refusal for a command without a result. Callers handle [`ProposeError::NotLeader`]
/// before.
pub(super) fn not_applied(error: ProposeError) -> Refusal {
    match error {
        ProposeError::NotLeader { .. } | ProposeError::Superseded => Refusal::no_leader(),
        ProposeError::Overloaded => Refusal::overloaded("too much is under way"),
        ProposeError::Stopped => Refusal::overloaded("the server is stopping"),
        ProposeError::TooLarge => Refusal::too_large("a value", MAX_VALUE),
        ProposeError::Unknown => Refusal::unknown("the server stopped leading or stopped"),
    }
}

/// Returns the refusal for a read that was not served. Callers handle [`ReadError::NotLeader`]
/// before.
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

/// Returns a key's version as the value of an `ETag` header.
pub(super) fn etag(version: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("digits are fine in a header")
}

/// Converts an answer of the state machine to an HTTP answer.
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
            "the session was never opened, or has ended: of the client address with most sessions, the \
             one unused for longest makes room for a new one. This request was not applied, an \
             earlier attempt of it may have been",
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

/// Returns an answer with a JSON body.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    (status, Json(value)).into_response()
}

/// Returns an answer with a value as raw bytes and its version.
pub(super) fn value(version: u64, value: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(value));
    response.headers_mut().insert(ETAG, etag(version));
    response
}
