//! One line of a server, taken apart: what kind of JSON-RPC message it is, with all values as they came.
//!
//! Not by way of the protocol library's typed messages: those lose what they do not know, and change numbers.

use std::borrow::Cow;

use bobbinet_core::Json;
use rmcp::model::RequestId;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::mailbox::{Reply, RpcError};

/// A message of the server.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    Request { id: RequestId, method: String, params: Option<Json> },
    Notification { method: String, params: Option<Json> },
    Reply { id: Option<RequestId>, reply: Reply, text: &'a str },
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default)]
    id: Option<RequestId>,
    #[serde(default)]
    method: Option<String>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// Reads a line: one message, or several in an array as the revision of 2025-03-26 allows. `None` if it is neither.
pub(crate) fn read(line: &[u8]) -> Option<Vec<Message<'_>>> {
    let text = std::str::from_utf8(line).ok()?.trim_start_matches('\u{feff}').trim();
    if text.starts_with('[') {
        let several = serde_json::from_str::<Vec<&RawValue>>(text).ok()?;
        return several.into_iter().map(|raw| read_one(raw.get())).collect();
    }
    read_one(text).map(|message| vec![message])
}

fn read_one(text: &str) -> Option<Message<'_>> {
    if !text.starts_with('{') {
        return None;
    }
    let envelope = serde_json::from_str::<Envelope<'_>>(text).ok()?;
    let json = |raw: &RawValue| Json::from(raw.to_owned());
    let params = envelope.params.map(json);
    match (envelope.method, envelope.id) {
        (Some(method), Some(id)) => Some(Message::Request { id, method, params }),
        (Some(method), None) => Some(Message::Notification { method, params }),
        (None, id) => {
            let reply = match (envelope.result, envelope.error) {
                (_, Some(error)) => Reply::Error(serde_json::from_str::<RpcError>(error.get()).ok()?),
                (Some(result), None) => Reply::Result(json(result)),
                (None, None) => return None,
            };
            Some(Message::Reply { id, reply, text })
        }
    }
}

/// The beginning of a text, where it is longer than so many characters.
pub(crate) fn shorten(text: &str, max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(max) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Whether a JSON text is nested deeper than `max`.
pub(crate) fn is_deeper_than(text: &str, max: usize) -> bool {
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &str) {
        let said = match read(line.as_bytes()) {
            None => "junk".to_owned(),
            Some(messages) => messages.iter().map(say).collect::<Vec<_>>().join("; "),
        };
        assert_eq!(said, expected, "{line}");
    }

    fn say(message: &Message<'_>) -> String {
        match message {
            Message::Request { id, method, params } => format!("request {id} {method} {params:?}"),
            Message::Notification { method, params } => format!("notification {method} {params:?}"),
            Message::Reply { id, reply: Reply::Result(result), .. } => format!("result {id:?} {result:?}"),
            Message::Reply { id, reply: Reply::Error(error), .. } => format!("error {id:?} {}", error.code),
            Message::Reply { reply, .. } => format!("{reply:?}"),
        }
    }

    #[test]
    fn every_kind_of_message_is_told_from_junk() {
        check(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, "request 1 ping None");
        check(
            r#"{"jsonrpc":"2.0","method":"n/x","params":{"b":1.0,"a":1e2}}"#,
            r#"notification n/x Some({"b":1.0,"a":1e2})"#,
        );
        check(r#"{"result":{"n":9007199254740993},"id":7}"#, r#"result Some(Number(7)) {"n":9007199254740993}"#);
        check("\u{feff}{\"id\":\"7\",\"result\":{}}\r", r#"result Some(String("7")) {}"#);
        check(r#"{"id":null,"error":{"code":-32700,"message":"?"}}"#, "error None -32700");
        check(r#"[{"id":1,"result":{}},{"method":"m"}]"#, "result Some(Number(1)) {}; notification m None");
        for junk in ["", "Server ready", "{", "[1]", "{}", r#"{"id":1}"#, r#"{"id":{},"result":1}"#, "null", "\u{1}"] {
            check(junk, "junk");
        }
    }

    #[test]
    fn depth_is_counted_outside_strings() {
        for (text, depth) in [("1", 0), ("[]", 1), (r#"{"a":[{}]}"#, 3), (r#"["[[[[",{"\"[":1}]"#, 2)] {
            assert!(!is_deeper_than(text, depth), "{text}");
            assert!(depth == 0 || is_deeper_than(text, depth - 1), "{text}");
        }
        assert!(is_deeper_than(&"[".repeat(100_000), 100));
    }
}
