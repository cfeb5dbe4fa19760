//! Connections of clients, with limits on their number, their waiting times and their memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::connections::{Connections, Full, Slot};
use super::metrics::OpenConnection;
use super::reply::Refusal;
use super::requester::Requester;
use crate::command::Owner;

/// The time that a client has to send the head of a request or to complete a step of its TLS
/// handshake. It is also the longest pause between two requests.
const PATIENCE: Duration = Duration::from_secs(30);

/// The maximum length of a request's head, in bytes. A percent-encoded key takes up to three times
/// the length of the key.
const HEAD: usize = 64 << 10;

/// The maximum number of refusals that are sent at the same time. Further connections are closed
/// without an answer.
const REFUSALS: usize = 64;

/// The time that a refused client has to read the refusal.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);

/// The first byte of every TLS connection: the type of a record with a handshake message.
const TLS_HANDSHAKE: u8 = 0x16;

/// The state that the connections of one listening address share.
#[derive(Clone)]
pub(super) struct HttpListener {
    pub(super) router: Router,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) connections: Arc<Connections>,
    pub(super) stop: watch::Receiver<bool>,
}

/// Accepts clients until told to stop.
pub(super) async fn serve(socket: TcpListener, mut listener: HttpListener) {
    let broken = metrics::counter!("http_broken_connections_total");
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            _ = listener.stop.wait_for(|stop| *stop) => return,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept clients for the moment");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // A failure here only costs speed.
        let _ = stream.set_nodelay(true);
        let slot = match listener.connections.admit(Owner::from(client.ip())) {
            Ok(slot) => slot,
            Err(full) => {
                metrics::counter!("http_refused_connections_total", "reason" => full.reason())
                    .increment(1);
                if listener.tls.is_none()
                    && let Ok(permit) = refusals.clone().try_acquire_owned()
                {
                    tokio::spawn(async move {
                        refuse(stream, &no_room(full)).await;
                        drop(permit);
                    });
                }
                continue;
            }
        };
        let (listener, broken) = (listener.clone(), broken.clone());
        tokio::spawn(async move {
            let _open = OpenConnection::new();
            let served = tokio::select! {
                served = listener.welcome(stream, client, &slot) => served,
                () = slot.closed() => Ok(()),
            };
            if served.is_err() {
                broken.increment(1);
            }
        });
    }
}

impl HttpListener {
    async fn welcome(self, stream: TcpStream, client: SocketAddr, slot: &Slot) -> Result<(), ()> {
        let server = stream.local_addr().map_err(|_| ())?.ip().to_canonical();
        let requester = Requester { client: client.ip().to_canonical(), server };
        let Some(tls) = &self.tls else {
            return connection(stream, self.router, requester, slot, self.stop).await;
        };
        let mut first = [0];
        let greeted = tokio::time::timeout(PATIENCE, stream.peek(&mut first)).await;
        match greeted.map_err(|_| ())?.map_err(|_| ())? {
            0 => return Ok(()),
            _ if first != [TLS_HANDSHAKE] => {
                refuse(stream, &not_in_the_clear()).await;
                return Err(());
            }
            _ => {}
        }
        let accepted = tokio::time::timeout(PATIENCE, tls.accept(stream)).await;
        let stream = accepted.map_err(|_| ())?.map_err(|_| ())?;
        connection(stream, self.router, requester, slot, self.stop).await
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    requester: Requester,
    slot: &Slot,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ()> {
    let router = TowerToHyperService::new(router);
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(requester);
        let begun = slot.begin().map(|busy| (busy, router.call(request)));
        async move {
            let Some((busy, answer)) = begun else { return Ok(too_late()) };
            let answer = answer.await;
            drop(busy);
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        served = connection.as_mut() => return served.map_err(|_| ()),
        _ = stop.wait_for(|stop| *stop) => {}
    }
    // A request in progress is still answered.
    connection.as_mut().graceful_shutdown();
    connection.await.map_err(|_| ())
}

/// Returns the answer to a request that arrived just after its connection was closed to make room.
fn too_late() -> Response {
    let mut answer =
        Refusal::overloaded("this connection was idle for longest and is closed").into_response();
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

fn no_room(full: Full) -> Refusal {
    Refusal::overloaded(match full {
        Full::Address => "requests are under way on all connections that one address may have",
        Full::Server => "requests are under way on all connections that there is room for",
    })
}

fn not_in_the_clear() -> Refusal {
    let message = "this port speaks HTTPS, and this request came in the clear";
    Refusal::new(StatusCode::BAD_REQUEST, "https_only", message)
}

/// Sends a refusal without reading the request, and closes the connection.
async fn refuse(mut stream: TcpStream, refusal: &Refusal) {
    let answer = refusal.as_bytes();
    let told = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        // The rest of the request is read first, because closing a connection with unread data
        // resets it, and the client might not see the answer.
        let mut unread = [0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        std::io::Result::Ok(())
    };
    // If the client does not read the refusal in time, the connection is closed anyway.
    let _ = tokio::time::timeout(REFUSAL_PATIENCE, told).await;
}
