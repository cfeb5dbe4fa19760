//! Hosts and origins, as URLs and the headers of requests name them.

use std::net::IpAddr;

/// A host as URLs and `Host` headers name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// An IP address. One of IPv4 that is written as one of IPv6 is one of IPv4.
    Ip(IpAddr),
    /// A name, in lower case, without the dot of the root.
    Name(String),
}

impl Host {
    /// A name, an IPv4 address, or an IPv6 address with or without brackets. No port.
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

    /// The host in `host` or `host:port`, where an IPv6 address has brackets.
    pub fn of_authority(text: &str) -> Option<Host> {
        let (host, port) = match text.rfind(':') {
            Some(colon) if !text.ends_with(']') => (&text[..colon], Some(&text[colon + 1..])),
            _ => (text, None),
        };
        let is_port = |port: &str| port.is_empty() || port.parse::<u16>().is_ok();
        let is_sound = port.is_none_or(is_port) && (host.starts_with('[') || !host.contains(':'));
        is_sound.then(|| Host::parse(host)).flatten()
    }

    /// Whether it is this machine, for whoever says it.
    pub fn is_loopback(&self) -> bool {
        match self {
            Host::Ip(ip) => ip.is_loopback(),
            Host::Name(name) => name == "localhost",
        }
    }
}

/// Whether this is `scheme://host` or `scheme://host:port`, and nothing behind it.
pub(super) fn is_origin(text: &str) -> bool {
    let parts = text.split_once("://");
    parts.is_some_and(|(scheme, authority)| {
        let of_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        !scheme.is_empty()
            && scheme.chars().all(of_scheme)
            && Host::of_authority(authority).is_some()
    })
}
