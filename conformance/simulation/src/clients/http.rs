//! What a client asks for as an HTTP request, and what it makes of the answer.
//!
//! It does not use `raft_kv::client`, which forgives some of what a server must not say:
//! an answer that is none to the request is a complaint here.

use raft_core::NodeId;
use raft_kv::api::{CLIENT_HEADER, Deleted, Failure, Outcome, SERIAL_HEADER, Session, Written};
use raft_kv::command::RequestId;

use crate::cluster::http::{HttpRequest, HttpResponse, server_at};
use raft_linearizability::{Answer, Operation};

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The operation was done.
    Answer(Answer),
    /// A session was opened.
    Session(u64),
    /// Nothing was done, and the leader is perhaps this one.
    NotDone(Option<NodeId>),
    /// Nobody knows what became of it.
    Unknown,
    /// There is no such session any more.
    SessionGone,
    /// The session has gone on.
    Stale,
}

/// A request to open a session.
pub(super) fn open_session() -> HttpRequest {
    HttpRequest {
        method: "POST",
        path: "/v1/sessions".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    }
}

/// A request for an operation.
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

/// What an answer to an operation says, or to the opening of a session.
///
/// # Errors
///
/// In words, why it is no answer to that.
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

/// What an answer says that confirms nothing.
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
