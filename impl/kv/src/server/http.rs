//! Connections of clients: bounded in number, in patience and in memory.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::metrics::OpenConnection;

/// How long a client may take to send the head of a request, its TLS greeting, or nothing at all
/// between two requests.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much of a request's head is read before it must be complete, in bytes. A key of the maximal
/// length takes three times its length when it is percent-encoded.
const HEAD: usize = 64 << 10;

/// Accepts clients until told to stop.
pub(super) async fn serve(
    socket: TcpListener,
    router: Router,
    tls: Option<TlsAcceptor>,
    max_connections: usize,
    mut stop: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(max_connections));
    let refused = metrics::counter!("http_refused_connections_total");
    let broken = metrics::counter!("http_broken_connections_total");
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept clients for the moment");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = room.clone().try_acquire_owned() else {
            refused.increment(1);
            continue;
        };
        // It only costs speed if the system refuses.
        let _ = stream.set_nodelay(true);
        let (router, tls, broken) = (router.clone(), tls.clone(), broken.clone());
        let stop = stop.clone();
        tokio::spawn(async move {
            let _open = OpenConnection::new();
            let served = match tls {
                None => connection(stream, router, stop).await,
                Some(tls) => match tokio::time::timeout(PATIENCE, tls.accept(stream)).await {
                    Ok(Ok(stream)) => connection(stream, router, stop).await,
                    _ => Err(()),
                },
            };
            if served.is_err() {
                broken.increment(1);
            }
            drop(permit);
        });
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ()> {
    let service = TowerToHyperService::new(router);
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
    // The request that is under way is answered.
    connection.as_mut().graceful_shutdown();
    connection.await.map_err(|_| ())
}
