//! What a failed call means for the one who typed it.

use bobbinet_http::client::ClientError;
use bobbinet_wire::{ErrorKind, RemoteError};

use crate::{
    failure::{Code, Failure},
    shell::{Typed, quoted},
};

/// What to type for what an agent's advice calls by its name in the protocol.
const TYPED: [(&str, &str); 4] = [
    ("ListTasks", "`bobbinet task list`"),
    ("GetTask", "`bobbinet task get`"),
    ("SubscribeToTask", "`bobbinet task subscribe`"),
    ("without a taskId", "without --task-id"),
];

/// Whom a call was for, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Called<'a> {
    /// What `-a` takes.
    pub(crate) target: &'a str,
    /// Whether nothing was shown to say who we are.
    pub(crate) is_anonymous: bool,
}

/// The failure that an error of a call is.
pub(crate) fn of_client(error: ClientError, called: Called<'_>) -> Failure {
    let Called { target, is_anonymous } = called;
    match error {
        ClientError::BadUrl(_) | ClientError::Refused(_) => Failure::of(Code::Usage, &error),
        ClientError::Unreachable { .. } => {
            Failure::of(Code::Unreachable, &error).hint("is the node running, and is this its address?")
        }
        ClientError::BadCard { .. } => Failure::of(Code::CardInvalid, &error),
        ClientError::NoInterface { .. } => Failure::of(Code::CardInvalid, &error)
            .hint("`bobbinet card get` shows what the card says; whoever runs the agent can tell where it speaks what"),
        ClientError::OtherOrigin { ref origin, ref card_origin, .. } => Failure::of(Code::CardInvalid, &error).hint(format!(
            "if you trust it with what you send and with your credentials, say --origin {}; to call the agent where its card is, say --origin {}",
            quoted(&origin.to_string()),
            quoted(&card_origin.to_string()),
        )),
        ClientError::NoCard { .. } => {
            let hint = "a node with several agents has each at /agents/NAME; GET /agents lists them";
            Failure::of(Code::CardNotFound, &error).hint(hint)
        }
        ClientError::OutcomeUnknown { ref task, ref key, .. } => {
            let hint = match (key, task) {
                (Some(key), _) => {
                    format!("send the same again with --idempotency-key={}: the agent does it only once", quoted(key))
                }
                (None, Some(task)) => {
                    let get = Typed::new("bobbinet task get").flag("-a", target).words(&[task]);
                    format!("look before you send it again: {get}")
                }
                (None, None) => {
                    format!("look before you send it again: {}", Typed::new("bobbinet task list").flag("-a", target))
                }
            };
            Failure::of(Code::OutcomeUnknown, &error).hint(hint)
        }
        ClientError::NotAnAgent { .. } => Failure::of(Code::Unreachable, &error)
            .hint("is there a proxy or a login in between? --debug shows what was said"),
        ClientError::Unauthorized { message, .. } if is_anonymous => Failure::new(Code::CredentialsMissing, message).hint(
            "on the node's machine say --data-dir FOLDER; elsewhere --bearer TOKEN, made there with `bobbinet token mint -a AGENT`, or --api-key KEY",
        ),
        // What the agent advises is for programs that speak HTTP.
        ClientError::Unauthorized { message, hint } if hint.contains("Authorization") => Failure::new(Code::AuthFailed, message)
            .hint("use a token that is made for this agent's URL and has not expired: bobbinet token mint -a AGENT"),
        ClientError::Unauthorized { message, hint } => Failure::new(Code::AuthFailed, message).hint(hint),
        ClientError::Credentials { .. } => Failure::of(Code::CredentialsMissing, &error)
            .hint("`bobbinet card get` shows what the agent takes; --bearer, --api-key and --data-dir say what to show it"),
        ClientError::Rpc(remote) => of_remote(&remote),
        ClientError::Protocol(_) => Failure::of(Code::Internal, &error).hint("--debug shows what was said"),
        ClientError::Timeout { .. } => Failure::of(Code::Timeout, &error),
    }
}

fn of_remote(remote: &RemoteError) -> Failure {
    let mut message = remote.message.clone();
    for violation in &remote.violations {
        let violation = violation.to_string();
        if !message.contains(&violation) {
            message = format!("{message}; {violation}");
        }
    }
    let code = match remote.kind {
        Some(ErrorKind::Unauthenticated | ErrorKind::PermissionDenied) => Code::AuthFailed,
        Some(kind) => Code::Protocol(name(kind).to_owned()),
        None => Code::Protocol(remote.reason.clone().unwrap_or_else(|| "InternalError".to_owned())),
    };
    let failure = Failure::new(code, message).a2a_code(remote.code);
    let hint = remote.hint.as_deref().map(typed);
    let is_about_a_task = matches!(
        remote.kind,
        Some(ErrorKind::TaskNotFound | ErrorKind::TaskNotCancelable | ErrorKind::UnsupportedOperation)
    );
    match (hint, is_about_a_task) {
        (Some(hint), true) => failure.hint(format!("{hint} --debug shows what was said.")),
        (None, true) => failure.hint("--debug shows what was said"),
        (Some(hint), false) => failure.hint(hint),
        (None, false) => failure,
    }
}

fn typed(hint: &str) -> String {
    TYPED.iter().fold(hint.to_owned(), |hint, (name, command)| hint.replace(name, command))
}

/// The error's name in the protocol (A2A specification section 3.3.2; those of JSON-RPC as the SDKs spell them).
fn name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::TaskNotFound => "TaskNotFoundError",
        ErrorKind::TaskNotCancelable => "TaskNotCancelableError",
        ErrorKind::PushNotificationNotSupported => "PushNotificationNotSupportedError",
        ErrorKind::UnsupportedOperation => "UnsupportedOperationError",
        ErrorKind::ContentTypeNotSupported => "ContentTypeNotSupportedError",
        ErrorKind::InvalidAgentResponse => "InvalidAgentResponseError",
        ErrorKind::ExtendedAgentCardNotConfigured => "ExtendedAgentCardNotConfiguredError",
        ErrorKind::ExtensionSupportRequired => "ExtensionSupportRequiredError",
        ErrorKind::VersionNotSupported => "VersionNotSupportedError",
        ErrorKind::Parse => "JSONParseError",
        ErrorKind::InvalidRequest => "InvalidRequestError",
        ErrorKind::MethodNotFound => "MethodNotFoundError",
        ErrorKind::InvalidParams => "InvalidParamsError",
        ErrorKind::Internal => "InternalError",
        ErrorKind::Unauthenticated => "UnauthenticatedError",
        ErrorKind::PermissionDenied => "PermissionDeniedError",
        ErrorKind::ResourceExhausted => "ResourceExhaustedError",
        ErrorKind::Unavailable => "UnavailableError",
    }
}

#[cfg(test)]
mod tests {
    use bobbinet_wire::{FieldViolation, v1_0::error::kind_of};

    use super::*;

    fn check(code: i64, message: &str, hint: Option<&str>, violation: Option<&str>, expected: &str) {
        let noted = |description: &str| FieldViolation { field: "x".to_owned(), description: description.to_owned() };
        let remote = RemoteError {
            kind: kind_of(code),
            code,
            reason: None,
            message: message.to_owned(),
            hint: hint.map(str::to_owned),
            violations: violation.map(noted).into_iter().collect(),
        };
        assert_eq!(of_remote(&remote).sentence(), expected);
    }

    #[test]
    fn advice_is_what_can_be_typed_and_nothing_is_said_twice() {
        check(
            -32001,
            "Task not found",
            Some("Check the task's id; ListTasks shows your tasks."),
            None,
            "Task not found -> Check the task's id; `bobbinet task list` shows your tasks. --debug shows what was said.",
        );
        check(-32004, "no", None, None, "no -> --debug shows what was said");
        check(
            -32602,
            "Invalid parameters: x is odd",
            Some("Mend it."),
            Some("is odd"),
            "Invalid parameters: x is odd -> Mend it.",
        );
        check(-32602, "Invalid parameters", None, Some("is odd"), "Invalid parameters; x is odd");
    }
}
