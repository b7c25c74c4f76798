//! What there is to know of a message that comes or goes as a line: the headers that say the same over HTTP, and whose answer it is.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use bobbinet_core::Json;
use http::{HeaderName, HeaderValue};

use crate::{headers, revision::Revision, rpc::Params};

/// The headers of a message of a revision without sessions.
pub(crate) fn stateless(method: &str, params: &Params) -> Vec<(HeaderName, HeaderValue)> {
    let name = match method {
        "tools/call" | "prompts/get" => params.optional::<String>("name"),
        "resources/read" => params.optional::<String>("uri"),
        "tasks/get" | "tasks/update" | "tasks/cancel" => params.optional::<String>("taskId"),
        _ => Ok(None),
    };
    let said = [
        (headers::VERSION, headers::version_in_body(params)),
        (headers::METHOD, Some(method.to_owned())),
        (headers::NAME, name.ok().flatten()),
    ];
    said.into_iter().filter_map(|(name, value)| Some((HeaderName::from_static(name), in_header(&value?)?))).collect()
}

/// A value as it can stand in a header: as it is, or encoded.
fn in_header(value: &str) -> Option<HeaderValue> {
    let is_plain = value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && value.trim() == value;
    match is_plain && !value.starts_with("=?base64?") {
        true => HeaderValue::from_str(value).ok(),
        false => HeaderValue::from_str(&format!("=?base64?{}?=", STANDARD.encode(value))).ok(),
    }
}

fn fields(message: &Json) -> BTreeMap<String, Json> {
    message.read().unwrap_or_default()
}

pub(crate) fn is_answer_to(message: &Json, id: &Json) -> bool {
    let fields = fields(message);
    fields.get("id") == Some(id) && !fields.contains_key("method")
}

/// The answer as one to this request: what is refused before a request is read has no id.
pub(crate) fn with_id(answer: &Json, id: &Json) -> Json {
    let mut fields = fields(answer);
    match fields.get("id") {
        Some(known) if known.as_str() != "null" => answer.clone(),
        Some(_) | None if fields.is_empty() => answer.clone(),
        Some(_) | None => {
            fields.insert("id".to_owned(), id.clone());
            Json::of(&fields)
        }
    }
}

/// The revision that a handshake has come to.
pub(crate) fn version_of(answer: &Json) -> Option<String> {
    let result = fields(&fields(answer).remove("result")?);
    let version: String = result.get("protocolVersion")?.read().ok()?;
    Revision::read(&version).map(|_| version)
}
