//! Requests, answers and streams.

use bobbinet_core::Operation;
use bobbinet_outbound::sse::{SseEvent, SseParser};
use bobbinet_wire::{
    envelope,
    push::without_secrets,
    reply::ReplyError,
    rest::{HttpMethod, segments},
    v0_3, v0_3_proto, v1_0,
};
use serde_json::value::RawValue;

/// A request of 1.0. What was read of it is written as a client writes it, and read again as the same.
pub(crate) fn requests_1_0(bytes: &[u8]) {
    let Ok(request) = envelope::parse(bytes) else { return };
    let Some(method) = v1_0::Method::from_name(&request.method) else { return };
    let Ok(operation) = v1_0::request::decode(method, request.params) else { return };
    let mut written = Vec::new();
    v1_0::client::write_request(&mut written, 1, &operation);
    let again = envelope::parse(&written).expect("what we write can be read");
    let method = v1_0::Method::from_name(&again.method).expect("it is a method of ours");
    let read = v1_0::request::decode(method, again.params).expect("so can its parameters");
    let mut twice = Vec::new();
    v1_0::client::write_request(&mut twice, 1, &read);
    assert_eq!(written, twice, "written and read, it is another request");
}

/// A request of 0.3.
pub(crate) fn requests_0_3(bytes: &[u8]) {
    let Ok(request) = envelope::parse(bytes) else { return };
    let Some(method) = v0_3::Method::from_name(&request.method) else { return };
    v0_3::request::decode(method, request.params).ok();
}

/// A request over REST, in lines: the method, the path, the query, and the body with all that follows. What was read of one of 1.0 is
/// written as a client writes it, and read again as the same, at the same place.
pub(crate) fn rest(bytes: &[u8]) {
    let mut lines = bytes.splitn(4, |byte| *byte == b'\n');
    let (method, path, query) = (lines.next(), lines.next(), lines.next());
    let body = lines.next().unwrap_or_default();
    let method = match method {
        Some(b"POST") => HttpMethod::Post,
        Some(b"DELETE") => HttpMethod::Delete,
        _ => HttpMethod::Get,
    };
    let Ok(path) = std::str::from_utf8(path.unwrap_or_default()) else { return };
    let query = query.and_then(|query| std::str::from_utf8(query).ok());
    let Some(segments) = segments(path) else { return };
    if let Ok(route) = v0_3_proto::rest::route(method, &segments)
        && let Ok(params) = route.params(query, body)
    {
        route.decode(&params).ok();
    }
    let Some(read) = read_rest(method, &segments, query, body) else { return };
    let Some(request) = v1_0::rest_client::request(&read) else { return };
    // A tenant that is called like a place, or an id that ends like a verb, is read as that.
    let first = request.path.split('/').next().unwrap_or_default();
    let is_plain = matches!(first, "tasks" | "message:send" | "message:stream" | "extendedAgentCard");
    let is_below_tasks =
        ["tasks/tasks", "tasks/message", "tasks/extended"].iter().any(|it| request.path.starts_with(it));
    if !is_plain || is_below_tasks || request.path.contains('%') {
        return;
    }
    let segments = bobbinet_wire::rest::segments(&request.path).expect("what we write can be decoded");
    let query = text(&request.query);
    let again = read_rest(request.method, &segments, Some(&query), request.body.as_deref().unwrap_or_default());
    let again = again.expect("what we write can be read");
    let twice = v1_0::rest_client::request(&again);
    assert_eq!(Some(request), twice, "written and read, it is another request");
}

/// What a request over REST of 1.0 asks.
fn read_rest(method: HttpMethod, segments: &[String], query: Option<&str>, body: &[u8]) -> Option<Operation> {
    let route = v1_0::rest::route(method, segments).ok()?;
    let params = route.params(query, body).ok()?;
    route.decode(&params).ok()
}

/// A query as a client sends it: every byte is escaped.
fn text(query: &[(&str, String)]) -> String {
    let escaped = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    query.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect::<Vec<_>>().join("&")
}

/// What an agent elsewhere answers, in either version, whatever was asked. What is shown of it without its secrets is JSON.
pub(crate) fn replies(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let shown = without_secrets(text);
        assert!(serde_json::from_str::<&RawValue>(&shown).is_ok(), "shown without its secrets it is no JSON: {shown}");
        let planted = format!(r#"{{"token":"planted","more":{text}}}"#);
        let shown = without_secrets(&planted);
        assert!(text.contains("planted") || !shown.contains("planted"), "a secret is shown: {shown}");
    }
    let (newer, older) = (v1_0::client::read_reply(bytes), v0_3::client::read_reply(bytes));
    let result: &RawValue = match newer.or(older) {
        Ok(result) => result,
        Err(ReplyError::Remote(_) | ReplyError::Malformed(_)) => match serde_json::from_slice(bytes) {
            Ok(result) => result,
            Err(_) => return,
        },
    };
    v1_0::client::read_sent(result).ok();
    v1_0::client::read_task(result).ok();
    v1_0::client::read_page(result).ok();
    v1_0::client::read_event(result).ok();
    v1_0::client::read_push_config(result).ok();
    v1_0::client::read_push_configs(result).ok();
    v0_3::client::read_sent(result).ok();
    v0_3::client::read_task(result).ok();
    v0_3::client::read_page(result).ok();
    v0_3::client::read_event(result).ok();
    v0_3::client::read_push_config(result).ok();
    v0_3::client::read_push_configs(result).ok();
    v0_3_proto::client::read_sent(result).ok();
    v0_3_proto::client::read_task(result).ok();
    v0_3_proto::client::read_page(result).ok();
    v0_3_proto::client::read_event(result).ok();
    v0_3_proto::client::read_push_config(result).ok();
    v0_3_proto::client::read_push_configs(result).ok();
}

/// A stream of events: however it is cut into pieces, the same events come of it. The first byte says where it is cut.
pub(crate) fn sse(bytes: &[u8]) {
    let Some((size, bytes)) = bytes.split_first() else { return };
    let whole = events(bytes, usize::MAX);
    let pieces = events(bytes, usize::from(*size).max(1));
    if let (Some(whole), Some(pieces)) = (whole, pieces) {
        assert_eq!(whole, pieces, "cut into pieces, it is another stream");
    }
}

/// The events of a stream that comes in pieces of this size; `None` if it is none.
fn events(bytes: &[u8], size: usize) -> Option<Vec<(Option<String>, String)>> {
    let mut parser = SseParser::with_limit(1 << 16);
    let mut events = Vec::new();
    for piece in bytes.chunks(size.min(bytes.len().max(1))) {
        let read = parser.feed(piece).ok()?;
        events.extend(read.into_iter().map(|SseEvent { id, data, .. }| (id, data)));
    }
    Some(events)
}
