//! Makes the HTTP requests of a client, and interprets the answers.
//!
//! The client does not use `raft_kv::client`, which tolerates some invalid answers of a server.
//! Here, an answer that does not fit the request is a complaint.

use raft_core::NodeId;
use raft_kv::api::{CLIENT_HEADER, Deleted, Failure, Outcome, SERIAL_HEADER, Session, Written};
use raft_kv::command::RequestId;

use crate::cluster::http::{HttpRequest, HttpResponse, server_at};
use raft_linearizability::{Answer, Operation};

/// The meaning of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The operation was done.
    Answer(Answer),
    /// A session was opened.
    Session(u64),
    /// Nothing was done. If the answer names a server, it may be the leader.
    NotDone(Option<NodeId>),
    /// The outcome is unknown.
    Unknown,
    /// The session does not exist any more.
    SessionGone,
    /// The session has already made a later request.
    Stale,
}

/// Makes a request to open a session.
pub(super) fn open_session() -> HttpRequest {
    HttpRequest {
        method: "POST",
        path: "/v1/sessions".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    }
}

/// Makes a request for an operation.
pub(super) fn request(key: &str, operation: &Operation, session: Option<RequestId>) -> HttpRequest {
    let (method, action, body) = match operation {
        Operation::Get => ("GET", "", Vec::new()),
        Operation::Put { value } => ("PUT", "", value.to_vec()),
        Operation::Append { suffix } => ("POST", "/append", suffix.to_vec()),
        Operation::CompareAndSet { value, .. } => ("POST", "/cas", value.to_vec()),
        Operation::Delete => ("DELETE", "", Vec::new()),
    };
    let mut headers = Vec::new();
    if let Some(RequestId { client, serial }) = session {
        headers.push((CLIENT_HEADER, client.to_string()));
        headers.push((SERIAL_HEADER, serial.to_string()));
    }
    if let Operation::CompareAndSet { expected, .. } = operation {
        headers.push(match expected {
            Some(version) => ("if-match", format!("\"{version}\"")),
            None => ("if-none-match", "*".to_owned()),
        });
    }
    HttpRequest { method, path: format!("/v1/kv/{key}{action}"), headers, body }
}

/// Interprets the answer to an operation, or to the opening of a session.
///
/// # Errors
///
/// Describes why the answer does not fit the request.
pub(super) fn understand(
    operation: Option<&Operation>,
    response: &HttpResponse,
) -> Result<Reply, String> {
    let answer = match (response.status, operation) {
        (200, Some(Operation::Get)) => {
            let version = version(response)?.ok_or("a value without its version")?;
            Answer::Found { value: response.body.as_slice().into(), version }
        }
        (404, Some(Operation::Get)) => Answer::Missing,
        (200, Some(Operation::Delete)) => {
            let Deleted { existed } = parse(response)?;
            Answer::Deleted { existed }
        }
        (200, Some(_)) => {
            let Written { version: written, length } = parse(response)?;
            if version(response)? != Some(written) {
                return Err(format!("two versions: {response:?}"));
            }
            Answer::Written { version: written, length }
        }
        (412, Some(Operation::CompareAndSet { .. })) => {
            Answer::Conflict { present: version(response)? }
        }
        (201, None) => return Ok(Reply::Session(parse::<Session>(response)?.client)),
        _ => return refused(response),
    };
    Ok(Reply::Answer(answer))
}

/// Interprets an answer that does not confirm anything.
fn refused(response: &HttpResponse) -> Result<Reply, String> {
    let Failure { outcome, .. } = parse(response)?;
    match (response.status, outcome) {
        (307 | 503, Outcome::NotDone) => {
            Ok(Reply::NotDone(response.location.as_deref().and_then(server_at)))
        }
        (410, Outcome::Unknown) => Ok(Reply::SessionGone),
        (409, Outcome::Unknown) => Ok(Reply::Stale),
        (504, Outcome::Unknown) => Ok(Reply::Unknown),
        _ => Err(format!("an unexpected answer: {response:?}")),
    }
}

fn version(response: &HttpResponse) -> Result<Option<u64>, String> {
    let Some(tag) = &response.etag else { return Ok(None) };
    let version = tag.trim_matches('"').parse();
    version.map(Some).map_err(|_| format!("{tag} is no version"))
}

fn parse<T: serde::de::DeserializeOwned>(response: &HttpResponse) -> Result<T, String> {
    serde_json::from_slice(&response.body).map_err(|error| format!("{error}: {response:?}"))
}
