//! One line of a server, taken apart: what kind of JSON-RPC message it is, with all values as they came.
//!
//! Not by way of the protocol library's typed messages: those lose what they do not know, and change numbers.

use std::borrow::Cow;

use bobbinet_core::Json;
use rmcp::model::RequestId;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::{
    mailbox::{Reply, RpcError},
    salvage::{self, Scan},
};

/// A message of the server.
#[derive(Debug)]
pub(crate) enum RpcMessage {
    Request { id: RequestId, method: String, params: Option<Json> },
    Notification { method: String, params: Option<Json> },
    Reply { id: Option<RequestId>, reply: Reply },
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<&'a RawValue>,
    /// `null` is what a server says that could not read ours.
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(default)]
    method: Option<String>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    /// `null` is a result too.
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads a line, and hands over what it says: one message, or several in an array as the revision of 2025-03-26 allows,
/// each by itself. What cannot be read but carries an id is a reply that says so. `None` stands for what is neither.
pub(crate) fn read<T>(line: &[u8], hand_over: impl FnOnce(Vec<Option<RpcMessage>>) -> T) -> T {
    // What does not begin as a message is not looked into: it may be a great deal.
    let begin = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line).trim_ascii_start().first();
    if !matches!(begin, Some(b'{' | b'[')) {
        return hand_over(vec![None]);
    }
    let text = salvage::text(line);
    let text = text.trim_start_matches('\u{feff}').trim();
    // Nearly every line is JSON, and read once.
    if let Ok(messages) = read_all(text) {
        return hand_over(messages);
    }
    let mended = salvage::mend(text);
    let messages = read_all(&mended).unwrap_or_else(|error| unreadable(&mended, &error));
    hand_over(messages)
}

fn read_all(text: &str) -> Result<Vec<Option<RpcMessage>>, serde_json::Error> {
    if text.starts_with('{') {
        return serde_json::from_str::<Envelope<'_>>(text).map(|envelope| vec![read_one(envelope)]);
    }
    let several = serde_json::from_str::<Vec<&RawValue>>(text)?;
    Ok(several.into_iter().flat_map(|raw| read_of_several(raw.get())).collect())
}

fn read_of_several(text: &str) -> Vec<Option<RpcMessage>> {
    match text.starts_with('{').then(|| serde_json::from_str::<Envelope<'_>>(text)) {
        Some(Ok(envelope)) => vec![read_one(envelope)],
        Some(Err(error)) => unreadable(text, &error),
        None => vec![None],
    }
}

/// What there is to say of a text that is no message: whose reply it was, if it can be seen.
fn unreadable(text: &str, why: &serde_json::Error) -> Vec<Option<RpcMessage>> {
    let reply = |id| {
        let why = format!("its reply is no JSON-RPC message: {why}");
        RpcMessage::Reply { id: Some(id), reply: Reply::Unreadable(why) }
    };
    let found = Scan::ids_of(text.as_bytes());
    if found.is_empty() { vec![None] } else { found.into_iter().map(|id| Some(reply(id))).collect() }
}

fn read_one(envelope: Envelope<'_>) -> Option<RpcMessage> {
    let json = |raw: &RawValue| Json::from(raw.to_owned());
    let params = envelope.params.map(json);
    // Without the protocol's mark and without an id it may be any object: some servers log such.
    let is_marked = envelope.jsonrpc.is_some() || envelope.id.is_some();
    let id = match envelope.id.map(RawValue::get).filter(|raw| *raw != "null") {
        Some(raw) => Some(read_id(raw)?),
        None => None,
    };
    match (envelope.method, id) {
        (Some(method), Some(id)) => Some(RpcMessage::Request { id, method, params }),
        (Some(method), None) => Some(RpcMessage::Notification { method, params }),
        (None, _) if !is_marked => None,
        (None, id) => {
            let reply = match (envelope.result, envelope.error) {
                (_, Some(error)) => Reply::Error(RpcError::read(&json(error))),
                (Some(result), None) => Reply::Result(json(result)),
                (None, None) if envelope.jsonrpc.is_some() && id.is_some() => {
                    Reply::Unreadable("its reply has neither a result nor an error".to_owned())
                }
                (None, None) => return None,
            };
            Some(RpcMessage::Reply { id, reply })
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

/// An id as servers write it; what is none of ours, but text or a number, is given back as it came.
fn read_id(raw: &str) -> Option<RequestId> {
    match serde_json::from_str::<RequestId>(raw) {
        Ok(id) => Some(id),
        Err(_) => salvage::number(raw).map(RequestId::Number),
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
        check_bytes(line.as_bytes(), expected);
    }

    fn check_bytes(line: &[u8], expected: &str) {
        let said = read(line, |messages| messages.iter().map(say).collect::<Vec<_>>().join("; "));
        assert_eq!(said, expected, "{}", line.escape_ascii());
    }

    fn say(message: &Option<RpcMessage>) -> String {
        let Some(message) = message else { return "junk".to_owned() };
        match message {
            RpcMessage::Request { id, method, params } => format!("request {id} {method} {params:?}"),
            RpcMessage::Notification { method, params } => format!("notification {method} {params:?}"),
            RpcMessage::Reply { id, reply: Reply::Result(result), .. } => format!("result {id:?} {result:?}"),
            RpcMessage::Reply { id, reply: Reply::Error(error), .. } => {
                format!("error {id:?} {} {}", error.code, error.message)
            }
            RpcMessage::Reply { id, reply: Reply::Unreadable(_), .. } => format!("unreadable {id:?}"),
            RpcMessage::Reply { reply, .. } => format!("{reply:?}"),
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
        check(r#"{"id":null,"error":{"code":-32700,"message":"?"}}"#, "error None -32700 ?");
        check(r#"[{"id":1,"result":{}},{"method":"m"}]"#, "result Some(Number(1)) {}; notification m None");
        for junk in [
            r#"{"error":"db is down"}"#,
            r#"{"result":1}"#,
            "",
            "Server ready",
            "{",
            "[1]",
            "{}",
            r#"{"id":1}"#,
            r#"{"id":{},"result":1}"#,
            "null",
            "\u{1}",
        ] {
            check(junk, "junk");
        }
    }

    #[test]
    fn whatever_carries_an_id_is_somebodys_reply() {
        check(r#"{"id":7,"error":{"code":"-32602","message":"no"}}"#, "error Some(Number(7)) -32602 no");
        check(r#"{"id":7,"error":{"code":-32602.0,"message":7}}"#, "error Some(Number(7)) -32602 7");
        check(r#"{"id":7,"error":{"code":"EACCES","message":"no"}}"#, "error Some(Number(7)) 0 EACCES: no");
        check(r#"{"id":7,"error":"it broke"}"#, "error Some(Number(7)) 0 it broke");
        check(r#"{"id":7,"result":null}"#, "result Some(Number(7)) null");
        check(r#"{"id":7,"result":{"a":1},"error":null}"#, r#"result Some(Number(7)) {"a":1}"#);
        check(r#"{"id":7.0,"result":{"n":NaN}}"#, r#"result Some(Number(7)) {"n":null}"#);
        check(r#"{"id":7,"result":"\udead \ud83d\ude00"}"#, r#"result Some(Number(7)) "\ufffd \ud83d\ude00""#);
        check_bytes(b"{\"id\":7,\"result\":\"a\xffb\"}", "result Some(Number(7)) \"a\u{fffd}b\"");
        check(r#"{"jsonrpc":"2.0","id":7}"#, "unreadable Some(Number(7))");
        check(r#"{"id":7,"result":{"a":'x'}}"#, "unreadable Some(Number(7))");
        check(r#"{"id":7,"result":{}} and more"#, "unreadable Some(Number(7))");
        check(r#"{"id":7,"id":7,"result":{}}"#, "unreadable Some(Number(7))");
        check(
            r#"[{"id":1,"result":{}},7,{"id":2,"error":1},{"id":{},"result":1}]"#,
            "result Some(Number(1)) {}; junk; error Some(Number(2)) 0 1; junk",
        );
        check(
            r#"[{"id":1,"result":'x'},{"id":2,"result":1}]"#,
            "unreadable Some(Number(1)); unreadable Some(Number(2))",
        );
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
