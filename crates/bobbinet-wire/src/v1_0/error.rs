//! Errors as 1.0 spells them (specification sections 5.4 and 9.5): the table of codes, reasons and advice, and the error object of
//! JSON-RPC, written and read.

use crate::{
    error::{Error, ErrorKind, FieldViolation},
    error_details,
    reply::{RemoteError, RpcFault},
    write::{Object, object},
};

/// The owner of the reasons in an error's details.
pub const ERROR_DOMAIN: &str = "a2a-protocol.org";

/// What the table says of a kind.
struct Row {
    code: i32,
    reason: &'static str,
    http_status: u16,
    hint: &'static str,
}

/// The JSON-RPC error code. A2A leaves those of the last four open; the Go SDK's are taken, and two formed in the same way.
pub fn code(kind: ErrorKind) -> i32 {
    row(kind).code
}

/// The kind with this JSON-RPC code.
pub fn kind_of(code: i64) -> Option<ErrorKind> {
    ErrorKind::ALL.into_iter().find(|kind| i64::from(row(*kind).code) == code)
}

/// The kind with this reason, as details name it.
pub fn kind_of_reason(reason: &str) -> Option<ErrorKind> {
    ErrorKind::ALL.into_iter().find(|kind| row(*kind).reason == reason)
}

/// The HTTP status of A2A 1.0.1 where HTTP itself carries the error; within JSON-RPC an error of the protocol travels with 200.
pub fn http_status(kind: ErrorKind) -> u16 {
    row(kind).http_status
}

/// The kind in one word, for programs: the `reason` of an `ErrorInfo`.
pub fn reason(kind: ErrorKind) -> &'static str {
    row(kind).reason
}

/// What to do about an error of this kind, if the error itself does not say.
pub fn hint(kind: ErrorKind) -> &'static str {
    row(kind).hint
}

fn row(kind: ErrorKind) -> Row {
    let (code, reason, http_status, hint) = match kind {
        ErrorKind::TaskNotFound => (-32001, "TASK_NOT_FOUND", 404, "Check the task's id; ListTasks shows your tasks."),
        ErrorKind::TaskNotCancelable => {
            (-32002, "TASK_NOT_CANCELABLE", 400, "It has ended already; GetTask shows how.")
        }
        ErrorKind::PushNotificationNotSupported => (
            -32003,
            "PUSH_NOTIFICATION_NOT_SUPPORTED",
            400,
            "Follow the task with SubscribeToTask, or ask with GetTask.",
        ),
        ErrorKind::UnsupportedOperation => (
            -32004,
            "UNSUPPORTED_OPERATION",
            400,
            "GetTask shows the task's state; the agent card shows what the agent can do.",
        ),
        ErrorKind::ContentTypeNotSupported => (
            -32005,
            "CONTENT_TYPE_NOT_SUPPORTED",
            400,
            "Send application/json; the agent card lists what the agent reads.",
        ),
        ErrorKind::InvalidAgentResponse => {
            (-32006, "INVALID_AGENT_RESPONSE", 500, "Try again later; if it stays so, tell the agent's operator.")
        }
        ErrorKind::ExtendedAgentCardNotConfigured => {
            (-32007, "EXTENDED_AGENT_CARD_NOT_CONFIGURED", 400, "Use the public card.")
        }
        ErrorKind::ExtensionSupportRequired => (
            -32008,
            "EXTENSION_SUPPORT_REQUIRED",
            400,
            "Name the extension in the A2A-Extensions header; the agent card says which are required.",
        ),
        ErrorKind::VersionNotSupported => (
            -32009,
            "VERSION_NOT_SUPPORTED",
            400,
            "Send the header A2A-Version with a version that the agent card lists, such as 1.0.",
        ),
        ErrorKind::Parse => (-32700, "PARSE_ERROR", 400, "Send one JSON object."),
        ErrorKind::InvalidRequest => {
            (-32600, "INVALID_REQUEST", 400, r#"Send {"jsonrpc":"2.0","id":…,"method":…,"params":{…}}."#)
        }
        ErrorKind::MethodNotFound => (
            -32601,
            "METHOD_NOT_FOUND",
            404,
            "Check the method's name and the A2A-Version header; the agent card lists the versions that are spoken.",
        ),
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

/// Writes the error object of JSON-RPC: code, message, and details as an array of `google.protobuf.Any`.
pub fn write(out: &mut Vec<u8>, error: &Error) {
    let row = row(error.kind());
    object(out, |fields| {
        fields.number("code", row.code);
        fields.text("message", error.message());
        write_details(fields.field("data"), error, &row);
    });
}

/// Writes the body of an error over REST: a `google.rpc.Status` under `error` (AIP-193), with the same details. Its code is the HTTP
/// status that it is answered with: [`http_status`], unless HTTP itself has a better one.
pub fn write_status(out: &mut Vec<u8>, error: &Error, http_status: u16) {
    let row = row(error.kind());
    object(out, |body| {
        body.object("error", |fields| {
            fields.number("code", http_status);
            fields.text("status", status_name(error.kind()));
            fields.text("message", error.message());
            write_details(fields.field("details"), error, &row);
        });
    });
}

/// The canonical code of gRPC, by name.
pub fn status_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::TaskNotFound => "NOT_FOUND",
        ErrorKind::TaskNotCancelable
        | ErrorKind::PushNotificationNotSupported
        | ErrorKind::UnsupportedOperation
        | ErrorKind::ExtendedAgentCardNotConfigured
        | ErrorKind::ExtensionSupportRequired
        | ErrorKind::VersionNotSupported => "FAILED_PRECONDITION",
        ErrorKind::ContentTypeNotSupported
        | ErrorKind::Parse
        | ErrorKind::InvalidRequest
        | ErrorKind::InvalidParams => "INVALID_ARGUMENT",
        ErrorKind::InvalidAgentResponse | ErrorKind::Internal => "INTERNAL",
        ErrorKind::MethodNotFound => "UNIMPLEMENTED",
        ErrorKind::Unauthenticated => "UNAUTHENTICATED",
        ErrorKind::PermissionDenied => "PERMISSION_DENIED",
        ErrorKind::ResourceExhausted => "RESOURCE_EXHAUSTED",
        ErrorKind::Unavailable => "UNAVAILABLE",
    }
}

fn write_details(details: &mut Vec<u8>, error: &Error, row: &Row) {
    details.push(b'[');
    object(details, |info| write_info(info, error, row));
    if !error.violations().is_empty() {
        details.push(b',');
        object(details, |bad_request| write_violations(bad_request, error.violations()));
    }
    if let Some(delay) = error.retry_after() {
        details.push(b',');
        object(details, |retry| {
            retry.text("@type", "type.googleapis.com/google.rpc.RetryInfo");
            error_details::retry_delay(retry, delay);
        });
    }
    details.push(b']');
}

fn write_info(info: &mut Object<'_>, error: &Error, row: &Row) {
    info.text("@type", "type.googleapis.com/google.rpc.ErrorInfo");
    info.text("reason", row.reason);
    info.text("domain", ERROR_DOMAIN);
    error_details::metadata(info, error, row.hint);
}

fn write_violations(bad_request: &mut Object<'_>, violations: &[FieldViolation]) {
    bad_request.text("@type", "type.googleapis.com/google.rpc.BadRequest");
    error_details::violations(bad_request, violations);
}

/// Reads the error object of an answer, as far as it goes.
pub(super) fn read(fault: RpcFault<'_>) -> RemoteError {
    RemoteError::of_rpc(fault, kind_of)
}
