//! Errors as gRPC carries them: a status, and `google.rpc` details in `grpc-status-details-bin` (A2A specification sections 5.4 and 10.6).

use std::{collections::BTreeMap, time::Duration};

use bobbinet_wire::{
    Error, ErrorKind, FieldViolation, RemoteError,
    v1_0::error::{ERROR_DOMAIN, hint, kind_of_reason, reason},
};
use prost::{Message, Name};
use tonic::{Code, Status};

/// The name that the hint has in the metadata of an `ErrorInfo`.
const HINT: &str = "hint";

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `google.rpc.ErrorInfo`.
#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: BTreeMap<String, String>,
}

/// `google.rpc.BadRequest`.
#[derive(Clone, PartialEq, Message)]
struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    field_violations: Vec<Violation>,
}

/// `google.rpc.BadRequest.FieldViolation`.
#[derive(Clone, PartialEq, Message)]
struct Violation {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    description: String,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

macro_rules! named {
    ($($message:ident),*) => {
        $(impl Name for $message {
            const NAME: &'static str = stringify!($message);
            const PACKAGE: &'static str = "google.rpc";

            fn type_url() -> String {
                concat!("type.googleapis.com/google.rpc.", stringify!($message)).to_owned()
            }
        })*
    };
}

named!(ErrorInfo, BadRequest, RetryInfo);

/// What the caller reads.
pub(crate) fn of(error: &Error) -> Status {
    of_as(error, code(error.kind()))
}

/// The same under another code than its kind's.
pub(crate) fn of_as(error: &Error, code: Code) -> Status {
    let mut metadata: BTreeMap<String, String> =
        error.metadata().iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    metadata.insert(HINT.to_owned(), error.hint().unwrap_or_else(|| hint(error.kind())).to_owned());
    let info = ErrorInfo { reason: reason(error.kind()).to_owned(), domain: ERROR_DOMAIN.to_owned(), metadata };
    let mut details = vec![any(&info)];
    if !error.violations().is_empty() {
        let violation =
            |fault: &FieldViolation| Violation { field: fault.field.clone(), description: fault.description.clone() };
        details.push(any(&BadRequest { field_violations: error.violations().iter().map(violation).collect() }));
    }
    if let Some(delay) = error.retry_after() {
        let retry_delay = prost_types::Duration::try_from(delay).ok();
        details.push(any(&RetryInfo { retry_delay }));
    }
    let status = RpcStatus { code: code.into(), message: error.message().to_owned(), details };
    Status::with_details(code, error.message(), status.encode_to_vec().into())
}

fn any<M: Name>(message: &M) -> prost_types::Any {
    prost_types::Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

/// The column of gRPC in the table of A2A 1.0.1; what that leaves open is as gRPC has it.
fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::TaskNotFound => Code::NotFound,
        ErrorKind::TaskNotCancelable
        | ErrorKind::PushNotificationNotSupported
        | ErrorKind::UnsupportedOperation
        | ErrorKind::ExtendedAgentCardNotConfigured
        | ErrorKind::ExtensionSupportRequired
        | ErrorKind::VersionNotSupported => Code::FailedPrecondition,
        ErrorKind::ContentTypeNotSupported
        | ErrorKind::Parse
        | ErrorKind::InvalidRequest
        | ErrorKind::InvalidParams => Code::InvalidArgument,
        ErrorKind::InvalidAgentResponse | ErrorKind::Internal => Code::Internal,
        ErrorKind::MethodNotFound => Code::Unimplemented,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::ResourceExhausted => Code::ResourceExhausted,
        ErrorKind::Unavailable => Code::Unavailable,
    }
}

/// What an agent's status says; as much as can be told by its code, if it has no details.
pub(crate) fn read(status: &Status) -> RemoteError {
    let details = RpcStatus::decode(status.details()).map(|status| status.details).unwrap_or_default();
    let mut error = RemoteError {
        kind: kind_in_words(status.message()).or_else(|| kind_of(status.code())),
        code: i64::from(i32::from(status.code())),
        message: status.message().to_owned(),
        ..RemoteError::default()
    };
    for detail in details {
        match detail.type_url.rsplit('/').next() {
            Some("google.rpc.ErrorInfo") => {
                let Ok(mut info) = ErrorInfo::decode(detail.value.as_slice()) else { continue };
                error.kind = kind_of_reason(&info.reason).or(error.kind);
                error.hint = info.metadata.remove(HINT);
                error.reason = Some(info.reason);
            }
            Some("google.rpc.BadRequest") => {
                let Ok(bad_request) = BadRequest::decode(detail.value.as_slice()) else { continue };
                let violation = |Violation { field, description }| FieldViolation { field, description };
                error.violations.extend(bad_request.field_violations.into_iter().map(violation));
            }
            Some(_) | None => {}
        }
    }
    error
}

/// Whether it is the agent that says this, and it has done nothing: a proxy, or what reads the answer here, may make up any other status,
/// also when the work is done. One has said so that names an error of A2A; and some codes are given before there is any work.
pub(crate) fn is_agents_word(status: &Status) -> bool {
    // What has a source was made on this side: sources do not come over the wire.
    if std::error::Error::source(status).is_some() {
        return false;
    }
    let is_before_work = matches!(
        status.code(),
        Code::NotFound
            | Code::InvalidArgument
            | Code::Unimplemented
            | Code::FailedPrecondition
            | Code::Unauthenticated
            | Code::PermissionDenied
    );
    is_before_work || has_error_of_a2a(status) || kind_in_words(status.message()).is_some()
}

/// The official SDK of 0.3 has no details, and one code for several errors, but their names at the beginning: `TaskNotCancelableError: …`.
fn kind_in_words(message: &str) -> Option<ErrorKind> {
    let name = message.split_once(": ")?.0;
    let mut reason = String::with_capacity(name.len() + 8);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !reason.is_empty() {
            reason.push('_');
        }
        reason.push(letter.to_ascii_uppercase());
    }
    kind_of_reason(&reason).or_else(|| kind_of_reason(reason.strip_suffix("_ERROR")?))
}

fn has_error_of_a2a(status: &Status) -> bool {
    let details = RpcStatus::decode(status.details()).map(|status| status.details).unwrap_or_default();
    details
        .into_iter()
        .filter(|detail| detail.type_url.ends_with("/google.rpc.ErrorInfo"))
        .any(|detail| ErrorInfo::decode(detail.value.as_slice()).is_ok_and(|info| info.domain == ERROR_DOMAIN))
}

/// After how long a status says to try again.
pub(crate) fn retry_after(status: &Status) -> Option<Duration> {
    let details = RpcStatus::decode(status.details()).ok()?.details;
    let detail = details.into_iter().find(|detail| detail.type_url.ends_with("/google.rpc.RetryInfo"))?;
    RetryInfo::decode(detail.value.as_slice()).ok()?.retry_delay?.try_into().ok()
}

/// What a code alone tells: several of A2A's errors have the same.
fn kind_of(code: Code) -> Option<ErrorKind> {
    match code {
        Code::NotFound => Some(ErrorKind::TaskNotFound),
        Code::InvalidArgument => Some(ErrorKind::InvalidParams),
        Code::Unauthenticated => Some(ErrorKind::Unauthenticated),
        Code::PermissionDenied => Some(ErrorKind::PermissionDenied),
        Code::ResourceExhausted => Some(ErrorKind::ResourceExhausted),
        Code::Unavailable => Some(ErrorKind::Unavailable),
        Code::Unimplemented => Some(ErrorKind::MethodNotFound),
        Code::Internal => Some(ErrorKind::Internal),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::DataLoss => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{fmt, sync::Arc};

    use super::*;

    #[test]
    fn an_error_comes_back_with_all_that_it_says() {
        for kind in ErrorKind::ALL {
            let error = Error::new(kind).with_retry_after(Duration::from_millis(1_500)).with_metadata("limit", "x");
            let status = of(&error);
            let remote = read(&status);
            assert_eq!((remote.kind, remote.reason.as_deref()), (Some(kind), Some(reason(kind))));
            assert_eq!((remote.message.as_str(), remote.hint.as_deref()), (kind.message(), Some(hint(kind))));
            assert_eq!(retry_after(&status), Some(Duration::from_millis(1_500)));
        }
        let remote = read(&of(&Error::invalid_field("message.parts", "must have at least one part")));
        assert_eq!(remote.violations[0].field, "message.parts");
    }

    #[test]
    fn the_codes_are_those_of_1_0_1() {
        for (kind, expected) in [
            (ErrorKind::TaskNotFound, Code::NotFound),
            (ErrorKind::TaskNotCancelable, Code::FailedPrecondition),
            (ErrorKind::PushNotificationNotSupported, Code::FailedPrecondition),
            (ErrorKind::ContentTypeNotSupported, Code::InvalidArgument),
            (ErrorKind::InvalidAgentResponse, Code::Internal),
            (ErrorKind::VersionNotSupported, Code::FailedPrecondition),
        ] {
            assert_eq!(of(&kind.into()).code(), expected, "{kind:?}");
        }
        assert!(ErrorKind::ALL.into_iter().all(|kind| is_agents_word(&of(&kind.into()))));
        assert!(is_agents_word(&Status::not_found("x")) && !is_agents_word(&Status::unavailable("upstream reset")));
        let mut unread = of(&ErrorKind::InvalidParams.into());
        unread.set_source(Arc::new(fmt::Error));
        assert!(!is_agents_word(&unread), "an answer that is not read here");
        for (message, kind) in [
            ("TaskNotCancelableError: no", ErrorKind::TaskNotCancelable),
            ("PushNotificationNotSupportedError: no", ErrorKind::PushNotificationNotSupported),
            ("UnsupportedOperationError: no", ErrorKind::UnsupportedOperation),
            ("no such method", ErrorKind::MethodNotFound),
            ("SomeOtherError: no", ErrorKind::MethodNotFound),
        ] {
            assert_eq!(read(&Status::unimplemented(message)).kind, Some(kind), "{message}");
        }
        for message in ["InvalidAgentResponseError: it says nothing", "InternalError: no"] {
            assert!(is_agents_word(&Status::internal(message)), "{message}");
        }
        assert!(!is_agents_word(&Status::internal("h2 protocol error: error reading a body")));
        assert_eq!(read(&Status::unavailable("away")).kind, Some(ErrorKind::Unavailable));
    }
}
