//! What is too large for a task or a message, at URLs of its own: a task's blobs are read, and what a message will name is uploaded.
//!
//! All of it is streamed: neither way takes more memory than a piece, whatever it weighs. Each reader and each sender counts as one answer
//! of such a piece among those that are not taken yet, so that how many there are has a bound.

use std::{fmt::Write as _, io, sync::Arc, time::Duration};

use axum::{body::Body, extract::Request, response::Response};
use bobbinet_auth::Rejected;
use bobbinet_core::Caller;
use bobbinet_engine::{BlobError, BlobKind, BlobReader, EngineError, OpenBlob, Uploaded};
use bobbinet_gateway::{BlobRefusal, GatewayError, RequestContext};
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use http_body::Body as _;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::{
    a2a_server::{Mounted, Server},
    answer, auth,
    body::{self, BodyFault},
    events::decoded,
    other_binding::MCP_PATH,
    problem::Problem,
    range::{self, Range},
    receive,
    unsent::Room,
};

/// Bytes that a reader or a sender takes in memory: a piece of a blob.
const PIECE: usize = 1 << 20;

/// Bytes in a second that a sender sends at least, on the whole: whoever is slower takes the place of others.
const UPLOAD_RATE_MIN: u64 = 16 << 10;

/// Characters of a media type or a file's name that are kept.
const LABEL_LENGTH_MAX: usize = 255;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked<'a> {
    /// What this task refers to under this hash.
    OfTask(&'a str, &'a str),
    /// What the caller has uploaded under this id.
    Upload(&'a str),
}

/// `GET` and `HEAD` of a blob.
pub(super) async fn show(server: &Arc<Server>, agent: &Mounted, asked: Asked<'_>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let caller = match caller(server, agent, &parts).await {
        Ok(caller) => caller,
        Err(rejected) => return Problem::unauthenticated(server, &rejected),
    };
    shown(server, &caller, agent, asked, &parts).await.unwrap_or_else(|problem| problem.response(server))
}

/// `DELETE` of an upload.
pub(super) async fn remove(server: &Arc<Server>, agent: &Mounted, id: &str, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let caller = match caller(server, agent, &parts).await {
        Ok(caller) => caller,
        Err(rejected) => return Problem::unauthenticated(server, &rejected),
    };
    let removed = async {
        let _permit = server.gateway.admit(&caller)?;
        server.gateway.remove_upload(&context(&caller, agent), id).await.map_err(problem)
    };
    match removed.await {
        Ok(()) => answer::empty(StatusCode::NO_CONTENT),
        Err(problem) => problem.response(server),
    }
}

/// `POST` of what a message will name.
pub(super) async fn upload(server: &Arc<Server>, agent: &Mounted, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    // Who is not known takes no permit from those who are, however slowly he sends.
    let caller = match caller(server, agent, &parts).await {
        Ok(caller) => caller,
        Err(rejected) => return body::refused(&body, Problem::unauthenticated(server, &rejected)),
    };
    match taken_in(server, &caller, agent, &parts, &mut body).await {
        Ok(uploaded) => told(&uploaded),
        Err(problem) => body::refused(&body, problem.response(server)),
    }
}

/// Who calls: a token may be made for the agent, or for the door through which a host has the agent's results.
async fn caller(server: &Server, agent: &Mounted, parts: &Parts) -> Result<Arc<Caller>, Rejected> {
    let Parts { headers, extensions, .. } = parts;
    let mut audiences = agent.audiences.clone();
    if server.mcp.is_some() {
        audiences.extend(server.audiences_at(MCP_PATH));
    }
    auth::caller_at(server, &audiences, headers, extensions).await
}

async fn shown(
    server: &Server,
    caller: &Arc<Caller>,
    agent: &Mounted,
    asked: Asked<'_>,
    parts: &Parts,
) -> Result<Response, Problem> {
    let permit = server.gateway.admit(caller)?;
    let context = context(caller, agent);
    let found = match asked {
        Asked::OfTask(task, hash) => server.gateway.blob(&context, task, hash).await,
        Asked::Upload(id) => server.gateway.upload(&context, id).await,
    };
    let found = found.map_err(problem)?;
    drop(permit);
    let (etag, length) = (format!("\"{}\"", found.hash), found.length);
    let mut response = if is_known(&parts.headers, &etag) {
        answer::empty(StatusCode::NOT_MODIFIED)
    } else {
        match range::of(&parts.headers, length, &etag) {
            Range::Whole => content(server, caller, parts, found, (0, length)).await?,
            Range::Part(first, end) => {
                let mut response = content(server, caller, parts, found, (first, end)).await?;
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let range = format!("bytes {first}-{}/{length}", end - 1);
                insert(response.headers_mut(), header::CONTENT_RANGE, &range);
                response
            }
            Range::Unsatisfiable => {
                let detail = format!("it has {length} bytes, and none of those that were asked for");
                let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_NOT_SATISFIABLE", detail);
                let mut response = problem.response(server);
                insert(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{length}"));
                response
            }
        }
    };
    let headers = response.headers_mut();
    insert(headers, header::ETAG, &etag);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // For this caller alone: whether it is his is asked anew each time.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

/// The bytes from the first to before the last one, or what they would be described by.
async fn content(
    server: &Server,
    caller: &Caller,
    parts: &Parts,
    found: OpenBlob,
    (first, end): (u64, u64),
) -> Result<Response, Problem> {
    let body = if parts.method == Method::HEAD || first == end {
        Body::empty()
    } else {
        let bytes = usize::try_from(end - first).unwrap_or(PIECE).min(PIECE);
        let room = server.unsent.room(caller, bytes).await?;
        // The first piece before the status: what is damaged there is told, and not cut off.
        let piece = piece(&found.reader, first, end).await.map_err(|error| problem(error.into()))?;
        body_of(found.reader, piece, (first, end), room)
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(end - first));
    describe(headers, &found.kind);
    Ok(response)
}

/// What is said of a content. It comes from a tool or a caller, so no browser is to take it for a page of this node.
fn describe(headers: &mut HeaderMap, kind: &BlobKind) {
    let media_type = kind.media_type.as_deref().and_then(|it| HeaderValue::from_str(it).ok());
    let media_type = media_type.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_TYPE, media_type);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    let disposition = match &kind.filename {
        Some(name) => format!("attachment; filename*=UTF-8''{}", encoded(name)),
        None => "attachment".to_owned(),
    };
    insert(headers, header::CONTENT_DISPOSITION, &disposition);
}

/// A name as RFC 8187 writes it.
fn encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' => out.push(char::from(byte)),
            byte => write!(out, "%{byte:02X}").expect("a text takes all that is written"),
        }
    }
    out
}

/// The bytes from one to before another, a piece at a time, each checked. What is damaged ends the connection before it is given.
fn body_of(reader: BlobReader, begun: Bytes, (first, end): (u64, u64), room: Room) -> Body {
    let at = first + begun.len() as u64;
    let rest = stream::unfold((reader, Some(begun), at, room), move |(reader, begun, at, room)| async move {
        if let Some(begun) = begun {
            return Some((Ok(begun), (reader, None, at, room)));
        }
        if at >= end {
            return None;
        }
        let read = piece(&reader, at, end).await.map_err(io::Error::other);
        // After an error nothing is read any more.
        let next = read.as_ref().map_or(end, |piece| at + piece.len() as u64);
        Some((read, (reader, None, next, room)))
    });
    Body::from_stream(rest)
}

async fn piece(reader: &BlobReader, at: u64, end: u64) -> Result<Bytes, BlobError> {
    let piece = reader.read_from(at).await?;
    let left = usize::try_from(end - at).unwrap_or(usize::MAX);
    Ok(piece.slice(..piece.len().min(left)))
}

fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut known = known.flat_map(|value| value.split(',')).map(|known| known.trim().trim_start_matches("W/"));
    known.any(|known| known == "*" || known == etag)
}

async fn taken_in(
    server: &Server,
    caller: &Arc<Caller>,
    agent: &Mounted,
    parts: &Parts,
    body: &mut Body,
) -> Result<Uploaded, Problem> {
    let permit = server.gateway.admit(caller)?;
    if receive::coding(&parts.headers).is_some() {
        let detail = "send the body as it is, without Content-Encoding";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_CODING", detail));
    }
    let kind = kind_of(&parts.headers)?;
    let mut upload = server.gateway.begin_upload(&context(caller, agent), kind).await.map_err(problem)?;
    upload.expect(body.size_hint().lower()).map_err(|error| problem(error.into()))?;
    drop(permit);
    let _room = server.unsent.room(caller, PIECE).await?;
    let begun = Instant::now();
    let mut length = 0;
    loop {
        // On the whole so fast, and never silent for longer than a whole body may take elsewhere.
        let on_the_whole = begun + server.limits.body_read() + Duration::from_secs(length / UPLOAD_RATE_MIN);
        let deadline = on_the_whole.min(Instant::now() + server.limits.body_read());
        let next = timeout_at(deadline, body::next(body)).await.unwrap_or(Err(BodyFault::Slow))?;
        let Some(bytes) = next else { break };
        length += bytes.len() as u64;
        upload.write(bytes).await.map_err(|error| problem(error.into()))?;
    }
    upload.finish().await.map_err(|error| problem(error.into()))
}

/// What is said of an upload: its `Content-Type`, and the name in its `Content-Disposition`.
fn kind_of(headers: &HeaderMap) -> Result<BlobKind, Problem> {
    let text = |name: HeaderName| {
        let Some(value) = headers.get(&name) else { return Ok(None) };
        let text = value.to_str().ok().filter(|text| text.len() <= LABEL_LENGTH_MAX);
        text.map(Some).ok_or_else(|| {
            let detail = format!("{name} is not readable, or has more than {LABEL_LENGTH_MAX} characters");
            Problem::new(StatusCode::BAD_REQUEST, "INVALID_HEADER", detail)
        })
    };
    let media_type = text(header::CONTENT_TYPE)?.map(|it| Arc::from(it.trim()));
    let filename = text(header::CONTENT_DISPOSITION)?.and_then(filename).map(Arc::from);
    Ok(BlobKind { media_type, filename })
}

/// The name in a `Content-Disposition` (RFC 6266), without folders.
fn filename(disposition: &str) -> Option<String> {
    let named = |wanted: &str| {
        let mut parameters = disposition.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
        parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    };
    let name = match named("filename*").and_then(|value| value.rsplit_once('\'')) {
        Some((_, extended)) => decoded(extended.as_bytes())?,
        None => named("filename")?.trim_matches('"').to_owned(),
    };
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    (!last.is_empty() && !last.contains(char::is_control)).then(|| last.to_owned())
}

fn told(uploaded: &Uploaded) -> Response {
    let Uploaded { url, hash, length, expires } = uploaded;
    let body = json!({ "url": url, "sha256": hash.to_string(), "size": length, "expires": expires.to_string() });
    let mut response = answer::json(StatusCode::CREATED, body.to_string());
    let headers = response.headers_mut();
    insert(headers, header::LOCATION, url);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn context<'a>(caller: &'a Caller, agent: &'a Mounted) -> RequestContext<'a> {
    RequestContext { caller, agent: &agent.name, skill: None, trace: None, idempotency: None, extensions: &[] }
}

/// What the caller reads.
fn problem(refusal: BlobRefusal) -> Problem {
    let unavailable = |detail: &str| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", format!("{detail}: try again")).passing()
    };
    match refusal {
        BlobRefusal::Gateway(GatewayError::Denied(denied)) => {
            Problem::new(StatusCode::FORBIDDEN, "PERMISSION_DENIED", denied.to_string())
        }
        BlobRefusal::Gateway(GatewayError::Full(full)) => full.into(),
        BlobRefusal::Gateway(GatewayError::NotFound | GatewayError::Engine(EngineError::NotFound))
        | BlobRefusal::Blob(BlobError::NotFound) => {
            let detail =
                "there is nothing here for you: tasks and uploads are their owner's, and an upload ends in its time";
            Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", detail)
        }
        BlobRefusal::Gateway(GatewayError::Engine(EngineError::Draining)) => unavailable("the node is stopping"),
        BlobRefusal::Gateway(error) => {
            tracing::error!(%error, "a blob could not be read or kept");
            unavailable("it cannot be read or kept now")
        }
        BlobRefusal::Blob(BlobError::Large { max }) => {
            let detail = format!("an upload has at most {max} bytes: the node's limit is blob_bytes_max");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "UPLOAD_TOO_LARGE", detail)
        }
        BlobRefusal::Blob(BlobError::Full { what, max }) => {
            let way_out = "delete uploads that are not needed any more; what a task refers to goes with the task";
            let detail = format!("a limit is reached: {what} is {max}; {way_out}");
            Problem::new(StatusCode::INSUFFICIENT_STORAGE, "NO_ROOM", detail)
        }
        BlobRefusal::Blob(BlobError::Corrupt(why)) => {
            tracing::error!(why, "a blob is damaged");
            let detail = "it is damaged on this node's disk, and is not given out: tell the node's operator";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "CORRUPT", detail)
        }
        BlobRefusal::Blob(error @ BlobError::Quarantined) => {
            Problem::new(StatusCode::CONFLICT, "QUARANTINED", error.to_string())
        }
        BlobRefusal::Blob(BlobError::Unavailable(why)) => {
            tracing::error!(why, "a blob could not be read or kept");
            unavailable("it cannot be read or kept now")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_name_that_its_sender_says_and_no_folder() {
        for (disposition, expected) in [
            (r#"attachment; filename="a b.txt""#, Some("a b.txt")),
            ("attachment; filename=a.txt; filename*=UTF-8''%C3%A4.txt", Some("\u{e4}.txt")),
            ("attachment; filename=../../etc/passwd", Some("passwd")),
            (r#"attachment; filename="C:\x\a.txt""#, Some("a.txt")),
            ("attachment; filename*=UTF-8''a%0Ab", None),
            (r#"attachment; filename="""#, None),
            ("attachment", None),
        ] {
            assert_eq!(filename(disposition).as_deref(), expected, "{disposition}");
        }
        assert_eq!(encoded("\u{e4} b.txt"), "%C3%A4%20b.txt");
    }
}
