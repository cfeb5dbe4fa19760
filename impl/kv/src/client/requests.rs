//! The requests of a client, and the evaluation of the answers.

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

/// The characters that are percent-encoded in a path. A dot is one of them, because `.` and `..`
/// are valid keys.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// Returns the path of a key.
pub fn key_path(key: &[u8]) -> String {
    format!("/v1/kv/{}", percent_encode(key, ESCAPED))
}

impl Client {
    /// Reads the value of a key, linearizably.
    ///
    /// # Errors
    ///
    /// No server answered in time, or a server refused the request.
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

    /// Writes the value of a key.
    ///
    /// # Errors
    ///
    /// The write was not done, or its outcome is unknown: see [`Error::outcome`].
    pub async fn put(&mut self, key: &[u8], value: impl Into<Bytes>) -> Result<Written, Error> {
        let ask = self.write(Method::PUT, path(key)?, value.into());
        self.ask(&ask).await?.json(StatusCode::OK)
    }

    /// Appends to the value of a key. Creates the key if it does not exist.
    ///
    /// # Errors
    ///
    /// The write was not done, or its outcome is unknown: see [`Error::outcome`].
    pub async fn append(&mut self, key: &[u8], suffix: impl Into<Bytes>) -> Result<Written, Error> {
        let ask = self.write(Method::POST, path(key)? + "/append", suffix.into());
        self.ask(&ask).await?.json(StatusCode::OK)
    }

    /// Deletes a key.
    ///
    /// # Errors
    ///
    /// The write was not done, or its outcome is unknown: see [`Error::outcome`].
    pub async fn delete(&mut self, key: &[u8]) -> Result<Deleted, Error> {
        let ask = self.write(Method::DELETE, path(key)?, Bytes::new());
        self.ask(&ask).await?.json(StatusCode::OK)
    }

    /// Writes the value of a key if the key is as expected: absent, or with the expected version.
    ///
    /// # Errors
    ///
    /// The write was not done, or its outcome is unknown: see [`Error::outcome`].
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

    /// Opens a session and returns its id. From then on, a write is done only once, even if it has
    /// to be sent several times.
    ///
    /// # Errors
    ///
    /// No server answered in time, or a server refused the request.
    pub async fn open_session(&mut self) -> Result<u64, Error> {
        // This request is repeated like a read, because an unused session does no harm.
        let ask = Ask::read(Method::POST, "/v1/sessions".to_owned());
        let session: api::Session = self.ask(&ask).await?.json(StatusCode::CREATED)?;
        self.session = Some(Session { client: session.client, serial: 0 });
        Ok(session.client)
    }

    /// Returns a server's view of itself and of its cluster. Intended for a client that knows only
    /// one server.
    ///
    /// # Errors
    ///
    /// The server did not answer in time.
    pub async fn status(&mut self) -> Result<Status, Error> {
        let ask = Ask::read(Method::GET, "/v1/status".to_owned());
        self.ask(&ask).await?.json(StatusCode::OK)
    }

    /// Makes a server take a snapshot. Intended for a client that knows only one server.
    ///
    /// # Errors
    ///
    /// The server did not answer in time, or refused the request.
    pub async fn snapshot(&mut self) -> Result<SnapshotStarted, Error> {
        let ask = Ask::read(Method::POST, "/v1/snapshot".to_owned());
        self.ask(&ask).await?.json(StatusCode::ACCEPTED)
    }

    /// Creates a write request. It gets its serial number here, and no other write gets the same
    /// number, even if this one fails.
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
    /// Parses the body of an answer that should have this status.
    fn json<T: DeserializeOwned>(self, status: StatusCode) -> Result<T, Error> {
        if self.reply.status != status {
            return Err(self.into_error());
        }
        serde_json::from_slice(&self.reply.body).map_err(|error| self.odd(&error.to_string()))
    }

    /// Returns the version in the `ETag` header, if there is one.
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

    /// Converts the answer to an error.
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
    // Digits in quotes are always a valid value of a header.
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
