//! An error that an agent tells over HTTP itself, in whatever form agents write it.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{error::ErrorKind, reply::RemoteError, v1_0::error};

#[derive(Deserialize)]
struct Body<'a> {
    /// Of 1.0 (AIP-193).
    #[serde(borrow, default)]
    error: Option<Aip193<'a>>,
    /// Of 0.3: as in JSON-RPC, or nothing but a message.
    #[serde(default)]
    code: Option<i64>,
    #[serde(default)]
    message: Option<String>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    /// Of problem+json (RFC 9457).
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    detail: Option<String>,
}

#[derive(Deserialize)]
struct Aip193<'a> {
    #[serde(default)]
    code: Option<i64>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(borrow, default)]
    details: Option<&'a RawValue>,
}

/// Reads the error that an answer of this status says, if it is one of an agent: a proxy's word is none, whatever JSON it is.
pub fn read_error(status: u16, body: &[u8]) -> Option<RemoteError> {
    let Ok(body) = serde_json::from_slice::<Body<'_>>(body) else { return None };
    if let Some(fault) = body.error {
        let is_agents = fault.status.is_some() || fault.details.is_some() || fault.code.is_some_and(|code| code < 0);
        let mut error = RemoteError {
            code: fault.code.unwrap_or_else(|| i64::from(status)),
            message: fault.message.unwrap_or_default(),
            ..RemoteError::default()
        };
        error.add_details(fault.details);
        let of_reason = error.reason.as_deref().and_then(error::kind_of_reason);
        let of_status = || fault.status.as_deref().and_then(|word| kind_of_word(word, status));
        error.kind = of_reason.or_else(|| error::kind_of(error.code)).or_else(of_status);
        return is_agents.then_some(error);
    }
    if let Some(code) = body.code.filter(|code| *code < 0) {
        let message = body.message.unwrap_or_default();
        let mut error = RemoteError { kind: error::kind_of(code), code, message, ..RemoteError::default() };
        error.add_details(body.data);
        return Some(error);
    }
    let code = i64::from(status);
    let of_a2a = body.kind.filter(|kind| kind.contains("a2a"));
    if let Some(kind) = of_a2a {
        let reason = kind.rsplit('/').next().unwrap_or_default().replace('-', "_").to_ascii_uppercase();
        let reason = reason.strip_suffix("_ERROR").unwrap_or(&reason).to_owned();
        let message = body.detail.or(body.title).unwrap_or_default();
        let kind = error::kind_of_reason(&reason).or_else(|| kind_of_status(status, &message));
        return Some(RemoteError { kind, code, message, reason: Some(reason), ..RemoteError::default() });
    }
    // The official SDK of 0.3 says no more than this.
    let message = body.message?;
    let kind = kind_of_status(status, &message)?;
    Some(RemoteError { kind: Some(kind), code, message, ..RemoteError::default() })
}

/// What a canonical code of gRPC means where nothing more is said.
fn kind_of_word(word: &str, status: u16) -> Option<ErrorKind> {
    Some(match word {
        "NOT_FOUND" => ErrorKind::TaskNotFound,
        "INVALID_ARGUMENT" => ErrorKind::InvalidParams,
        "FAILED_PRECONDITION" if status == 409 => ErrorKind::TaskNotCancelable,
        "FAILED_PRECONDITION" | "UNIMPLEMENTED" => ErrorKind::UnsupportedOperation,
        "UNAUTHENTICATED" => ErrorKind::Unauthenticated,
        "PERMISSION_DENIED" => ErrorKind::PermissionDenied,
        "RESOURCE_EXHAUSTED" => ErrorKind::ResourceExhausted,
        "UNAVAILABLE" => ErrorKind::Unavailable,
        "INTERNAL" => ErrorKind::Internal,
        _ => return None,
    })
}

/// What a status means with a message that may be an agent's.
fn kind_of_status(status: u16, message: &str) -> Option<ErrorKind> {
    Some(match status {
        400 | 422 => ErrorKind::InvalidParams,
        404 if message.to_ascii_lowercase().contains("task") => ErrorKind::TaskNotFound,
        409 => ErrorKind::TaskNotCancelable,
        415 => ErrorKind::ContentTypeNotSupported,
        501 => ErrorKind::UnsupportedOperation,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_in_every_form_and_a_proxys_is_none() {
        let check = |status: u16, body: &str, expected: Option<(Option<ErrorKind>, &str)>| {
            let read = read_error(status, body.as_bytes());
            let read = read.as_ref().map(|error| (error.kind, error.message.as_str()));
            assert_eq!(read, expected, "{body}");
        };
        check(
            404,
            r#"{"error":{"code":404,"status":"NOT_FOUND","message":"no task","details":[{"@type":"x","reason":"TASK_NOT_FOUND","domain":"a2a-protocol.org"}]}}"#,
            Some((Some(ErrorKind::TaskNotFound), "no task")),
        );
        check(
            400,
            r#"{"error":{"code":400,"status":"FAILED_PRECONDITION","message":"no","details":[{"reason":"TASK_NOT_CANCELABLE"}]}}"#,
            Some((Some(ErrorKind::TaskNotCancelable), "no")),
        );
        check(
            400,
            r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"no"}}"#,
            Some((Some(ErrorKind::InvalidParams), "no")),
        );
        check(
            404,
            r#"{"type":"https://a2a-protocol.org/errors/task-not-found","title":"Task Not Found","status":404,"detail":"gone"}"#,
            Some((Some(ErrorKind::TaskNotFound), "gone")),
        );
        check(404, r#"{"code":-32001,"message":"gone"}"#, Some((Some(ErrorKind::TaskNotFound), "gone")));
        check(404, r#"{"message":"Task not found"}"#, Some((Some(ErrorKind::TaskNotFound), "Task not found")));
        check(501, r#"{"message":"no"}"#, Some((Some(ErrorKind::UnsupportedOperation), "no")));
        for (status, body) in [
            (404, r#"{"message":"no Route matched with those values"}"#),
            (404, r#"{"detail":"Not Found"}"#),
            (503, r#"{"message":"upstream"}"#),
            (502, r#"{"error":"bad gateway"}"#),
            (502, "<html>"),
            (404, r#"{"type":"about:blank","title":"Not Found"}"#),
        ] {
            check(status, body, None);
        }
    }
}
