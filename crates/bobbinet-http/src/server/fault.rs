//! What a caller is told when something fails, and what the log is told: the one table from the gateway's errors to the wire's.

use std::time::Duration;

use bobbinet_auth::Denied;
use bobbinet_core::Refused;
use bobbinet_engine::EngineError;
use bobbinet_gateway::{Full, GatewayError, Unsupported};
use bobbinet_push::WebhookError;
use bobbinet_wire::{Error, ErrorKind};

use super::body::BodyFault;
use crate::HttpLimits;

/// What the caller reads.
pub(super) fn of_gateway(error: GatewayError, limits: &HttpLimits) -> Error {
    match error {
        GatewayError::Denied(denied) => of_denied(&denied),
        GatewayError::NotFound => ErrorKind::TaskNotFound.into(),
        GatewayError::Full(full) => of_full(full, limits),
        GatewayError::Ended => ended(),
        GatewayError::Webhook(WebhookError::Url(why)) => Error::invalid_field("url", format!("is not called: {why}")),
        GatewayError::Webhook(error) => {
            tracing::error!(%error, "a webhook could not be kept");
            ErrorKind::Internal.into()
        }
        GatewayError::ExtensionRequired(uri) => Error::new(ErrorKind::ExtensionSupportRequired)
            .with_message(format!("The agent requires the extension {uri}, and the request does not name it"))
            .with_hint("Name it in the header A2A-Extensions if you speak it; the agent's card declares it."),
        GatewayError::Unsupported(Unsupported::Streaming) => Error::new(ErrorKind::UnsupportedOperation)
            .with_message("The agent has no streams")
            .with_hint("Send the message without asking for a stream, and look at the task for how far it is."),
        GatewayError::Unsupported(Unsupported::PushNotifications) => ErrorKind::PushNotificationNotSupported.into(),
        GatewayError::Unsupported(Unsupported::ExtendedCard) => Error::new(ErrorKind::UnsupportedOperation)
            .with_message("The agent has no extended card")
            .with_hint("Use the public card."),
        GatewayError::Cancel(EngineError::Refused(Refused::Ended)) => ErrorKind::TaskNotCancelable.into(),
        GatewayError::Engine(error) | GatewayError::Cancel(error) => of_engine(error, limits),
    }
}

/// What is our fault goes into the log, with its cause; the caller is told that it is.
pub(super) fn of_engine(error: EngineError, limits: &HttpLimits) -> Error {
    match error {
        EngineError::NotFound => ErrorKind::TaskNotFound.into(),
        EngineError::Refused(refused) => of_refused(refused),
        EngineError::ContextMismatch => {
            Error::invalid_field("message.contextId", "must be the context of the task, or be left out")
        }
        EngineError::IdempotencyConflict => key_reused(),
        EngineError::Limit { what, max } => {
            exhausted(what, max).with_retry_after(retry_after(limits)).with_hint(way_out(what))
        }
        EngineError::BadPageToken => {
            Error::invalid_field("pageToken", "must be the nextPageToken of the page before, with the same filters")
        }
        EngineError::Draining => unavailable(limits).with_message("The agent is stopping and takes no new work"),
        EngineError::Unavailable(why) => {
            tracing::error!(why, "the store is unavailable");
            unavailable(limits)
        }
        EngineError::Corrupt(why) => {
            tracing::error!(why, "the store is damaged");
            ErrorKind::Internal.into()
        }
        EngineError::UnknownAgent => Error::new(ErrorKind::UnsupportedOperation)
            .with_message("This node has no such agent any more")
            .with_hint("The tasks that it has left can be read and canceled; ask the node's operator about the agent."),
        EngineError::Repeated(_) => {
            tracing::error!(%error, "the engine told what is not for callers");
            ErrorKind::Internal.into()
        }
    }
}

fn of_refused(refused: Refused) -> Error {
    match refused {
        Refused::Absent => ErrorKind::TaskNotFound.into(),
        Refused::Ended => ended(),
        Refused::Busy => Error::new(ErrorKind::UnsupportedOperation)
            .with_message("The task is at work and takes no messages until it asks or ends")
            .with_hint("Follow its stream until then, or send a message without a taskId for a new task."),
        Refused::BadAnswer(why) => Error::invalid_field("message.parts", format!("must answer the question: {why}")),
        Refused::Limit { what, max } => exhausted(what, max),
        Refused::KeyReused => key_reused(),
        refused @ (Refused::Present | Refused::Fenced | Refused::NothingToDo | Refused::Repeated { .. }) => {
            tracing::error!(%refused, "a caller's command was refused as if it were a run's");
            ErrorKind::Internal.into()
        }
    }
}

fn key_reused() -> Error {
    Error::new(ErrorKind::InvalidRequest)
        .with_message("The Idempotency-Key was used for another request")
        .with_hint("Use a new key for a new request.")
}

/// A task that has ended takes no message and has no stream.
fn ended() -> Error {
    Error::new(ErrorKind::UnsupportedOperation)
        .with_message("The task has ended")
        .with_hint("The task itself shows how; a message without a taskId begins a new task.")
}

/// What policy said, to the one whom it concerns.
fn of_denied(denied: &Denied) -> Error {
    Error::new(ErrorKind::PermissionDenied).with_message(denied.to_string()).with_metadata("rule", denied.rule)
}

/// A limit is reached: the request may come again later.
pub(super) fn of_full(full: Full, limits: &HttpLimits) -> Error {
    match full {
        Full::Node(what) => unavailable(limits).with_metadata("limit", what),
        Full::Caller(what) => {
            Error::new(ErrorKind::ResourceExhausted).with_metadata("limit", what).with_retry_after(retry_after(limits))
        }
    }
}

/// The body could not be read.
pub(super) fn of_body(fault: BodyFault, limits: &HttpLimits) -> Error {
    let error = Error::new(ErrorKind::InvalidRequest);
    match fault {
        BodyFault::Large => error
            .with_message(format!("The request body is larger than {} bytes", limits.body_max))
            .with_hint("Send large content by URL."),
        BodyFault::Slow => {
            error.with_message(format!("The request body took longer than {} s", limits.body_read().as_secs_f64()))
        }
        BodyFault::Broken => error.with_message("The request body could not be read"),
    }
}

/// What whoever meets this bound of tasks can do about it.
fn way_out(what: &str) -> &'static str {
    if what.starts_with("tasks_parked") {
        return "Answer or cancel tasks that wait for an answer; a list of those that require input shows yours.";
    }
    if what.starts_with("tasks_stored") {
        return "Finished tasks are kept for a while; wait until some are dropped, or ask the agent's operator for more room.";
    }
    "Wait before you try again."
}

fn exhausted(what: &'static str, max: u64) -> Error {
    Error::new(ErrorKind::ResourceExhausted)
        .with_message(format!("A limit is reached: {what} is {max}"))
        .with_metadata("limit", what)
}

fn unavailable(limits: &HttpLimits) -> Error {
    Error::new(ErrorKind::Unavailable).with_retry_after(retry_after(limits))
}

fn retry_after(limits: &HttpLimits) -> Duration {
    Duration::from_secs(limits.retry_after_secs())
}

#[cfg(test)]
mod tests {
    use bobbinet_wire::{v0_3, v1_0};

    use super::*;

    /// Callers of all versions read these hints, which stand before those of their own version's table.
    #[test]
    fn no_hint_names_what_one_version_alone_knows() {
        let limits = HttpLimits::default();
        let limit = |what| EngineError::Limit { what, max: 1 };
        let errors = [
            GatewayError::Ended,
            GatewayError::Unsupported(Unsupported::Streaming),
            GatewayError::Unsupported(Unsupported::ExtendedCard),
            GatewayError::ExtensionRequired("https://example.com/ext/1".to_owned()),
            GatewayError::Engine(EngineError::Refused(Refused::Busy)),
            GatewayError::Engine(EngineError::Refused(Refused::Ended)),
            GatewayError::Engine(EngineError::IdempotencyConflict),
            GatewayError::Engine(EngineError::UnknownAgent),
            GatewayError::Engine(limit("tasks_parked_max")),
            GatewayError::Engine(limit("tasks_stored_max")),
            GatewayError::Engine(limit("tasks_open_max")),
        ];
        for error in errors {
            let told = of_gateway(error, &limits);
            let hint = told.hint().expect("a hint");
            let mut names =
                v1_0::Method::ALL.map(v1_0::Method::name).into_iter().chain(v0_3::Method::ALL.map(v0_3::Method::name));
            assert!(!hint.contains("TASK_STATE_") && names.all(|name| !hint.contains(name)), "{hint}");
        }
    }
}
