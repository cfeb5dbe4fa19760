//! The addresses at which servers serve clients.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;

/// The address at which a server serves clients: `http://host:port` or `https://host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    secure: bool,
    host: String,
    port: u16,
}

/// The error for a text that is not the address of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the address of a server: {reason}, as in http://127.0.0.1:7101")]
pub struct AddressError {
    text: String,
    reason: &'static str,
}

impl Address {
    /// Returns whether the server is reached through TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Returns the host name or the IP address, without the brackets of IPv6.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the value for a `Host` header: the host and the port.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Returns the server that a `Location` header names. Ignores the path.
    pub(crate) fn of_location(location: &str) -> Result<Address, AddressError> {
        parse(location).map_err(|reason| AddressError { text: location.to_owned(), reason })
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        let error = |reason| AddressError { text: text.to_owned(), reason };
        let after_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
        if after_scheme.trim_end_matches('/').contains(['/', '?', '#']) {
            return Err(error("it must end with the port"));
        }
        parse(text).map_err(error)
    }
}

fn parse(text: &str) -> Result<Address, &'static str> {
    let uri: Uri = text.trim().parse().map_err(|_| "it must be a URL")?;
    let secure = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err("it must begin with http:// or https://"),
    };
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("it must not name a user");
    }
    let host = uri.host().filter(|host| !host.is_empty()).ok_or("it must name a host")?;
    let port = uri.port_u16().ok_or("it must end with the port")?;
    Ok(Address { secure, host: host.to_owned(), port })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_and_prints_them() {
        for text in ["http://127.0.0.1:7101", "https://n1.example:1", "http://[::1]:80"] {
            assert_eq!(text.parse::<Address>().map(|a| a.to_string()), Ok(text.to_owned()));
        }
        let with_slash: Address = "http://a:1/".parse().expect("an address");
        assert_eq!(with_slash.to_string(), "http://a:1");
        let six: Address = "https://[::1]:7101".parse().expect("an address");
        assert_eq!((six.host(), six.port(), six.is_secure()), ("::1", 7101, true));
    }

    #[test]
    fn says_what_is_wrong() {
        let cases = [
            ("127.0.0.1:7101", "http:// or https://"),
            ("ftp://a:1", "http:// or https://"),
            ("http://a", "port"),
            ("http://a:1/v1", "port"),
            ("http://me@a:1", "user"),
            ("http://a:99999", "port"),
            ("", "URL"),
        ];
        for (text, reason) in cases {
            let error = text.parse::<Address>().expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_location_has_a_path() {
        let address = Address::of_location("http://b:2/v1/kv/a%2Fb").expect("a location");
        assert_eq!(address.to_string(), "http://b:2");
        assert!(Address::of_location("/v1/kv/a").is_err());
    }
}
