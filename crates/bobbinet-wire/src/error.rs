//! What an operation can fail with, as every binding of A2A spells it (specification sections 5.4 and 9.5).

use std::{borrow::Cow, fmt, time::Duration};

use crate::write::{Object, object};

/// The owner of the reasons in an error's details.
pub const ERROR_DOMAIN: &str = "a2a-protocol.org";

/// How many violations one answer lists. Whoever has made this many mistakes will not miss the next.
pub const VIOLATIONS_MAX: usize = 32;

/// A class of errors, one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// No such task, or not the caller's.
    TaskNotFound,
    /// The task has ended.
    TaskNotCancelable,
    /// The agent sends no webhooks.
    PushNotificationNotSupported,
    /// The agent, or the task in its state, does not do this.
    UnsupportedOperation,
    /// A media type that cannot be read.
    ContentTypeNotSupported,
    /// An agent behind this one answered with nonsense.
    InvalidAgentResponse,
    /// There is no extended card.
    ExtendedAgentCardNotConfigured,
    /// The caller did not declare an extension that the agent requires.
    ExtensionSupportRequired,
    /// A version of A2A that is not spoken here.
    VersionNotSupported,
    /// Not JSON.
    Parse,
    /// JSON, but no request.
    InvalidRequest,
    /// A request for a method that does not exist.
    MethodNotFound,
    /// A method with parameters that it cannot take.
    InvalidParams,
    /// Our fault.
    Internal,
    /// Nobody we know.
    Unauthenticated,
    /// Known, but not allowed.
    PermissionDenied,
    /// The caller has used up what it may use.
    ResourceExhausted,
    /// The node cannot do it now.
    Unavailable,
}

/// What the table says of a kind.
struct Row {
    code: i32,
    reason: &'static str,
    http_status: u16,
    message: &'static str,
    hint: &'static str,
}

impl ErrorKind {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::TaskNotFound,
        Self::TaskNotCancelable,
        Self::PushNotificationNotSupported,
        Self::UnsupportedOperation,
        Self::ContentTypeNotSupported,
        Self::InvalidAgentResponse,
        Self::ExtendedAgentCardNotConfigured,
        Self::ExtensionSupportRequired,
        Self::VersionNotSupported,
        Self::Parse,
        Self::InvalidRequest,
        Self::MethodNotFound,
        Self::InvalidParams,
        Self::Internal,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::Unavailable,
    ];

    /// The JSON-RPC error code. A2A leaves those of the last four open; the Go SDK's are taken, and two formed in the same way.
    pub fn code(self) -> i32 {
        self.row().code
    }

    /// The reason in `google.rpc.ErrorInfo`.
    pub fn reason(self) -> &'static str {
        self.row().reason
    }

    /// The HTTP status of A2A 1.0.1 where HTTP itself carries the error; within JSON-RPC an error of the protocol travels with 200.
    pub fn http_status(self) -> u16 {
        self.row().http_status
    }

    /// The kind with this JSON-RPC code.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| i64::from(kind.code()) == code)
    }

    fn row(self) -> Row {
        let (code, reason, http_status, message, hint) = match self {
            Self::TaskNotFound => {
                (-32001, "TASK_NOT_FOUND", 404, "Task not found", "Check the task's id; ListTasks shows your tasks.")
            }
            Self::TaskNotCancelable => (
                -32002,
                "TASK_NOT_CANCELABLE",
                400,
                "Task cannot be canceled",
                "It has ended already; GetTask shows how.",
            ),
            Self::PushNotificationNotSupported => (
                -32003,
                "PUSH_NOTIFICATION_NOT_SUPPORTED",
                400,
                "Push notifications are not supported",
                "Follow the task with SubscribeToTask, or ask with GetTask.",
            ),
            Self::UnsupportedOperation => (
                -32004,
                "UNSUPPORTED_OPERATION",
                400,
                "This operation is not supported",
                "GetTask shows the task's state; the agent card shows what the agent can do.",
            ),
            Self::ContentTypeNotSupported => (
                -32005,
                "CONTENT_TYPE_NOT_SUPPORTED",
                400,
                "Content type not supported",
                "Send application/json; the agent card lists what the agent reads.",
            ),
            Self::InvalidAgentResponse => (
                -32006,
                "INVALID_AGENT_RESPONSE",
                500,
                "The agent's answer could not be read",
                "Try again later; if it stays so, tell the agent's operator.",
            ),
            Self::ExtendedAgentCardNotConfigured => (
                -32007,
                "EXTENDED_AGENT_CARD_NOT_CONFIGURED",
                400,
                "The agent has no extended card",
                "Use the public card.",
            ),
            Self::ExtensionSupportRequired => (
                -32008,
                "EXTENSION_SUPPORT_REQUIRED",
                400,
                "The agent requires an extension that the request does not declare",
                "Name the extension in the A2A-Extensions header; the agent card says which are required.",
            ),
            Self::VersionNotSupported => (
                -32009,
                "VERSION_NOT_SUPPORTED",
                400,
                "This version of A2A is not supported",
                "Send the header A2A-Version with a version that the agent card lists, such as 1.0.",
            ),
            Self::Parse => (-32700, "PARSE_ERROR", 400, "Invalid JSON payload", "Send one JSON object."),
            Self::InvalidRequest => (
                -32600,
                "INVALID_REQUEST",
                400,
                "Request payload validation error",
                r#"Send {"jsonrpc":"2.0","id":…,"method":…,"params":{…}}."#,
            ),
            Self::MethodNotFound => (
                -32601,
                "METHOD_NOT_FOUND",
                404,
                "Method not found",
                "Check the method's name and the A2A-Version header; the agent card lists the versions that are spoken.",
            ),
            Self::InvalidParams => (
                -32602,
                "INVALID_PARAMS",
                400,
                "Invalid parameters",
                "Correct the fields that are listed and send it again.",
            ),
            Self::Internal => (
                -32603,
                "INTERNAL_ERROR",
                500,
                "Internal error",
                "Try again later; if it stays so, tell the agent's operator.",
            ),
            Self::Unauthenticated => (
                -31401,
                "UNAUTHENTICATED",
                401,
                "Authentication is required",
                "Send the header Authorization: Bearer with a valid token.",
            ),
            Self::PermissionDenied => (
                -31403,
                "PERMISSION_DENIED",
                403,
                "This is not allowed",
                "Ask the agent's operator for a policy that allows it.",
            ),
            Self::ResourceExhausted => {
                (-31429, "RESOURCE_EXHAUSTED", 429, "A limit is reached", "Wait before you try again.")
            }
            Self::Unavailable => {
                (-31503, "UNAVAILABLE", 503, "The agent is not available at the moment", "Wait before you try again.")
            }
        };
        Row { code, reason, http_status, message, hint }
    }
}

/// One field of a request and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// The field's path in the parameters, such as `message.parts[0]`; empty for the parameters themselves.
    pub field: String,
    /// What it must be, in words.
    pub description: String,
}

impl fmt::Display for FieldViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = if self.field.is_empty() { "params" } else { &self.field };
        write!(f, "{field} {}", self.description)
    }
}

/// An error as its caller reads it: fit for a stranger. The cause belongs in the log, never in here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.message)]
pub struct Error(Box<Words>);

/// What an error says; behind a pointer, so that results without an error stay small.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Words {
    kind: ErrorKind,
    message: Cow<'static, str>,
    hint: Cow<'static, str>,
    violations: Vec<FieldViolation>,
    metadata: Vec<(&'static str, String)>,
    retry_after: Option<Duration>,
}

impl Error {
    /// An error with the words of its kind.
    pub fn new(kind: ErrorKind) -> Self {
        let row = kind.row();
        Self(Box::new(Words {
            kind,
            message: Cow::Borrowed(row.message),
            hint: Cow::Borrowed(row.hint),
            violations: Vec::new(),
            metadata: Vec::new(),
            retry_after: None,
        }))
    }

    /// Parameters with these faults; there is at least one.
    pub fn invalid_params(violations: Vec<FieldViolation>) -> Self {
        let mut error = Self::new(ErrorKind::InvalidParams);
        match violations.as_slice() {
            [] => {}
            [only] => error.0.message = format!("{}: {only}", error.0.message).into(),
            [first, others @ ..] => {
                error.0.message = format!("{}: {first}, and {} more", error.0.message, others.len()).into();
            }
        }
        error.0.violations = violations;
        error
    }

    /// Parameters of which one field is at fault.
    pub fn invalid_field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::invalid_params(vec![FieldViolation { field: field.into(), description: description.into() }])
    }

    /// With these words instead of its kind's.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.0.message = message.into();
        self
    }

    /// With this advice instead of its kind's.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = hint.into();
        self
    }

    /// With one more pair in the metadata of its `ErrorInfo`. Keys are camelCase, as ProtoJSON's are.
    #[must_use]
    pub fn with_metadata(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.0.metadata.push((key, value.into()));
        self
    }

    /// With a time after which another try may succeed.
    #[must_use]
    pub fn with_retry_after(mut self, retry_after: Duration) -> Self {
        self.0.retry_after = Some(retry_after);
        self
    }

    /// Its row in the table.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What went wrong.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it.
    pub fn hint(&self) -> &str {
        &self.0.hint
    }

    /// The fields at fault, if it is about fields.
    pub fn violations(&self) -> &[FieldViolation] {
        &self.0.violations
    }

    /// When to try again, if that could help: for the `Retry-After` header.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Writes the error object of JSON-RPC: code, message, and details as an array of `google.protobuf.Any`.
    pub fn write(&self, out: &mut Vec<u8>) {
        object(out, |error| {
            error.number("code", self.0.kind.code());
            error.text("message", &self.0.message);
            let details = error.field("data");
            details.push(b'[');
            object(details, |info| self.write_info(info));
            if !self.0.violations.is_empty() {
                details.push(b',');
                object(details, |bad_request| self.write_violations(bad_request));
            }
            if let Some(delay) = self.0.retry_after {
                details.push(b',');
                object(details, |retry| {
                    retry.text("@type", "type.googleapis.com/google.rpc.RetryInfo");
                    retry.text("retryDelay", &format!("{}s", delay.as_secs_f64()));
                });
            }
            details.push(b']');
        });
    }

    fn write_info(&self, info: &mut Object<'_>) {
        info.text("@type", "type.googleapis.com/google.rpc.ErrorInfo");
        info.text("reason", self.0.kind.reason());
        info.text("domain", ERROR_DOMAIN);
        info.object("metadata", |metadata| {
            for (key, value) in &self.0.metadata {
                metadata.text(key, value);
            }
            metadata.text("hint", &self.0.hint);
        });
    }

    fn write_violations(&self, bad_request: &mut Object<'_>) {
        bad_request.text("@type", "type.googleapis.com/google.rpc.BadRequest");
        bad_request.list("fieldViolations", &self.0.violations, |out, violation| {
            object(out, |fields| {
                fields.text("field", &violation.field);
                fields.text("description", &violation.description);
            });
        });
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind)
    }
}
