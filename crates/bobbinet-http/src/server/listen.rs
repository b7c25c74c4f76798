//! Accepting connections and serving each until it ends: hyper driven directly, for it sets no bound by itself and
//! `axum::serve` leaves it at that.

use std::{convert::Infallible, io, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request, response::Response};
use http::StatusCode;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::{
    Site, answer,
    held::Held,
    router,
    socket::{InRequest, Socket},
};
use crate::HttpLimits;

/// How long to wait before accepting again when the system has no file descriptor left: a moment in which one may be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How much longer than `drain` a connection may take to write its last answer once the server is told to stop.
const LAST_WRITE_MAX: Duration = Duration::from_secs(2);

/// Serves `site` on `listener` until its `stop` is told, then ends in order: nothing more is accepted, requests in flight get their
/// answers, streams end with a `retry:` hint, waits end after the limit `drain`. Returns when every connection has ended.
///
/// Dropping the future cuts all connections.
pub async fn serve(listener: TcpListener, site: Arc<Site>) {
    let stop = site.stop.clone();
    let limits = site.limits().clone();
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let server = Server { router: router::router(site), limits, stop };
    let mut connections = JoinSet::new();
    while let Some((stream, place)) = next(&listener, &places, &server.stop, &mut connections).await {
        let server = server.clone();
        connections.spawn(async move {
            server.connection(stream).await;
            drop(place);
        });
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    let is_late = tokio::time::timeout(server.limits.drain() + LAST_WRITE_MAX, all_ended).await.is_err();
    if is_late {
        tracing::warn!(connections = connections.len(), "cut connections that did not end in time");
        connections.shutdown().await;
    }
}

/// The next connection and its place among the many, or `None` when it is time to stop. The place is taken first, so that
/// a connection beyond the limit is never accepted.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    stop: &CancellationToken,
    connections: &mut JoinSet<()>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = async {
            let place = places.clone().acquire_owned().await.expect("nobody closes the semaphore");
            listener.accept().await.map(|(stream, _)| (stream, place))
        };
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok(accepted) => return Some(accepted),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections; trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether only the connection is lost that was about to be accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

#[derive(Clone)]
struct Server {
    router: Router,
    limits: HttpLimits,
    stop: CancellationToken,
}

impl Server {
    async fn connection(self, stream: TcpStream) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot turn off Nagle's algorithm");
        }
        let (socket, activity) = Socket::new(stream, &self.limits);
        let (router, limits) = (self.router, self.limits.clone());
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let in_request = InRequest::begin(&activity);
            let mut router = router.clone();
            let refusal = refusal(&request, &limits);
            async move {
                if let Some(status) = refusal {
                    return Ok(held(answer::empty(status), in_request));
                }
                let request: Request = request.map(Body::new);
                let response = router.call(request).await.unwrap_or_else(|never: Infallible| match never {});
                Ok::<_, Infallible>(held(response, in_request))
            }
        });
        let connection = http1::Builder::new()
            // The socket keeps the time; see there.
            .header_read_timeout(None)
            .max_header_size(self.limits.header_bytes_max)
            .max_buf_size(self.limits.send_buffer_max.max(self.limits.header_bytes_max))
            .serve_connection(TokioIo::new(socket), service);
        let mut connection = pin!(connection);
        let result = tokio::select! {
            biased;
            result = connection.as_mut() => result,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(error = &error as &dyn std::error::Error, "connection ended");
        }
    }
}

/// Why a request is not looked at: hyper parses up to a hundred headers and a long path without asking.
fn refusal(request: &hyper::Request<Incoming>, limits: &HttpLimits) -> Option<StatusCode> {
    let url_length = request.uri().path_and_query().map_or(0, |text| text.as_str().len());
    if url_length > limits.url_max {
        return Some(StatusCode::URI_TOO_LONG);
    }
    (request.headers().len() > limits.headers_max).then_some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
}

/// The connection is at work until the last byte of the response, not of its headers.
fn held(response: Response, in_request: InRequest) -> Response<Held<Body, InRequest>> {
    response.map(|body| Held::new(body, in_request))
}
