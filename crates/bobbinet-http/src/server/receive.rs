//! A request in any binding, before anybody looks at what it asks: who calls is settled first, then the body is read.

use std::{collections::BTreeSet, sync::Arc};

use axum::{body::Body, response::Response};
use bobbinet_auth::Rejected;
use bobbinet_core::{AgentName, Caller, Operation, SkillId};
use bobbinet_gateway::{AdmissionPermit, RequestContext};
use bobbinet_wire::{EXTENSION_URI, Error, ErrorKind};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use sha2::{Digest, Sha256};
use tracing::Instrument;

use super::{
    a2a_server::{Mounted, Server},
    answer, auth,
    binding::Binding,
    body::{self, BodyFault},
    call::{self, Call, CallAnswer},
    fault, stream,
};

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

/// Where a request has come to.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    pub(super) server: &'a Arc<Server>,
    pub(super) agent: &'a Mounted,
    /// The skill that the URL names, if it does.
    pub(super) skill: Option<&'a SkillId>,
    pub(super) parts: &'a Parts,
}

/// A request whose caller is known and whose body is in.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) caller: Arc<Caller>,
    pub(super) body: Bytes,
    permit: AdmissionPermit,
}

/// Whether a request has a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyRule {
    /// One of JSON.
    Json,
    /// None, or one of JSON.
    Optional,
}

impl At<'_> {
    /// Whatever answers in the caller's trace, with the extensions that it has asked for. It is for this caller alone, so nobody keeps it.
    pub(super) async fn traced(&self, answer: impl Future<Output = Response>) -> Response {
        let span = tracing::debug_span!(
            "request",
            agent = %self.agent.name,
            traceparent = self.parts.headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()),
        );
        let mut response = answer.instrument(span).await;
        // Whom it is for is told by an API key or a certificate, too, and no cache between looks at those (RFC 9111 section 3.5).
        response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        name_extensions(self.server, Some(&self.agent.name), &self.parts.headers, response.headers_mut());
        response
    }

    /// Who calls and what came, or the answer to one who is not let in. What is wrong is said in this binding.
    pub(super) async fn receive(
        &self,
        mut body: Body,
        rule: BodyRule,
        binding: &Binding,
    ) -> Result<Received, Box<Response>> {
        let (server, headers) = (self.server, &self.parts.headers);
        let limits = &server.limits;
        let refused = |body: &Body, response| Err(Box::new(body::refused(body, response)));
        // Who is not known takes no permit from those who are, however slowly he sends.
        let caller = match auth::caller(server, self.agent, headers, &self.parts.extensions).await {
            Ok(caller) => caller,
            Err(rejected) => return refused(&body, unauthenticated(binding, &rejected)),
        };
        let permit = match server.gateway.admit(&caller) {
            Ok(permit) => permit,
            Err(full) => return refused(&body, answer::error(binding, &fault::of_full(full, limits))),
        };
        if let Some(coding) = coding(headers) {
            return refused(&body, encoded(binding, coding));
        }
        let is_typed = headers.contains_key(header::CONTENT_TYPE);
        let is_checked = is_typed || rule == BodyRule::Json;
        if is_checked && !is_json(headers) {
            return refused(&body, answer::error(binding, &ErrorKind::ContentTypeNotSupported.into()));
        }
        let bytes = match body::read(&mut body, limits).await {
            Ok(bytes) => bytes,
            Err(reason) => {
                let error = fault::of_body(reason, limits);
                return refused(&body, answer::error_with_status(binding, &error, status_of(reason)));
            }
        };
        if !is_checked && !bytes.is_empty() {
            return Err(Box::new(answer::error(binding, &ErrorKind::ContentTypeNotSupported.into())));
        }
        Ok(Received { caller, body: bytes, permit })
    }

    /// Does what is asked. `what` names it and `params` says with what, letter for letter, so that a repeat is known.
    pub(super) async fn carry_out(
        &self,
        caller: &Caller,
        permit: AdmissionPermit,
        binding: &Binding,
        operation: Operation,
        (what, params): (&str, &[u8]),
    ) -> Result<CallAnswer, Error> {
        let headers = &self.parts.headers;
        tracing::debug!(method = what, principal = %caller.principal, "request");
        let is_send = matches!(operation, Operation::Send(_) | Operation::SendStreaming(_));
        let is_subscription = matches!(operation, Operation::Subscribe(_));
        let extensions: Vec<&str> = extensions(headers).collect();
        let context = RequestContext {
            caller,
            agent: &self.agent.name,
            skill: self.skill.cloned().or_else(|| call::skill_in(&operation)),
            trace: is_send.then(|| traceparent(headers)).flatten().map(Arc::from),
            idempotency: if is_send { self.idempotency(what, params)? } else { None },
            extensions: &extensions,
        };
        let resume = if is_subscription { stream::cursor(headers) } else { None };
        Call { server: self.server, binding, context, parts: self.parts, agent: self.agent, resume }
            .answer(operation, permit)
            .await
    }

    /// The key that drops repeats, and what it stands for: the skill that the URL names is a part of what is asked.
    fn idempotency(&self, what: &str, params: &[u8]) -> Result<Option<(String, [u8; 32])>, Error> {
        let Some(key) = idempotency_key(&self.parts.headers)? else { return Ok(None) };
        let mut hash = Sha256::new();
        hash.update(what.as_bytes());
        hash.update([0]);
        if let Some(skill) = self.skill {
            hash.update(skill.as_str().as_bytes());
            hash.update([0]);
        }
        hash.update(params);
        Ok(Some((key.to_owned(), hash.finalize().into())))
    }
}

impl Received {
    /// The parts of it.
    pub(super) fn into_parts(self) -> (Arc<Caller>, Bytes, AdmissionPermit) {
        (self.caller, self.body, self.permit)
    }
}

/// What comes of a request, as an answer of HTTP.
pub(super) fn respond(binding: &Binding, answered: Result<CallAnswer, Error>, is_streaming: bool) -> Response {
    match answered {
        Ok(CallAnswer::Whole(body, room)) => answer::pieces(binding.media_type(), body, room),
        Ok(CallAnswer::Stream(events)) => stream::response(events),
        Ok(CallAnswer::Event(event)) => stream::one_event(event),
        Err(error) if is_streaming && binding.streams_error(error.kind()) => stream::error(binding, &error),
        Err(error) => answer::error(binding, &error),
    }
}

/// The same for every reason, but for the challenge: whether there was a token at all is no secret.
pub(super) fn unauthenticated(binding: &Binding, rejected: &Rejected) -> Response {
    let error = Error::new(ErrorKind::Unauthenticated).with_message(Rejected::PUBLIC);
    let mut response = answer::error(binding, &error);
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
fn encoded(binding: &Binding, coding: &HeaderValue) -> Response {
    let message = format!("The request body is encoded as {coding:?}, and only a plain one is read");
    let error = Error::new(ErrorKind::ContentTypeNotSupported)
        .with_message(message)
        .with_hint("Send the body as it is, without Content-Encoding.");
    let mut response = answer::error_with_status(binding, &error, StatusCode::UNSUPPORTED_MEDIA_TYPE);
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

/// The extensions that the caller says it speaks.
pub(super) fn extensions(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    named(headers, EXTENSIONS).chain(named(headers, EXTENSIONS_OLD))
}

fn named(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// Echoes the extensions that the caller asked for and that are spoken here: the node's own, and those that the agent declares.
pub(super) fn name_extensions(
    server: &Server,
    agent: Option<&AgentName>,
    request: &HeaderMap,
    response: &mut HeaderMap,
) {
    // Most ask for none, and to look up one after the other takes longer.
    if !request.keys().any(|name| *name == EXTENSIONS || *name == EXTENSIONS_OLD) {
        return;
    }
    let description = agent.and_then(|agent| server.gateway.agent(agent)).map(|agent| agent.describe());
    let is_spoken = |uri: &str| {
        let mut declared = description.iter().flat_map(|description| &description.capabilities.extensions);
        uri == EXTENSION_URI || declared.any(|extension| extension.uri == uri)
    };
    for name in [EXTENSIONS, EXTENSIONS_OLD] {
        let spoken: BTreeSet<_> = named(request, name.clone()).filter(|uri| is_spoken(uri)).collect();
        let spoken = Vec::from_iter(spoken).join(", ");
        if let Some(value) = HeaderValue::try_from(spoken).ok().filter(|value| !value.is_empty()) {
            response.insert(name, value);
        }
    }
}

/// The key that drops repeats, if there is one.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let is_key = |key: &&str| {
        !key.is_empty() && key.len() <= IDEMPOTENCY_KEY_LENGTH_MAX && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let Some(key) = value.to_str().ok().map(str::trim).filter(is_key) else {
        let message = format!("The Idempotency-Key must be 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} visible ASCII characters");
        return Err(Error::new(ErrorKind::InvalidRequest).with_message(message));
    };
    Ok(Some(key))
}

/// The caller's trace, if it is one: `00-<32 hex>-<16 hex>-<2 hex>`. Anything else is as if it were not there, as W3C says.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<&str> {
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
