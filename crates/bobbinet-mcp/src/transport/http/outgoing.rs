//! What the transport must know of a message of ours: most of its headers say again what stands in it.

use std::{borrow::Cow, io};

use bytes::Bytes;
use rmcp::model::RequestId;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{parameter_headers::header_value, transport::OutgoingMessage};

/// The headers of 2026-07-28 that repeat what is called.
const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";

/// A message of ours, with what its headers are made of.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) text: Bytes,
    /// Of a request, or of our answer to one.
    pub(super) id: Option<RequestId>,
    pub(super) method: Option<String>,
    /// The version that it says it is in: then it stands alone, without a session.
    pub(super) version: Option<String>,
    /// Of a cancellation: the request that nobody waits for any more.
    pub(super) cancels: Option<RequestId>,
    headers: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default)]
    id: Option<RequestId>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Params<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    uri: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "taskId")]
    task: Option<Cow<'a, str>>,
    #[serde(default, rename = "requestId")]
    request: Option<RequestId>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<Meta<'a>>,
}

/// Where a request of the era without a handshake says which version it is in.
#[derive(Default, Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<Cow<'a, str>>,
}

impl Outgoing {
    /// Reads a message that we have written.
    pub(super) fn read(message: OutgoingMessage) -> io::Result<Self> {
        let OutgoingMessage { text, headers } = message;
        let text = Bytes::from(text);
        let envelope: Envelope<'_> = serde_json::from_slice(&text)?;
        let params = envelope.params.map(|params| serde_json::from_str::<Params<'_>>(params.get()));
        let params = params.transpose()?.unwrap_or_default();
        let version = params.meta.and_then(|meta| meta.version).map(Cow::into_owned);
        let mut headers = headers;
        if let (Some(method), Some(_)) = (&envelope.method, &version) {
            headers.push((METHOD.to_owned(), method.to_string()));
            let name = match method.as_ref() {
                "tools/call" | "prompts/get" => params.name,
                "resources/read" => params.uri,
                "tasks/get" | "tasks/update" | "tasks/cancel" => params.task,
                _ => None,
            };
            headers.extend(name.map(|name| (NAME.to_owned(), header_value(&name))));
        }
        let (id, method) = (envelope.id, envelope.method.map(Cow::into_owned));
        Ok(Self { text: text.clone(), id, method, version, cancels: params.request, headers })
    }

    /// What tells the server that nobody waits for a request any more.
    pub(super) fn cancellation(request: &RequestId) -> io::Result<Self> {
        let params = serde_json::json!({"requestId": request, "reason": "its question could not be answered"});
        let text = serde_json::json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
        Self::read(OutgoingMessage::from(text.to_string().into_bytes()))
    }

    /// What goes with it beside what goes with every message of its session.
    pub(super) fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// Whether it is of the era without sessions.
    pub(super) fn is_modern(&self) -> bool {
        self.version.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let outgoing = Outgoing::read(OutgoingMessage::from(text.as_bytes().to_vec())).unwrap();
        let headers: Vec<_> = outgoing.headers().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let Outgoing { id, method, cancels, .. } = &outgoing;
        let shown = |id: &Option<RequestId>| id.as_ref().map_or("-".to_owned(), ToString::to_string);
        let method = method.as_deref().unwrap_or("-");
        let found = format!("{} {method} {} {} {}", shown(id), outgoing.is_modern(), shown(cancels), headers.join(" "));
        assert_eq!(found.trim_end(), expected, "{text}");
    }

    #[test]
    fn headers_say_again_what_stands_in_a_message() {
        let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
        check(
            &format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"a b","arguments":{{"name":"x"}},{meta}}}}}"#
            ),
            "1 tools/call true - mcp-method=tools/call mcp-name=a b",
        );
        check(
            &format!(r#"{{"id":2,"method":"resources/read","params":{{"uri":"file:///ä","name":"n",{meta}}}}}"#),
            "2 resources/read true - mcp-method=resources/read mcp-name==?base64?ZmlsZTovLy/DpA==?=",
        );
        check(
            &format!(r#"{{"id":3,"method":"tools/list","params":{{{meta}}}}}"#),
            "3 tools/list true - mcp-method=tools/list",
        );
        check(r#"{"id":4,"method":"tools/call","params":{"name":"x"}}"#, "4 tools/call false -");
        check(r#"{"method":"notifications/cancelled","params":{"requestId":7}}"#, "- notifications/cancelled false 7");
        check(r#"{"id":"s","result":{}}"#, "s - false -");
    }
}
