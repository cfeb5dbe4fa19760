//! The requests that a client makes, and what their answers mean.

use bytes::Bytes;
use hyper::header::{ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use hyper::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde::de::DeserializeOwned;

use super::retry::{Answer, Ask};
use super::{Client, Error, Expected, Found, Session, Swapped};
use crate::api::{
    self, CLIENT_HEADER, Deleted, Outcome, SERIAL_HEADER, SnapshotStarted, Status, Written,
};

/// What stands for itself in a path. A dot does not: `.` and `..` are keys like others.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// The path of a key.
pub fn key_path(key: &[u8]) -> String {
    format!("/v1/kv/{}", percent_encode(key, ESCAPED))
}

impl Client {
    /// Reads a key, linearizably.
    ///
    /// # Errors
    ///
    /// No server answered in time, or one refuses.
    pub async fn get(&mut self, key: &[u8]) -> Result<Option<Found>, Error> {
        let answer = self.ask(&Ask::read(Method::GET, path(key)?)).await?;
        match answer.reply.status {
            StatusCode::OK => {
                let version = answer.version()?.ok_or_else(|| answer.odd("it has no ETag"))?;
                Ok(Some(Found { value: answer.reply.body, version }))
            }
            StatusCode::NOT_FOUND if answer.is_not_found() => Ok(None),
            _ => Err(answer.into_error()),
        }
    }

    /// Writes a key.
    ///
    /// # Errors
    ///
    /// The write was not done, or nobody knows whether it was: [`Error::outcome`].
    pub async fn put(&mut self, key: &[u8], value: impl Into<Bytes>) -> Result<Written, Error> {
        let ask = self.write(Method::PUT, path(key)?, value.into());
        self.ask(&ask).await?.json(StatusCode::OK)
    }

    /// Appends to the value of a key; one that does not exist is created.
    ///
    /// # Errors
    ///
    /// The write was not done, or nobody knows whether it was: [`Error::outcome`].
    pub async fn append(&mut self, key: &[u8], suffix: impl Into<Bytes>) -> Result<Written, Error> {
        let ask = self.write(Method::POST, path(key)? + "/append", suffix.into());
        self.ask(&ask).await?.json(StatusCode::OK)
    }

    /// Deletes a key.
    ///
    /// # Errors
    ///
    /// The write was not done, or nobody knows whether it was: [`Error::outcome`].
    pub async fn delete(&mut self, key: &[u8]) -> Result<Deleted, Error> {
        let ask = self.write(Method::DELETE, path(key)?, Bytes::new());
        self.ask(&ask).await?.json(StatusCode::OK)
    }

    /// Writes a key if what is there is what was expected.
    ///
    /// # Errors
    ///
    /// The write was not done, or nobody knows whether it was: [`Error::outcome`].
    pub async fn compare_and_set(
        &mut self,
        key: &[u8],
        expected: Expected,
        value: impl Into<Bytes>,
    ) -> Result<Swapped, Error> {
        let mut ask = self.write(Method::POST, path(key)? + "/cas", value.into());
        ask.headers.push(match expected {
            Expected::Absent => (IF_NONE_MATCH, HeaderValue::from_static("*")),
            Expected::Version(version) => (IF_MATCH, etag(version)),
        });
        let answer = self.ask(&ask).await?;
        if answer.reply.status == StatusCode::PRECONDITION_FAILED {
            return Ok(Swapped::Conflict { present: answer.version()? });
        }
        answer.json(StatusCode::OK).map(Swapped::Written)
    }

    /// Opens a session: from now on, a write is done once however often it has to be sent.
    ///
    /// # Errors
    ///
    /// No server answered in time, or one refuses.
    pub async fn open_session(&mut self) -> Result<u64, Error> {
        // A session too many does no harm.
        let ask = Ask::read(Method::POST, "/v1/sessions".to_owned());
        let session: api::Session = self.ask(&ask).await?.json(StatusCode::CREATED)?;
        self.session = Some(Session { client: session.client, serial: 0 });
        Ok(session.client)
    }

    /// How a server sees itself and its cluster. Meant for a client that knows only that one.
    ///
    /// # Errors
    ///
    /// The server did not answer in time.
    pub async fn status(&mut self) -> Result<Status, Error> {
        let ask = Ask::read(Method::GET, "/v1/status".to_owned());
        self.ask(&ask).await?.json(StatusCode::OK)
    }

    /// Has a server take a snapshot. Meant for a client that knows only that one.
    ///
    /// # Errors
    ///
    /// The server did not answer in time, or refuses.
    pub async fn snapshot(&mut self) -> Result<SnapshotStarted, Error> {
        let ask = Ask::read(Method::POST, "/v1/snapshot".to_owned());
        self.ask(&ask).await?.json(StatusCode::ACCEPTED)
    }

    /// A write. Its number is taken now: whether or not it succeeds, no other write has the same.
    fn write(&mut self, method: Method, path: String, body: Bytes) -> Ask {
        let repeatable = self.session.is_some();
        let mut ask = Ask { method, path, headers: Vec::new(), body, writes: true, repeatable };
        if let Some(session) = &mut self.session {
            session.serial += 1;
            let header = |name, value: u64| (HeaderName::from_static(name), value.into());
            ask.headers.push(header(CLIENT_HEADER, session.client));
            ask.headers.push(header(SERIAL_HEADER, session.serial));
        }
        ask
    }
}

impl Answer {
    /// The body of an answer that should have this status.
    fn json<T: DeserializeOwned>(self, status: StatusCode) -> Result<T, Error> {
        if self.reply.status != status {
            return Err(self.into_error());
        }
        serde_json::from_slice(&self.reply.body).map_err(|error| self.odd(&error.to_string()))
    }

    /// The version in the `ETag`.
    fn version(&self) -> Result<Option<u64>, Error> {
        let Some(value) = self.reply.headers.get(ETAG) else { return Ok(None) };
        let text = value.to_str().unwrap_or_default();
        let digits = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let version = digits.and_then(|digits| digits.parse().ok());
        version.map(Some).ok_or_else(|| self.odd(&format!("its ETag is {value:?}")))
    }

    fn is_not_found(&self) -> bool {
        self.failure().is_some_and(|failure| failure.error == "not_found")
    }

    /// The answer as an error.
    fn into_error(self) -> Error {
        let status = self.reply.status;
        let Some(failure) = self.failure() else {
            return self.odd(&format!("it answered {status}"));
        };
        if self.doubt || failure.outcome == Outcome::Unknown && self.writes {
            return Error::Unknown { reason: format!("{}: {}", self.server, failure.message) };
        }
        Error::Refused { server: self.server, status: status.as_u16(), failure }
    }

    fn odd(&self, reason: &str) -> Error {
        Error::Protocol { server: self.server.clone(), reason: reason.to_owned() }
    }
}

fn path(key: &[u8]) -> Result<String, Error> {
    if key.is_empty() { Err(Error::EmptyKey) } else { Ok(key_path(key)) }
}

fn etag(version: u64) -> HeaderValue {
    // Digits between quotes are a header's value.
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or_else(|_| HeaderValue::from(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_unambiguous() {
        assert_eq!(key_path(b"a-b_c~1"), "/v1/kv/a-b_c~1");
        assert_eq!(key_path(b"a/b c"), "/v1/kv/a%2Fb%20c");
        assert_eq!(key_path(b".."), "/v1/kv/%2E%2E");
        assert_eq!(key_path(&[0, 255, b'%']), "/v1/kv/%00%FF%25");
    }
}
