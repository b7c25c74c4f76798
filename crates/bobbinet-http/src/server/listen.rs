//! Accepting connections and serving each until it ends: hyper driven directly, for it sets no bound by itself and
//! `axum::serve` leaves it at that.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, response::Response};
use bobbinet_engine::watched;
use bobbinet_gateway::Full;
use futures::future::{Either, ready};
use http::{HeaderValue, header};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::{
    Server,
    a2a_server::Reached,
    answer, fault,
    gate::{ConnectionPermit, Gate},
    held::Held,
    pace::Pace,
    probe, router, shape,
    socket::{Activity, InRequest, Socket},
    tasks::Tasks,
    tls::{Guest, Shown},
    transport::{self, Transport},
};
use crate::HttpLimits;

/// How long to wait before accepting again when the system has no file descriptor left: a moment in which one may be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How much longer than `drain` a connection may take to write its last answer once the server is told to stop.
const LAST_WRITE_MAX: Duration = Duration::from_secs(2);

/// How often the log is told that connections are turned away: an attack would fill it.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Serves `server` on `listener` until its `stop` is told, then ends in order: nothing more is accepted, requests in flight get their
/// answers, streams end with a `retry:` hint, waits end after the limit `drain`. Returns when every connection has ended.
///
/// Dropping the future cuts all connections.
pub async fn serve(listener: TcpListener, server: Arc<Server>) {
    let limits = server.limits().clone();
    let gate = Gate::new(&limits, &server.proxies);
    let listening =
        Listening { stop: server.stop.clone(), server: server.clone(), router: router::router(server), limits };
    let mut connections = JoinSet::new();
    let mut probes = ProbeConnections::new(listening.limits.probe_connections_max);
    while let Some((stream, peer)) = next(&listener, &listening.stop, &mut connections).await {
        let listening = listening.clone();
        match gate.enter(peer.ip()) {
            Ok(permit) => drop(connections.spawn(watched("connection", listening.connection(stream, permit)))),
            Err(full) => {
                probes.complain(full, peer.ip());
                if let Some(place) = probes.place().await {
                    probes
                        .visitors
                        .push_back(connections.spawn(watched("connection", listening.turn_away(stream, full, place))));
                }
            }
        }
    }
    drop(listener);
    let work = listening.server.work.clone();
    work.close();
    let all_ended = async {
        while connections.join_next().await.is_some() {}
        work.wait().await;
    };
    let is_late = tokio::time::timeout(listening.limits.drain() + LAST_WRITE_MAX, all_ended).await.is_err();
    if is_late {
        tracing::warn!(connections = connections.len(), "cut connections that did not end in time");
        connections.shutdown().await;
    }
}

/// The next connection, or `None` when it is time to stop.
async fn next(
    listener: &TcpListener,
    stop: &CancellationToken,
    connections: &mut JoinSet<Option<()>>,
) -> Option<(TcpStream, SocketAddr)> {
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            accepted = listener.accept() => accepted,
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

/// Connections for which there is no place: they are heard, for a probe may be among them, and soon sent away.
struct ProbeConnections {
    max: usize,
    places: Arc<Semaphore>,
    /// The oldest first. Each stays until a newer one needs its place: a probe says what it wants at once.
    visitors: VecDeque<AbortHandle>,
    complained: Option<Instant>,
}

impl ProbeConnections {
    fn new(max: usize) -> Self {
        let places = Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        Self { max, places, visitors: VecDeque::new(), complained: None }
    }

    /// A place, made free if need be; `None` where there is none at all. Waits until whoever had it is gone: a connection
    /// takes a descriptor until then, and they may be few.
    async fn place(&mut self) -> Option<OwnedSemaphorePermit> {
        if self.max == 0 {
            return None;
        }
        if self.visitors.len() >= self.max {
            self.visitors.retain(|visitor| !visitor.is_finished());
        }
        let is_full = self.visitors.len() >= self.max;
        if is_full && let Some(oldest) = self.visitors.pop_front() {
            oldest.abort();
        }
        self.places.clone().acquire_owned().await.ok()
    }

    fn complain(&mut self, full: Full, peer: IpAddr) {
        let now = Instant::now();
        if self.complained.is_some_and(|last| now - last < COMPLAINT_INTERVAL) {
            return;
        }
        self.complained = Some(now);
        match full {
            Full::Node(limit) => tracing::warn!(limit, %peer, "connections are turned away: all places are taken"),
            Full::Caller(limit) => tracing::warn!(
                limit,
                %peer,
                "connections of an address are turned away: if it is a proxy, name it in `proxies`, else raise the limit"
            ),
        }
    }
}

/// What each request of a connection has in common.
#[derive(Debug, Default)]
struct Connection {
    reached: Option<Reached>,
    /// The certificate that the caller has shown.
    shown: Option<Arc<Shown>>,
    /// Told when no further request is to come over it: the server stops, or the certificate counts for nothing any more.
    over: CancellationToken,
}

#[derive(Clone)]
struct Listening {
    server: Arc<Server>,
    router: Router,
    limits: HttpLimits,
    stop: CancellationToken,
}

impl Listening {
    async fn connection(self, stream: TcpStream, permit: ConnectionPermit) {
        let reached = self.server.reached(&stream);
        let begun = async {
            let (transport, shown) = self.transport(stream, &self.limits, Guest::Caller).await?;
            let (mut socket, activity) = Socket::new(transport, &self.limits);
            let is_http2 = socket.is_http2().await?;
            Ok((socket, activity, Connection { reached, shown, over: self.stop.child_token() }, is_http2))
        };
        let begun: io::Result<_> = tokio::select! {
            biased;
            begun = begun => begun,
            () = self.stop.cancelled() => return,
        };
        let result = match begun {
            Ok((socket, activity, connection, false)) => self.http1(socket, activity, connection).await,
            Ok((socket, activity, connection, true)) => self.http2(socket, activity, connection).await,
            Err(error) => return tracing::debug!(%error, "a connection ended before its first request"),
        };
        if let Err(error) = result {
            tracing::debug!(error = &error as &dyn std::error::Error, "connection ended");
        }
        drop(permit);
    }

    async fn transport(
        &self,
        stream: TcpStream,
        limits: &HttpLimits,
        guest: Guest,
    ) -> io::Result<(Transport, Option<Arc<Shown>>)> {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot turn off Nagle's algorithm");
        }
        transport::begin(self.server.tls.as_deref(), stream, limits.handshake(), guest).await
    }

    async fn http1(self, socket: Socket, activity: Arc<Activity>, connection: Connection) -> hyper::Result<()> {
        let (router, limits, server) = (self.router, self.limits.clone(), self.server);
        let over = connection.over.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let in_request = InRequest::begin(&activity);
            let is_seen = activity.take_head();
            let refusal = if is_seen { refusal(&request, &limits) } else { Some(unseen()) };
            let refusal = refusal.or_else(|| server.stranger(&request, &connection));
            let response = respond(refusal, &router, request, &connection);
            async move { Ok::<_, Infallible>(held(response.await, in_request)) }
        });
        let connection = http1::Builder::new()
            // The socket keeps the time; see there.
            .header_read_timeout(None)
            .max_header_size(self.limits.header_bytes_max)
            .max_buf_size(self.limits.send_buffer_max.max(self.limits.header_bytes_max))
            .serve_connection(TokioIo::new(socket), service);
        let mut connection = pin!(connection);
        tokio::select! {
            biased;
            result = connection.as_mut() => result,
            () = over.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    }

    /// The same bounds, under the names that HTTP/2 has for them.
    async fn http2(self, socket: Socket, activity: Arc<Activity>, connection: Connection) -> hyper::Result<()> {
        let (router, limits, server) = (self.router, self.limits.clone(), self.server);
        let over = connection.over.clone();
        let pace = Arc::new(Pace::default());
        let paces = pace.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let in_request = InRequest::begin(&activity);
            let refusal = refusal(&request, &limits).or_else(|| server.stranger(&request, &connection));
            let response = respond(refusal, &router, request, &connection);
            let paces = paces.clone();
            async move {
                let mut response = response.await;
                // Which says nothing here (RFC 9113 section 8.2.2).
                response.headers_mut().remove(header::CONNECTION);
                Ok::<_, Infallible>(held(response, in_request).map(|body| paces.watch(body)))
            }
        });
        let number = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        let tasks = Tasks::default();
        let connection = http2::Builder::new(tasks.handle())
            .max_concurrent_streams(self.limits.requests_per_connection_max)
            .max_header_list_size(number(self.limits.header_bytes_max))
            .max_send_buf_size(self.limits.send_buffer_max)
            // What a comment is to a silent event stream, to those of gRPC, which have none.
            .timer(TokioTimer::new())
            .keep_alive_interval(self.limits.keep_alive())
            .keep_alive_timeout(self.limits.send_stall())
            .initial_stream_window_size(number(self.limits.receive_window))
            .initial_connection_window_size(number(self.limits.receive_window))
            .serve_connection(TokioIo::new(socket), service);
        let mut connection = pin!(connection);
        let mut stalled = pin!(pace.stalled(self.limits.send_stall()));
        let result = tokio::select! {
            biased;
            result = connection.as_mut() => result,
            () = stalled.as_mut() => return Ok(()),
            () = over.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    biased;
                    result = connection.as_mut() => result,
                    () = stalled.as_mut() => return Ok(()),
                }
            }
        };
        tasks.ended().await;
        result
    }

    /// Hears one question of a connection for which there is no place, and answers it if it is a probe's.
    async fn turn_away(self, stream: TcpStream, full: Full, place: OwnedSemaphorePermit) {
        let limits = HttpLimits {
            handshake_ms: self.limits.probe_read_ms,
            header_read_ms: self.limits.probe_read_ms,
            half_close_ms: self.limits.probe_read_ms,
            linger_ms: self.limits.probe_read_ms,
            send_stall_ms: self.limits.probe_read_ms,
            ..self.limits.clone()
        };
        let begun = tokio::select! {
            biased;
            begun = self.transport(stream, &limits, Guest::Visitor) => begun,
            () = self.stop.cancelled() => return,
        };
        // However it ends, it was sent away.
        let Ok((transport, _)) = begun else { return };
        let (socket, activity) = Socket::new(transport, &limits);
        let (router, bounds) = (self.router.clone(), limits.clone());
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let in_request = InRequest::begin(&activity);
            let refusal = refusal(&request, &bounds).or_else(|| {
                let is_probe = probe::PATHS.contains(&request.uri().path());
                (!is_probe).then(|| closing(answer::error(&answer::UNREAD, &fault::of_full(full, &bounds))))
            });
            let response = respond(refusal, &router, request, &Connection::default());
            async move { Ok::<_, Infallible>(held(response.await, in_request)) }
        });
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .keep_alive(false)
            .max_header_size(limits.header_bytes_max)
            .serve_connection(TokioIo::new(socket), service);
        tokio::select! {
            biased;
            _ = connection => {}
            () = self.stop.cancelled() => {}
        }
        drop(place);
    }
}

/// Answers with the refusal, if there is one; else with what the request's URL names.
fn respond(
    refusal: Option<Response>,
    router: &Router,
    request: hyper::Request<Incoming>,
    connection: &Connection,
) -> impl Future<Output = Response> + use<> {
    match refusal {
        Some(refusal) => Either::Left(ready(refusal)),
        None => Either::Right(call(router, request, connection)),
    }
}

/// Leads a request to what its URL names.
fn call(
    router: &Router,
    request: hyper::Request<Incoming>,
    connection: &Connection,
) -> impl Future<Output = Response> + use<> {
    let mut request: Request = request.map(Body::new);
    router::simplify(&mut request);
    if let Some(reached) = connection.reached {
        request.extensions_mut().insert(reached);
    }
    if let Some(shown) = &connection.shown {
        request.extensions_mut().insert(shown.clone());
    }
    let response = router.clone().call(request);
    async move { response.await.unwrap_or_else(|never: Infallible| match never {}) }
}

/// The answer to a request that is not looked at, if there is something wrong with its form.
fn refusal(request: &hyper::Request<Incoming>, limits: &HttpLimits) -> Option<Response> {
    let (status, text) = shape::refusal(request, limits)?;
    Some(closing(answer::text(status, format!("{text}\n"))))
}

impl Server {
    /// The answer to one who must show a certificate and has none, unless he is a probe. A connection whose certificate has lost its
    /// authority ends, whatever comes over it: over the next one the caller shows one that counts, if he has it.
    fn stranger(&self, request: &hyper::Request<Incoming>, connection: &Connection) -> Option<Response> {
        let tls = self.tls.as_ref()?;
        let is_known = connection.shown.as_ref().is_some_and(|shown| tls.is_trusted(shown));
        if connection.shown.is_some() && !is_known {
            connection.over.cancel();
        }
        if is_known || !tls.is_client_required() || probe::PATHS.contains(&request.uri().path()) {
            return None;
        }
        let text = "a certificate of an authority that this node trusts is needed\n";
        Some(closing(answer::text(http::StatusCode::FORBIDDEN, text)))
    }
}

/// The answer to a request whose head went by unseen.
fn unseen() -> Response {
    let text = "a request may follow one whose body is chunked only when that one is answered\n";
    closing(answer::text(http::StatusCode::BAD_REQUEST, text))
}

/// The last answer of its connection: what the caller is still sending is not waited for.
fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The connection is at work until the last byte of the response, not of its headers.
fn held(response: Response, in_request: InRequest) -> Response<Held<Body, InRequest>> {
    response.map(|body| Held::new(body, in_request))
}
