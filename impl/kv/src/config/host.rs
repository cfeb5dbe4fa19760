//! Hosts and origins in URLs and in the headers of requests.

use std::net::IpAddr;

/// A host in a URL or a `Host` header.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// An IP address. An IPv4-mapped IPv6 address is converted to its IPv4 address.
    Ip(IpAddr),
    /// A host name in lower case, without a dot at its end.
    Name(String),
}

impl Host {
    /// Parses a name, an IPv4 address, or an IPv6 address with or without brackets. A port is not
    /// allowed.
    pub fn parse(text: &str) -> Option<Host> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Ok(ip) = bare.unwrap_or(text).parse::<IpAddr>() {
            return Some(Host::Ip(ip.to_canonical()));
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let name = text.strip_suffix('.').unwrap_or(text);
        let name = Some(name).filter(|name| !name.is_empty() && name.chars().all(is_name));
        name.map(|name| Host::Name(name.to_ascii_lowercase()))
    }

    /// Returns the host in `host` or `host:port`. An IPv6 address must have brackets.
    pub fn of_authority(text: &str) -> Option<Host> {
        let (host, port) = match text.rfind(':') {
            Some(colon) if !text.ends_with(']') => (&text[..colon], Some(&text[colon + 1..])),
            _ => (text, None),
        };
        let is_port = |port: &str| port.is_empty() || port.parse::<u16>().is_ok();
        let is_sound = port.is_none_or(is_port) && (host.starts_with('[') || !host.contains(':'));
        is_sound.then(|| Host::parse(host)).flatten()
    }

    /// Returns whether the host is a loopback address or `localhost`, and therefore always means
    /// the sender's own machine.
    pub fn is_loopback(&self) -> bool {
        match self {
            Host::Ip(ip) => ip.is_loopback(),
            Host::Name(name) => name == "localhost",
        }
    }
}

/// Returns whether the text is `scheme://host` or `scheme://host:port`, with nothing after it.
pub(super) fn is_origin(text: &str) -> bool {
    let parts = text.split_once("://");
    parts.is_some_and(|(scheme, authority)| {
        let of_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        !scheme.is_empty()
            && scheme.chars().all(of_scheme)
            && Host::of_authority(authority).is_some()
    })
}
