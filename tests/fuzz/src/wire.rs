//! Requests, answers and streams.

use bobbinet_wire::{
    envelope,
    reply::ReplyError,
    sse::{SseEvent, SseParser},
    v0_3, v1_0,
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

/// What an agent elsewhere answers, in either version, whatever was asked.
pub(crate) fn replies(bytes: &[u8]) {
    let result: &RawValue = match v1_0::client::read_reply(bytes) {
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
    v0_3::client::read_sent(result).ok();
    v0_3::client::read_task(result).ok();
    v0_3::client::read_page(result).ok();
    v0_3::client::read_event(result).ok();
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
