//! The sender of a request, and the checks of its headers that keep out foreign web pages.
//!
//! A page in a browser can send requests to any server that the browser can reach. The page cannot
//! hide its origin: the browser sends it in `Origin`, except with reads whose answer the page does
//! not get. The page cannot choose `Host` freely either: even if its own host name resolves to the
//! address of this server (DNS rebinding), `Host` contains that host name.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, HOST, HeaderValue, ORIGIN, VARY,
};
use hyper::{HeaderMap, Method, StatusCode};

use super::reply::Refusal;
use crate::command::Owner;
use crate::config::{Config, Host};

/// The two ends of a request's connection. The caller of the router adds this to the request as an
/// extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requester {
    /// The client's address.
    pub client: IpAddr,
    /// The address of this server to which the client has connected.
    pub server: IpAddr,
}

/// The owner of the sessions that the sender of a request opens.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionOwner(pub(super) Owner);

/// The accepted values of `Host` and of `Origin`.
#[derive(Debug)]
pub(super) struct Rules {
    hosts: BTreeSet<Host>,
    origins: Vec<String>,
}

impl Rules {
    pub(super) fn new(config: &Config) -> Arc<Rules> {
        Arc::new(Rules { hosts: config.hosts(), origins: config.allowed_origins.clone() })
    }

    fn check(&self, request: &Request) -> Result<(), Refusal> {
        let requester = request.extensions().get::<Requester>();
        let mut hosts = vec![host(request.headers())?];
        // A request to a proxy contains a whole URL. This server may get such a request too, and
        // then the host in the URL must also be its own.
        if let Some(authority) = request.uri().authority() {
            hosts.push(authority.as_str());
        }
        if let Some(foreign) = hosts.into_iter().find(|host| !self.is_own(host, requester)) {
            return Err(Refusal::misdirected(foreign));
        }
        let mut origins = request.headers().get_all(ORIGIN).iter();
        match origins.find(|origin| !self.is_allowed(origin)) {
            Some(origin) => {
                Err(Refusal::foreign_origin(&String::from_utf8_lossy(origin.as_bytes())))
            }
            None => Ok(()),
        }
    }

    fn is_own(&self, authority: &str, requester: Option<&Requester>) -> bool {
        let Some(host) = Host::of_authority(authority) else { return false };
        let reached = requester.is_some_and(|requester| {
            host == Host::Ip(requester.server)
                || requester.server.is_loopback() && host.is_loopback()
        });
        reached || self.hosts.contains(&host)
    }

    fn is_allowed(&self, origin: &HeaderValue) -> bool {
        let allowed = |known: &String| origin.as_bytes().eq_ignore_ascii_case(known.as_bytes());
        self.origins.iter().any(allowed)
    }
}

/// Returns the value of `Host`. Every request must have exactly one (RFC 9112, section 3.2).
fn host(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            host.to_str().map_err(|_| Refusal::bad_request("the header Host is not a host"))
        }
        (None, _) => Err(Refusal::bad_request("the header Host is missing")),
        (Some(_), Some(_)) => Err(Refusal::bad_request("there is more than one header Host")),
    }
}

/// Refuses a request with a foreign `Host` or `Origin`. Adds the [`SessionOwner`] to every other
/// request and passes it on.
pub(super) async fn admit(
    State(rules): State<Arc<Rules>>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Err(refusal) = rules.check(&request) {
        metrics::counter!("http_refused_requests_total").increment(1);
        return refusal.into_response();
    }
    let requester = request.extensions().get::<Requester>();
    let owner = requester.map_or(Owner::UNKNOWN, |requester| Owner::from(requester.client));
    request.extensions_mut().insert(SessionOwner(owner));
    let Some(origin) = request.headers().get(ORIGIN).cloned() else {
        return next.run(request).await;
    };
    // A browser sends an `OPTIONS` request first if a page wants to send a request that a form
    // could not send.
    let mut answer = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(VARY, HeaderValue::from_static("origin"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("etag, retry-after"));
    let methods = HeaderValue::from_static("GET, PUT, DELETE, POST");
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    let allowed = "content-type, if-match, if-none-match, raft-client, raft-serial";
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
    answer
}
