//! `/mcp`: who calls, which message came, and in which session.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, extract::State, response::Response};
use bobbinet_core::{Caller, Json};
use bobbinet_engine::watched;
use bobbinet_gateway::AdmissionPermit;
use bobbinet_http::server::other_binding::{BodyFault, trace};
use bobbinet_wire::{Error, ErrorKind};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request as HttpRequest, StatusCode, header};
use http_body::Body as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    client::McpClient,
    dispatch::{self, Request},
    door::{Door, Outgoing},
    headers,
    listen::Listener,
    object::Object,
    reply::{self, Accepts, Pace},
    revision::Revision,
    rpc::{Incoming, Params, RpcError},
    sessions::Session,
    watch::Watch,
};

/// Messages that wait for a reader before whoever has more of them waits, too.
const OUT_MAX: usize = 16;

/// What whoever is not known is told, for whatever reason.
const NO_CALLER: &str = "a valid bearer token or API key for this node is needed";

/// A body that is in, of a caller who is known.
struct Entered {
    caller: Arc<Caller>,
    permit: AdmissionPermit,
    body: Bytes,
    headers: HeaderMap,
    accepts: Accepts,
}

/// One or several messages.
pub(crate) async fn post(State(door): State<Arc<Door>>, request: HttpRequest<Body>) -> Response {
    let (parts, mut body) = request.into_parts();
    let (headers, extensions) = (parts.headers, parts.extensions);
    let refused = |body: &Body, mut response: Response| {
        // What is still coming is not waited for.
        if !body.is_end_stream() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    };
    let caller = match caller(&door, &headers, &extensions).await {
        Ok(caller) => caller,
        Err(response) => return refused(&body, *response),
    };
    let permit = match door.server.gateway().admit(&caller) {
        Ok(permit) => permit,
        Err(full) => return refused(&body, reply::error(&RpcError::of(&door.server.fault_of_full(full)), None)),
    };
    let accepts = headers::accepts(&headers);
    let unfit = if !headers::is_json(&headers) {
        let text = "the body must be application/json";
        Some(RpcError::at_the_door(text, StatusCode::UNSUPPORTED_MEDIA_TYPE))
    } else if !accepts.json && !accepts.events {
        let text = "answers are application/json or text/event-stream: accept both";
        Some(RpcError::at_the_door(text, StatusCode::NOT_ACCEPTABLE))
    } else {
        None
    };
    if let Some(unfit) = unfit {
        return refused(&body, reply::error(&unfit, None));
    }
    let bytes = match door.server.read_body(&mut body).await {
        Ok(bytes) => bytes,
        Err(reason) => {
            let status = match reason {
                BodyFault::Large => StatusCode::PAYLOAD_TOO_LARGE,
                BodyFault::Slow => StatusCode::REQUEST_TIMEOUT,
                BodyFault::Broken => StatusCode::BAD_REQUEST,
            };
            let error = RpcError::of(&door.server.fault_of_body(reason)).with_status(status);
            return refused(&body, reply::error(&error, None));
        }
    };
    read(&door, Entered { caller, permit, body: bytes, headers, accepts }).await
}

/// Tells a session of changes, for as long as it listens.
pub(crate) async fn get(State(door): State<Arc<Door>>, request: HttpRequest<Body>) -> Response {
    let (parts, _) = request.into_parts();
    let caller = match caller(&door, &parts.headers, &parts.extensions).await {
        Ok(caller) => caller,
        Err(response) => return *response,
    };
    let refused = |text: &str, status| reply::error(&RpcError::at_the_door(text, status), None);
    let Some(id) = headers::text(&parts.headers, headers::SESSION) else {
        let text = "only sessions listen by GET: what else there is to ask comes by POST";
        let mut response = refused(text, StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST, DELETE"));
        return response;
    };
    let accepts = headers::accepts(&parts.headers);
    if !accepts.events {
        return refused("what a session is told is text/event-stream: accept it", StatusCode::NOT_ACCEPTABLE);
    }
    let Some(session) = find(&door, &caller, id).await else { return reply::error(&no_session(), None) };
    let (out, told) = mpsc::channel(OUT_MAX);
    let listener = match Listener::of_session(door.clone(), caller, &session, out) {
        Ok(listener) => listener,
        Err(error) => return reply::error(&error, None),
    };
    let work = async move {
        listener.tell(|| session.touch()).await;
    };
    door.server.work().spawn(watched("MCP listener", work));
    let keep_alive = door.server.limits().keep_alive();
    reply::stream(told, Pace { accepts, plain: Duration::ZERO, keep_alive, guard: None })
}

/// Ends a session.
pub(crate) async fn delete(State(door): State<Arc<Door>>, request: HttpRequest<Body>) -> Response {
    let (parts, _) = request.into_parts();
    let caller = match caller(&door, &parts.headers, &parts.extensions).await {
        Ok(caller) => caller,
        Err(response) => return *response,
    };
    match headers::text(&parts.headers, headers::SESSION) {
        None => reply::error(&no_session_named(), None),
        Some(id) => {
            // What it follows ends with it, also if an earlier process of the node has begun that.
            find(&door, &caller, id).await;
            match door.sessions.end(&caller, id, door.now()) {
                true => reply::empty(StatusCode::NO_CONTENT),
                false => reply::error(&no_session(), None),
            }
        }
    }
}

/// Who calls, if he may at all: a page from elsewhere may not, whoever has opened it.
async fn caller(door: &Door, headers: &HeaderMap, extensions: &http::Extensions) -> Result<Arc<Caller>, Box<Response>> {
    if !door.server.is_page_allowed(headers) {
        let text =
            "pages of this origin may not call here: name it under `cors` in the node's configuration if they should";
        return Err(Box::new(reply::error(&RpcError::at_the_door(text, StatusCode::FORBIDDEN), None)));
    }
    door.server.caller_at(&door.audiences, headers, extensions).await.map_err(|rejected| {
        // The same for every reason, but for the challenge: whether there was a token at all is no secret.
        let error = Error::new(ErrorKind::Unauthenticated).with_message(NO_CALLER);
        let mut response = reply::error(&RpcError::of(&error), None);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(rejected.challenge()));
        Box::new(response)
    })
}

async fn read(door: &Arc<Door>, entered: Entered) -> Response {
    let text = std::str::from_utf8(&entered.body).map_err(|error| error.to_string());
    let json = text.and_then(|text| Json::parse(text).map_err(|error| error.to_string()));
    let json = match json {
        Ok(json) => json,
        Err(why) => return reply::error(&RpcError::parse(&why), None),
    };
    if json.as_str().trim_start().starts_with('[') {
        return batch(door, entered, &json).await;
    }
    match Incoming::read(&json) {
        Ok(Incoming::Request { id, method, params }) => request(door, entered, id, &method, params).await,
        Ok(Incoming::Notification { method, params }) => notification(door, &entered, &method, &params).await,
        Ok(Incoming::Response { id, result }) => match session(door, &entered).await {
            Ok(session) => {
                session.answer(&id, result);
                reply::empty(StatusCode::ACCEPTED)
            }
            Err(error) => reply::error(&error, None),
        },
        Err((id, error)) => reply::error(&error, id.as_ref()),
    }
}

/// The session that a message belongs to, which is its caller's.
async fn session(door: &Arc<Door>, entered: &Entered) -> Result<Arc<Session>, RpcError> {
    let id = headers::text(&entered.headers, headers::SESSION).ok_or_else(no_session_named)?;
    find(door, &entered.caller, id).await.ok_or_else(no_session)
}

/// This caller's session of this id. One that an earlier process of the node began follows again what it followed there, before
/// anything else is done in it.
async fn find(door: &Arc<Door>, caller: &Arc<Caller>, id: &str) -> Option<Arc<Session>> {
    let session = door.sessions.find(caller, id, door.now())?;
    session.resumed.get_or_init(|| Watch::resume(door, caller, &session)).await;
    Some(session)
}

fn no_session_named() -> RpcError {
    let text =
        "the header Mcp-Session-Id is missing: begin with `initialize`, or say in `_meta` which revision this is";
    RpcError::invalid_request(text)
}

fn no_session() -> RpcError {
    let text = "there is no such session of yours: begin another with `initialize`";
    RpcError::invalid_request(text).with_status(StatusCode::NOT_FOUND)
}

async fn notification(door: &Arc<Door>, entered: &Entered, method: &str, params: &Params) -> Response {
    if headers::is_stateless(&entered.headers, params) {
        return reply::empty(StatusCode::ACCEPTED);
    }
    match session(door, entered).await {
        Ok(session) => {
            note(&session, method, params);
            reply::empty(StatusCode::ACCEPTED)
        }
        Err(error) => reply::error(&error, None),
    }
}

fn note(session: &Session, method: &str, params: &Params) {
    if let ("notifications/cancelled", Some(id)) = (method, params.get("requestId")) {
        session.cancel(id);
    }
}

async fn request(door: &Arc<Door>, entered: Entered, id: Json, method: &str, params: Params) -> Response {
    tracing::debug!(method, principal = %entered.caller.principal, "request over MCP");
    let is_stateless = headers::is_stateless(&entered.headers, &params);
    let (client, session) = if is_stateless {
        match headers::client(&entered.headers, method, &params) {
            Ok(client) => (client, None),
            Err(error) => return reply::error(&error, Some(&id)),
        }
    } else if method == "initialize" {
        return initialize(door, &entered, &id, &params);
    } else if method == "ping" && !entered.headers.contains_key(headers::SESSION) {
        // The one thing that may be asked before a handshake.
        return reply::now(Outgoing::result(&id, &Object::default().to_json(), None), entered.accepts);
    } else {
        match session(door, &entered).await {
            Ok(session) => (heard(session.client, entered.accepts), Some(session)),
            Err(error) => return reply::error(&error, Some(&id)),
        }
    };
    if method == "subscriptions/listen" && is_stateless && !entered.accepts.events {
        let text = "what a subscription tells is text/event-stream: accept it";
        return reply::error(&RpcError::at_the_door(text, StatusCode::NOT_ACCEPTABLE), Some(&id));
    }
    let (out, told) = mpsc::channel(OUT_MAX);
    let canceled = CancellationToken::new();
    let pace = Pace {
        accepts: entered.accepts,
        plain: door.limits.plain_answer,
        keep_alive: door.server.limits().keep_alive(),
        // Over HTTP that is how a request without a session is taken back. Others go on, and are taken back by name.
        guard: is_stateless.then(|| reply::guard(&canceled)),
    };
    let Entered { caller, permit, headers, accepts, .. } = entered;
    let trace = trace(&headers);
    let request = Request { door: door.clone(), caller, client, session, trace, id: id.clone(), params, canceled, out };
    match request.answer(method, permit).await {
        Some(answer) => reply::now(status(answer, is_stateless), accepts),
        None => reply::later(&id, told, pace).await,
    }
}

/// Older revisions have a status for HTTP's own faults alone.
fn status(answer: Outgoing, is_stateless: bool) -> Outgoing {
    if is_stateless { answer } else { Outgoing { status: StatusCode::OK, ..answer } }
}

/// A client that reads no streams cannot be asked in the middle of a call.
fn heard(client: McpClient, accepts: Accepts) -> McpClient {
    if accepts.events { client } else { McpClient::silent(client.revision) }
}

fn initialize(door: &Door, entered: &Entered, id: &Json, params: &Params) -> Response {
    let version = match params.required::<String>("protocolVersion") {
        Ok(version) => version,
        Err(error) => return reply::error(&error, Some(id)),
    };
    let known = Revision::read(&version).filter(|revision| !revision.is_stateless());
    let revision = known.unwrap_or(Revision::NEWEST_WITH_SESSIONS);
    let client = McpClient::with(revision, params.get("capabilities"));
    let Ok(session) = door.sessions.begin(&entered.caller, client, door.now()) else {
        let error = Error::new(ErrorKind::Unavailable)
            .with_message("This node has as many MCP sessions as it may (sessions_max)")
            .with_retry_after(Duration::from_millis(door.server.limits().retry_after_ms));
        return reply::error(&RpcError::of(&error), Some(id));
    };
    let answer = Outgoing::result(id, &dispatch::initialized(revision, door), None);
    let mut response = reply::now(answer, entered.accepts);
    if let Ok(id) = HeaderValue::from_str(session.id()) {
        response.headers_mut().insert(headers::SESSION, id);
    }
    response
}

/// Several messages at once, as one revision has them.
async fn batch(door: &Arc<Door>, entered: Entered, json: &Json) -> Response {
    let messages: Vec<Json> = json.read().unwrap_or_default();
    if messages.is_empty() {
        return reply::error(&RpcError::invalid_request("a batch has at least one message"), None);
    }
    let session = match session(door, &entered).await {
        Ok(session) => session,
        Err(error) => return reply::error(&error, None),
    };
    let max = door.limits.batch_max;
    let unfit = match messages.len() {
        _ if !session.client.revision.has_batches() => {
            Some("this revision has no batches: send each message alone".to_owned())
        }
        count if count > max => Some(format!("a batch has {max} messages at the most (batch_max)")),
        _ => None,
    };
    if let Some(text) = unfit {
        return reply::error(&RpcError::invalid_request(&text), None);
    }
    let read: Vec<_> = messages.iter().map(Incoming::read).collect();
    let has_requests = read.iter().any(|message| match message {
        Ok(Incoming::Request { .. }) | Err(_) => true,
        Ok(Incoming::Notification { .. } | Incoming::Response { .. }) => false,
    });
    let (out, told) = mpsc::channel(OUT_MAX);
    let (accepts, keep_alive) = (entered.accepts, door.server.limits().keep_alive());
    let work = each_of_batch(door.clone(), session, entered, read, out);
    if !has_requests {
        work.await;
        return reply::empty(StatusCode::ACCEPTED);
    }
    // By itself: what the first of them tells is read while the others are still begun.
    door.server.work().spawn(watched("MCP batch", work));
    reply::batch(told, Pace { accepts, plain: door.limits.plain_answer, keep_alive, guard: None }).await
}

/// Begins the messages of a batch, one after the other.
async fn each_of_batch(
    door: Arc<Door>,
    session: Arc<Session>,
    entered: Entered,
    messages: Vec<Result<Incoming, (Option<Json>, RpcError)>>,
    out: mpsc::Sender<Outgoing>,
) {
    let Entered { caller, permit, headers, accepts, .. } = entered;
    let client = heard(session.client, accepts);
    let mut permit = Some(permit);
    for message in messages {
        let answer = match message {
            Ok(Incoming::Notification { method, params }) => {
                note(&session, &method, &params);
                None
            }
            Ok(Incoming::Response { id, result }) => {
                session.answer(&id, result);
                None
            }
            Ok(Incoming::Request { id, method, params }) => {
                match permit.take().map_or_else(|| door.admit(&caller), Ok) {
                    Ok(own) => {
                        let request = Request {
                            door: door.clone(),
                            caller: caller.clone(),
                            client,
                            session: Some(session.clone()),
                            trace: trace(&headers),
                            id,
                            params,
                            canceled: CancellationToken::new(),
                            out: out.clone(),
                        };
                        request.answer(&method, own).await
                    }
                    Err(error) => Some(Outgoing::error(&id, &error)),
                }
            }
            Err((id, error)) => {
                let none = Json::of(&());
                Some(Outgoing::error(id.as_ref().unwrap_or(&none), &error))
            }
        };
        if let Some(answer) = answer {
            out.send(answer).await.ok();
        }
    }
}
