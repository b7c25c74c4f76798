//! What the headers of a request say, and whether that is what its body says.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};

use crate::{
    client::McpClient,
    reply::Accepts,
    revision::Revision,
    rpc::{Params, RpcError},
};

/// The session that a request belongs to, of an older revision.
pub(crate) const SESSION: &str = "mcp-session-id";
pub(crate) const VERSION: &str = "mcp-protocol-version";
pub(crate) const METHOD: &str = "mcp-method";
pub(crate) const NAME: &str = "mcp-name";

const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";

/// How a name begins and ends that cannot stand in a header as it is.
const ENCODED: (&str, &str) = ("=?base64?", "?=");

/// A header, if it is there and a text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// What the caller reads. Whoever says nothing reads plain answers.
pub(crate) fn accepts(headers: &HeaderMap) -> Accepts {
    let mut values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    if values.peek().is_none() {
        return Accepts { json: true, events: false };
    }
    let mut accepts = Accepts { json: false, events: false };
    for media_type in values.flat_map(|value| value.split(',')) {
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        accepts.events |= media_type == "text/event-stream";
        accepts.json |= matches!(media_type.as_str(), "application/json" | "application/*" | "*/*");
    }
    accepts
}

/// Whether the body says that it is JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let media_type = text(headers, header::CONTENT_TYPE.as_str()).and_then(|value| value.split(';').next());
    media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}

/// The revision that a body names, where it has no handshake.
pub(crate) fn version_in_body(params: &Params) -> Option<String> {
    params.meta_text(VERSION_KEY)
}

/// Whether a body names its revision.
pub(crate) fn is_stateless_in_body(params: &Params) -> bool {
    params.meta(VERSION_KEY).is_some()
}

/// Whether a message is one of a revision without handshakes, or of one that nobody here knows.
pub(crate) fn is_stateless(headers: &HeaderMap, params: &Params) -> bool {
    let is_other = |version: &str| Revision::read(version).is_none_or(Revision::is_stateless);
    is_stateless_in_body(params) || text(headers, VERSION).is_some_and(is_other)
}

/// The client of such a request, which says in its headers what it says in its body.
pub(crate) fn client(headers: &HeaderMap, method: &str, params: &Params) -> Result<McpClient, RpcError> {
    let mismatch = |name: &str, said: Option<&str>, meant: &str| {
        let text = match said {
            Some(said) => format!("the header {name} says {:?}, and the body {:?}", short(said), short(meant)),
            None => format!("the header {name} is missing, and the body says {:?}", short(meant)),
        };
        Err(RpcError::header_mismatch(text))
    };
    let Some(version) = params.meta_text(VERSION_KEY) else {
        let text = format!("`_meta` has no {VERSION_KEY:?}, a text");
        return Err(RpcError::invalid_params(&text).with_status(http::StatusCode::BAD_REQUEST));
    };
    let said = text(headers, VERSION);
    if said != Some(version.as_str()) {
        return mismatch("MCP-Protocol-Version", said, &version);
    }
    let Some(revision) = Revision::read(&version).filter(|revision| revision.is_stateless()) else {
        return Err(RpcError::unsupported_version(&version));
    };
    let Some(capabilities) = params.meta(CAPABILITIES_KEY).filter(|capabilities| capabilities.is_object()) else {
        let text = format!("`_meta` has no {CAPABILITIES_KEY:?}, an object");
        return Err(RpcError::invalid_params(&text).with_status(http::StatusCode::BAD_REQUEST));
    };
    let said = text(headers, METHOD);
    if said != Some(method) {
        return mismatch("Mcp-Method", said, method);
    }
    let named = match method {
        "tools/call" | "prompts/get" => params.optional::<String>("name")?,
        "resources/read" => params.optional::<String>("uri")?,
        "tasks/get" | "tasks/update" | "tasks/cancel" => params.optional::<String>("taskId")?,
        _ => None,
    };
    if let Some(named) = named {
        let said = text(headers, NAME);
        if said.and_then(decoded).as_deref() != Some(named.as_str()) {
            return mismatch("Mcp-Name", said, &named);
        }
    }
    Ok(McpClient::with(revision, Some(capabilities)))
}

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

/// The value of a header that may be encoded.
fn decoded(value: &str) -> Option<String> {
    match value.strip_prefix(ENCODED.0).and_then(|rest| rest.strip_suffix(ENCODED.1)) {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_caller_reads_what_it_says() {
        for (accept, json, events) in [
            (None, true, false),
            (Some("application/json, text/event-stream"), true, true),
            (Some("text/event-stream;q=0.5,Application/JSON"), true, true),
            (Some("*/*"), true, false),
            (Some("text/event-stream"), false, true),
            (Some("text/html"), false, false),
        ] {
            let value = accept.map(|accept| (header::ACCEPT, HeaderValue::from_static(accept)));
            assert_eq!(accepts(&HeaderMap::from_iter(value)), Accepts { json, events }, "{accept:?}");
        }
    }

    #[test]
    fn a_name_may_be_encoded() {
        assert_eq!(decoded("a").as_deref(), Some("a"));
        assert_eq!(decoded("=?base64?w6k=?=").as_deref(), Some("é"));
        assert_eq!(decoded("=?base64?!?="), None);
    }
}
