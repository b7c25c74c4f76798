//! What an operation can fail with, in any version of A2A. Codes, reasons and advice are a dialect's: each has a table of its own.

use std::{borrow::Cow, fmt, time::Duration};

/// How many violations one answer lists. Whoever has made this many mistakes will not miss the next.
pub const VIOLATIONS_MAX: usize = 32;

/// A class of errors, one row of each dialect's table.
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

impl ErrorKind {
    /// All kinds, in the order of the specification's table.
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

    /// What went wrong, in the words of the specification where it has some.
    pub fn message(self) -> &'static str {
        match self {
            Self::TaskNotFound => "Task not found",
            Self::TaskNotCancelable => "Task cannot be canceled",
            Self::PushNotificationNotSupported => "Push notifications are not supported",
            Self::UnsupportedOperation => "This operation is not supported",
            Self::ContentTypeNotSupported => "Content type not supported",
            Self::InvalidAgentResponse => "The agent's answer could not be read",
            Self::ExtendedAgentCardNotConfigured => "The agent has no extended card",
            Self::ExtensionSupportRequired => "The agent requires an extension that the request does not declare",
            Self::VersionNotSupported => "This version of A2A is not supported",
            Self::Parse => "Invalid JSON payload",
            Self::InvalidRequest => "Request payload validation error",
            Self::MethodNotFound => "Method not found",
            Self::InvalidParams => "Invalid parameters",
            Self::Internal => "Internal error",
            Self::Unauthenticated => "Authentication is required",
            Self::PermissionDenied => "This is not allowed",
            Self::ResourceExhausted => "A limit is reached",
            Self::Unavailable => "The agent is not available at the moment",
        }
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
    hint: Option<Cow<'static, str>>,
    violations: Vec<FieldViolation>,
    metadata: Vec<(&'static str, String)>,
    retry_after: Option<Duration>,
}

impl Error {
    /// An error with the words of its kind.
    pub fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Words {
            kind,
            message: Cow::Borrowed(kind.message()),
            hint: None,
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

    /// With this advice instead of what its dialect says of its kind.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// With one more pair for programs: in 1.0, in the metadata of its `ErrorInfo`. Keys are camelCase, as ProtoJSON's are.
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

    /// The class of errors that it is one of.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What went wrong.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it, if that is another thing than what its dialect says of its kind.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// What else a program may want to know, by name.
    pub fn metadata(&self) -> &[(&'static str, String)] {
        &self.0.metadata
    }

    /// The fields at fault, if it is about fields.
    pub fn violations(&self) -> &[FieldViolation] {
        &self.0.violations
    }

    /// When to try again, if that could help: for the `Retry-After` header.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind)
    }
}
