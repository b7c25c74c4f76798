//! JSON-RPC 2.0: what stands around every request and every answer, in any version of A2A (specification section 9).

use std::borrow::Cow;

use bobbinet_core::json::{
    line,
    strict::{self, StrictFault},
};
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::{error::Category, value::RawValue};

use crate::{
    error::{Error, ErrorKind},
    reply::{RemoteError, ReplyError, RpcFault},
    write::{Sink, object},
};

/// How deep a request may be nested.
pub const JSON_DEPTH_MAX: usize = strict::DEPTH_MAX;

/// The longest id of a request, in bytes: it is repeated in each event of a stream.
pub const REQUEST_ID_LENGTH_MAX: usize = 256;

/// A request's id, echoed letter for letter, but for letters that could end a line: a string, a number or null.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestId(Option<Box<str>>);

impl RequestId {
    /// The id of an answer to something that had no readable id.
    pub const NULL: Self = Self(None);

    /// The id as JSON.
    pub fn as_json(&self) -> &str {
        self.0.as_deref().unwrap_or("null")
    }

    fn read(raw: &RawValue) -> Result<Self, Error> {
        let text = raw.get();
        let is_allowed =
            text == "null" || text.starts_with(['"', '-']) || text.starts_with(|c: char| c.is_ascii_digit());
        if !is_allowed {
            return Err(invalid("The id must be a string, a number or null"));
        }
        if text.len() > REQUEST_ID_LENGTH_MAX {
            return Err(invalid(format!("The id is longer than {REQUEST_ID_LENGTH_MAX} bytes")));
        }
        Ok(if text == "null" { Self::NULL } else { Self(Some(Box::from(line::of(text)))) })
    }
}

impl From<u64> for RequestId {
    fn from(number: u64) -> Self {
        Self(Some(number.to_string().into()))
    }
}

/// A request as it stands in its body: a call of a method that this crate may or may not know.
#[derive(Clone, Debug)]
pub struct RpcRequest<'a> {
    /// To be echoed.
    pub id: RequestId,
    /// The method's name; each wire version knows its own.
    pub method: Cow<'a, str>,
    /// Its parameters, unread. `None` if they are missing or null.
    pub params: Option<&'a RawValue>,
}

/// Why a body is no request: the error to answer with, and the id to answer to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct RequestError {
    /// The id, as far as it could be read.
    pub id: RequestId,
    /// What is wrong with the body.
    #[source]
    pub error: Error,
}

/// The four members; each is looked at by itself, so that a bad one does not hide the id. Others are ignored; one given twice is refused.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "given")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    params: Option<&'a RawValue>,
}

/// A member that is there, even if it is null.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// Reads one request. Bytes that are not JSON, or JSON that no reader after us could take, are -32700; JSON that is no single
/// request, or that two readers could take for two requests, is -32600.
pub fn parse(body: &[u8]) -> Result<RpcRequest<'_>, RequestError> {
    let (members, ambiguity) = members(body).map_err(|error| RequestError { id: RequestId::NULL, error })?;
    let id = match members.id {
        Some(raw) => RequestId::read(raw).map_err(|error| RequestError { id: RequestId::NULL, error })?,
        None => {
            return Err(RequestError {
                id: RequestId::NULL,
                error: invalid("The id is missing: A2A has no notifications"),
            });
        }
    };
    if let Some(error) = ambiguity {
        return Err(RequestError { id, error });
    }
    match call(&members) {
        Ok((method, params)) => Ok(RpcRequest { id, method, params }),
        Err(error) => Err(RequestError { id, error }),
    }
}

/// The members, and what is wrong with the whole if they can be read all the same: then there may be an id to answer to.
fn members(body: &[u8]) -> Result<(Members<'_>, Option<Error>), Error> {
    let text = std::str::from_utf8(body).map_err(|_| malformed("it is not UTF-8"))?;
    let ambiguity = match strict::check(body) {
        Ok(()) => None,
        Err(fault @ (StrictFault::Twice(_) | StrictFault::Names)) => {
            Some(invalid(format!("The request cannot be read: {fault}")).with_hint("Give each object every name once."))
        }
        Err(fault @ (StrictFault::Deep | StrictFault::Surrogate | StrictFault::Number)) => {
            return Err(malformed(fault));
        }
    };
    // A struct can be read from an array, too: what is no object must not get that far.
    let is_object = text.trim_ascii_start().starts_with('{');
    if !is_object {
        serde_json::from_str::<IgnoredAny>(text).map_err(malformed)?;
        let is_batch = text.trim_ascii_start().starts_with('[');
        return Err(invalid(if is_batch { "Batches are not supported" } else { "A request is a JSON object" }));
    }
    let members = serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => malformed(error),
        Category::Data => invalid(format!("The request cannot be read: {error}")),
    })?;
    Ok((members, ambiguity))
}

fn call<'a>(members: &Members<'a>) -> Result<(Cow<'a, str>, Option<&'a RawValue>), Error> {
    let version = members.jsonrpc.and_then(text);
    if version.as_deref() != Some("2.0") {
        return Err(invalid(r#"The member jsonrpc must be "2.0""#));
    }
    let Some(method) = members.method else { return Err(invalid("The method is missing")) };
    let Some(method) = text(method) else { return Err(invalid("The method must be a string")) };
    Ok((method, members.params.filter(|params| params.get() != "null")))
}

/// The text that this JSON is, if it is one; borrowed unless it has escapes.
fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(raw.get()).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

fn malformed(cause: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Parse).with_message(format!("Invalid JSON payload: {cause}"))
}

fn invalid(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidRequest).with_message(message)
}

/// Writes an answer whose result is what `result` writes: exactly one JSON value.
pub fn write_result<S: Sink, R>(out: &mut S, id: &RequestId, result: impl FnOnce(&mut S) -> R) -> R {
    object(out, |envelope| {
        envelope.text("jsonrpc", "2.0");
        envelope.field("id").bytes().extend_from_slice(id.as_json().as_bytes());
        result(envelope.field("result"))
    })
}

/// Writes an answer that says why there is no result, with the error object that `error` writes.
pub fn write_error(out: &mut Vec<u8>, id: &RequestId, error: impl FnOnce(&mut Vec<u8>)) {
    object(out, |envelope| {
        envelope.text("jsonrpc", "2.0");
        envelope.field("id").extend_from_slice(id.as_json().as_bytes());
        error(envelope.field("error"));
    });
}

/// Writes a request with the parameters that `params` writes: exactly one JSON object.
pub fn write_request(out: &mut Vec<u8>, id: u64, method: &str, params: impl FnOnce(&mut Vec<u8>)) {
    object(out, |envelope| {
        envelope.text("jsonrpc", "2.0");
        envelope.number("id", id);
        envelope.text("method", method);
        params(envelope.field("params"));
    });
}

#[derive(Deserialize)]
struct AnswerMembers<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<RpcFault<'a>>,
}

/// Reads the result out of an answer, or why there is none, with the dialect's reader of errors.
pub(crate) fn read_result(
    body: &[u8],
    error: impl FnOnce(RpcFault<'_>) -> RemoteError,
) -> Result<&RawValue, ReplyError> {
    let nothing = || ReplyError::Malformed("it has neither a result nor an error".to_owned());
    read_any_result(body, error)?.ok_or_else(nothing)
}

/// The same where an answer may have no result, though JSON-RPC wants one, as the SDK for Python leaves out a null.
pub(crate) fn read_any_result(
    body: &[u8],
    error: impl FnOnce(RpcFault<'_>) -> RemoteError,
) -> Result<Option<&RawValue>, ReplyError> {
    let answer: AnswerMembers<'_> =
        serde_json::from_slice(body).map_err(|error| ReplyError::Malformed(error.to_string()))?;
    match (answer.result, answer.error) {
        (_, Some(fault)) => Err(ReplyError::Remote(error(fault))),
        (Some(result), None) => Ok(Some(result)),
        // What is an answer at all says so.
        (None, None) if answer.jsonrpc.is_some() => Ok(None),
        (None, None) => Err(ReplyError::Malformed("it has neither a result nor an error".to_owned())),
    }
}
