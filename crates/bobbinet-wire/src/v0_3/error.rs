//! Errors as 0.3 spells them (its specification, section 8): the codes and the error object of JSON-RPC.
//!
//! `data` is of any form in 0.3. Here it is an object: the reason, a hint under `metadata`, the fields at fault, when to try again.

use crate::{
    error::{Error, ErrorKind},
    error_details,
    write::object,
};

/// What the table says of a kind.
struct Row {
    code: i32,
    reason: &'static str,
    http_status: u16,
    hint: &'static str,
}

/// The JSON-RPC error code. 0.3 ends at -32007; what it does not know has the code that a client of 1.0 would know.
pub fn code(kind: ErrorKind) -> i32 {
    row(kind).code
}

/// The kind with this code.
pub(super) fn kind_of(code: i64) -> Option<ErrorKind> {
    ErrorKind::ALL.into_iter().find(|kind| i64::from(row(*kind).code) == code)
}

/// The HTTP status where HTTP itself carries the error.
pub fn http_status(kind: ErrorKind) -> u16 {
    row(kind).http_status
}

fn row(kind: ErrorKind) -> Row {
    let (code, reason, http_status, hint) = match kind {
        ErrorKind::TaskNotFound => (-32001, "TASK_NOT_FOUND", 404, "Check the task's id."),
        ErrorKind::TaskNotCancelable => {
            (-32002, "TASK_NOT_CANCELABLE", 409, "It has ended already; tasks/get shows how.")
        }
        ErrorKind::PushNotificationNotSupported => (
            -32003,
            "PUSH_NOTIFICATION_NOT_SUPPORTED",
            501,
            "Follow the task with tasks/resubscribe, or ask with tasks/get.",
        ),
        ErrorKind::UnsupportedOperation => (
            -32004,
            "UNSUPPORTED_OPERATION",
            501,
            "tasks/get shows the task's state; the agent card shows what the agent can do.",
        ),
        ErrorKind::ContentTypeNotSupported => (
            -32005,
            "CONTENT_TYPE_NOT_SUPPORTED",
            415,
            "Send application/json; the agent card lists what the agent reads.",
        ),
        ErrorKind::InvalidAgentResponse => {
            (-32006, "INVALID_AGENT_RESPONSE", 502, "Try again later; if it stays so, tell the agent's operator.")
        }
        ErrorKind::ExtendedAgentCardNotConfigured => {
            (-32007, "EXTENDED_AGENT_CARD_NOT_CONFIGURED", 404, "Use the public card.")
        }
        ErrorKind::ExtensionSupportRequired => (
            -32008,
            "EXTENSION_SUPPORT_REQUIRED",
            400,
            "Name the extension in the X-A2A-Extensions header; the agent card says which are required.",
        ),
        ErrorKind::VersionNotSupported => (
            -32009,
            "VERSION_NOT_SUPPORTED",
            400,
            "Leave the header A2A-Version out for 0.3, or send one of the versions on the agent card.",
        ),
        ErrorKind::Parse => (-32700, "PARSE_ERROR", 400, "Send one JSON object."),
        ErrorKind::InvalidRequest => {
            (-32600, "INVALID_REQUEST", 400, r#"Send {"jsonrpc":"2.0","id":…,"method":…,"params":{…}}."#)
        }
        ErrorKind::MethodNotFound => (-32601, "METHOD_NOT_FOUND", 404, "Check the method's name."),
        ErrorKind::InvalidParams => {
            (-32602, "INVALID_PARAMS", 400, "Correct the fields that are listed and send it again.")
        }
        ErrorKind::Internal => {
            (-32603, "INTERNAL_ERROR", 500, "Try again later; if it stays so, tell the agent's operator.")
        }
        ErrorKind::Unauthenticated => {
            (-31401, "UNAUTHENTICATED", 401, "Send the header Authorization: Bearer with a valid token.")
        }
        ErrorKind::PermissionDenied => {
            (-31403, "PERMISSION_DENIED", 403, "Ask the agent's operator for a policy that allows it.")
        }
        ErrorKind::ResourceExhausted => (-31429, "RESOURCE_EXHAUSTED", 429, "Wait before you try again."),
        ErrorKind::Unavailable => (-31503, "UNAVAILABLE", 503, "Wait before you try again."),
    };
    Row { code, reason, http_status, hint }
}

/// Writes the error object of JSON-RPC, which is also the whole body of an error over REST.
pub fn write(out: &mut Vec<u8>, error: &Error) {
    let row = row(error.kind());
    object(out, |fields| {
        fields.number("code", row.code);
        fields.text("message", error.message());
        fields.object("data", |data| {
            data.text("reason", row.reason);
            error_details::metadata(data, error, row.hint);
            if !error.violations().is_empty() {
                error_details::violations(data, error.violations());
            }
            if let Some(delay) = error.retry_after() {
                error_details::retry_delay(data, delay);
            }
        });
    });
}
