//! One JSON-RPC request, from its headers to its answer: who calls is settled first, then the body is read, then the gateway is
//! asked.

use std::sync::Arc;

use axum::{body::Body, extract::Request, response::Response};
use bobbinet_auth::Rejected;
use bobbinet_core::{Caller, SkillId, operation::Operation};
use bobbinet_gateway::{AdmissionPermit, RequestContext};
use bobbinet_wire::{EXTENSION_URI, Error, ErrorKind, RequestId, RpcRequest, envelope, v1_0};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use sha2::{Digest, Sha256};
use tracing::Instrument;

use super::{
    a2a_server::{Mounted, Server},
    answer, auth,
    body::{self, BodyFault},
    call::{self, Call, CallAnswer},
    fault, stream,
};

/// Which version of A2A the request speaks: also the name of a query parameter (specification section 3.6.1).
const VERSION: &str = "a2a-version";
/// Which extensions the caller wants, and which it gets (specification section 4.6).
const EXTENSIONS: HeaderName = HeaderName::from_static("a2a-extensions");
/// The same in 0.3.
const EXTENSIONS_OLD: HeaderName = HeaderName::from_static("x-a2a-extensions");
/// Drops repeats of a send, whether it begins a task or answers one.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The trace that the caller is in (W3C Trace Context).
const TRACEPARENT: &str = "traceparent";
/// Bytes of an idempotency key: room for any UUID or hash in hexadecimal, and a prefix.
const IDEMPOTENCY_KEY_LENGTH_MAX: usize = 128;

/// How much is shown of the name of a method that does not exist, in characters: more than any that does.
const METHOD_SHOWN_MAX: usize = 64;

/// Answers a request to an agent, or to one skill of it.
pub(super) async fn answer(
    server: &Arc<Server>,
    agent: &Mounted,
    skill: Option<SkillId>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let span = tracing::debug_span!(
        "request",
        agent = %agent.name,
        traceparent = parts.headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()),
    );
    let mut response = answer_to(server, agent, skill, &parts, body).instrument(span).await;
    name_extensions(&parts.headers, response.headers_mut());
    response
}

async fn answer_to(
    server: &Arc<Server>,
    agent: &Mounted,
    skill: Option<SkillId>,
    parts: &Parts,
    mut body: Body,
) -> Response {
    let limits = &server.limits;
    // Who is not known takes no permit from those who are, however slowly he sends.
    let caller = match auth::caller(server, agent, &parts.headers, &parts.extensions).await {
        Ok(caller) => caller,
        Err(rejected) => return body::refused(&body, unauthenticated(&rejected)),
    };
    let permit = match server.gateway.admit() {
        Ok(permit) => permit,
        Err(full) => return body::refused(&body, answer::error(&RequestId::NULL, &fault::of_full(full, limits))),
    };
    if let Some(coding) = coding(&parts.headers) {
        return body::refused(&body, encoded(coding));
    }
    if !is_json(&parts.headers) {
        return body::refused(&body, answer::error(&RequestId::NULL, &ErrorKind::ContentTypeNotSupported.into()));
    }
    let text = match body::read(&mut body, limits).await {
        Ok(text) => text,
        Err(reason) => {
            let error = fault::of_body(reason, limits);
            return body::refused(&body, answer::error_with_status(&RequestId::NULL, &error, status_of(reason)));
        }
    };
    let request = match envelope::parse(&text) {
        Ok(request) => request,
        Err(refusal) => return answer::error(&refusal.id, &refusal.error),
    };
    match call_gateway(server, agent, skill, parts, &caller, &request, permit).await {
        Ok(CallAnswer::Whole(body, room)) => answer::pieces(body, room),
        Ok(CallAnswer::Stream(events)) => stream::response(events),
        Err(error) => answer::error(&request.id, &error),
    }
}

async fn call_gateway(
    server: &Arc<Server>,
    agent: &Mounted,
    skill: Option<SkillId>,
    parts: &Parts,
    caller: &Caller,
    request: &RpcRequest<'_>,
    permit: AdmissionPermit,
) -> Result<CallAnswer, Error> {
    check_version(parts, server.is_version_required)?;
    let Some(method) = v1_0::Method::from_name(&request.method) else {
        let name: String = request.method.chars().take(METHOD_SHOWN_MAX).collect();
        let message = format!("A2A {} has no method {name:?}", v1_0::VERSION);
        return Err(Error::new(ErrorKind::MethodNotFound).with_message(message));
    };
    let operation = v1_0::request::decode(method, request.params)?;
    tracing::debug!(method = method.name(), principal = %caller.principal, "request");
    let is_send = matches!(operation, Operation::Send(_) | Operation::SendStreaming(_));
    let is_subscription = matches!(operation, Operation::Subscribe(_));
    let context = RequestContext {
        caller,
        agent: &agent.name,
        skill: skill.or_else(|| call::skill_in(&operation)),
        trace: is_send.then(|| traceparent(&parts.headers)).flatten().map(Arc::from),
        idempotency: if is_send { idempotency(&parts.headers, request)? } else { None },
    };
    let resume = if is_subscription { stream::cursor(&parts.headers) } else { None };
    Call { server, id: &request.id, context, resume }.answer(operation, permit).await
}

/// The same for every reason, but for the challenge: whether there was a token at all is no secret.
pub(super) fn unauthenticated(rejected: &Rejected) -> Response {
    let error = Error::new(ErrorKind::Unauthenticated).with_message(Rejected::PUBLIC);
    let mut response = answer::error(&RequestId::NULL, &error);
    let challenge = HeaderValue::from_static(rejected.challenge());
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

fn status_of(reason: BodyFault) -> StatusCode {
    match reason {
        BodyFault::Large => StatusCode::PAYLOAD_TOO_LARGE,
        BodyFault::Slow => StatusCode::REQUEST_TIMEOUT,
        BodyFault::Broken => StatusCode::BAD_REQUEST,
    }
}

/// What the body is encoded with, if it is: `identity` is no encoding (RFC 9110 section 12.5.3).
pub(super) fn coding(headers: &HeaderMap) -> Option<&HeaderValue> {
    let is_none = |value: &&HeaderValue| value.is_empty() || value.as_bytes().eq_ignore_ascii_case(b"identity");
    headers.get_all(header::CONTENT_ENCODING).iter().find(|value| !is_none(value))
}

/// The answer to a body that would have to be decoded, with what is taken instead (RFC 9110 section 15.5.16).
fn encoded(coding: &HeaderValue) -> Response {
    let message = format!("The request body is encoded as {coding:?}, and only a plain one is read");
    let error = Error::new(ErrorKind::ContentTypeNotSupported)
        .with_message(message)
        .with_hint("Send the body as it is, without Content-Encoding.");
    let mut response = answer::error_with_status(&RequestId::NULL, &error, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    response
}

/// Whether the body says that it is JSON: `application/json`, or a media type built on it such as `application/a2a+json`.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return false };
    if value == "application/json" {
        return true;
    }
    let Ok(value) = value.to_str() else { return false };
    let media_type = value.split(';').next().unwrap_or_default().trim();
    let Some((kind, subtype)) = media_type.split_once('/') else { return false };
    let ends_in_json =
        subtype.get(subtype.len().saturating_sub(5)..).is_some_and(|end| end.eq_ignore_ascii_case("+json"));
    kind.eq_ignore_ascii_case("application") && (subtype.eq_ignore_ascii_case("json") || ends_in_json)
}

/// Any 1.x will do: the patch number has no say, and what 1.1 adds may be left out. Nothing said means 0.3 (section 3.6.2).
fn check_version(parts: &Parts, is_required: bool) -> Result<(), Error> {
    let header = parts.headers.get(VERSION);
    if header.is_some_and(|value| value == v1_0::VERSION) {
        return Ok(());
    }
    let header = header.map(|value| value.to_str().unwrap_or("unreadable"));
    let version = header.or_else(|| version_in_query(parts.uri.query()?)).map(str::trim).unwrap_or_default();
    let is_ours = version.split('.').next() == Some("1") && version.split('.').all(is_number);
    if is_ours || (version.is_empty() && !is_required) {
        return Ok(());
    }
    let message = match version {
        "" => "The request does not say which version of A2A it speaks, which means 0.3".to_owned(),
        other => format!("A2A {other:?} is not spoken here"),
    };
    let message = format!("{message}; this agent speaks {}", v1_0::VERSION);
    Err(Error::new(ErrorKind::VersionNotSupported).with_message(message))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn version_in_query(query: &str) -> Option<&str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case(VERSION))
        .map(|(_, value)| value)
}

/// Echoes the extensions that the caller asked for and that are spoken here.
fn name_extensions(request: &HeaderMap, response: &mut HeaderMap) {
    // Most ask for none, and to look up one after the other takes longer.
    if !request.keys().any(|name| *name == EXTENSIONS || *name == EXTENSIONS_OLD) {
        return;
    }
    for name in [EXTENSIONS, EXTENSIONS_OLD] {
        let asked = request.get_all(&name).iter().filter_map(|value| value.to_str().ok());
        if asked.flat_map(|value| value.split(',')).any(|uri| uri.trim() == EXTENSION_URI) {
            response.insert(name, HeaderValue::from_static(EXTENSION_URI));
        }
    }
}

/// The key that drops repeats, and what it stands for: the method and its parameters, letter for letter.
fn idempotency(headers: &HeaderMap, request: &RpcRequest<'_>) -> Result<Option<(String, [u8; 32])>, Error> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let is_key = |key: &&str| {
        !key.is_empty() && key.len() <= IDEMPOTENCY_KEY_LENGTH_MAX && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let Some(key) = value.to_str().ok().map(str::trim).filter(is_key) else {
        let message = format!("The Idempotency-Key must be 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} visible ASCII characters");
        return Err(Error::new(ErrorKind::InvalidRequest).with_message(message));
    };
    let mut hash = Sha256::new();
    hash.update(request.method.as_bytes());
    hash.update([0]);
    hash.update(request.params.map_or("", |params| params.get()));
    Ok(Some((key.to_owned(), hash.finalize().into())))
}

/// The caller's trace, if it is one: `00-<32 hex>-<16 hex>-<2 hex>`. Anything else is as if it were not there, as W3C says.
fn traceparent(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    let mut fields = text.split('-');
    let lengths = [2, 32, 16, 2];
    let is_hex = |field: &str| field.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let are_right =
        lengths.iter().all(|length| fields.next().is_some_and(|field| field.len() == *length && is_hex(field)));
    (are_right && fields.next().is_none()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn only_1_x_is_spoken() {
        let check = |header: Option<&str>, query: &str, is_required: bool, expected: bool| {
            let mut request = http::Request::builder().uri(format!("/{query}"));
            if let Some(version) = header {
                request = request.header(VERSION, version);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(check_version(&parts, is_required).is_ok(), expected, "{header:?} {query:?}");
        };
        check(Some("1.0"), "", true, true);
        check(Some("1.1"), "", true, true);
        check(Some("1"), "", true, true);
        check(Some(" 1.0.1 "), "", true, true);
        check(None, "?A2A-Version=1.0", true, true);
        check(Some("0.3"), "", false, false);
        check(Some("2.0"), "", false, false);
        check(Some("1.x"), "", false, false);
        check(Some("10"), "", false, false);
        check(None, "", true, false);
        check(Some(""), "", true, false);
        check(None, "", false, true);
    }

    #[test]
    fn json_is_told_by_its_media_type() {
        for (value, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/a2a+json", true),
            ("text/plain", false),
            ("text/json+x", false),
            ("json", false),
            ("", false),
        ] {
            assert_eq!(is_json(&headers("content-type", value)), expected, "{value}");
        }
    }

    #[test]
    fn a_traceparent_is_kept_only_if_it_is_one() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(traceparent(&headers(TRACEPARENT, good)), Some(good));
        for bad in ["", "00-0af7651916cd43dd8448eb211c80319C-b7ad6b7169203331-01", &good[1..], &format!("{good}-00")] {
            assert_eq!(traceparent(&headers(TRACEPARENT, bad)), None, "{bad}");
        }
    }
}
