//! Why an operation was not done. Each edge has one table from these to the errors of its own protocol.

use bobbinet_auth::Denied;
use bobbinet_engine::EngineError;

/// Why an operation was not done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GatewayError {
    /// Policy says no, to somebody who may know that there is something to say no to.
    #[error(transparent)]
    Denied(Denied),
    /// There is no such task for this caller: a stranger's is as if it were not there.
    #[error("there is no such task")]
    NotFound,
    /// A limit is reached: there is room for it later.
    #[error("a limit is reached: {0:?}")]
    Full(Full),
    /// What has ended is not followed any more.
    #[error("the task has ended")]
    Ended,
    /// The agent requires this extension, which the request does not name.
    #[error("the request does not name the extension {0}")]
    ExtensionRequired(String),
    /// It is not spoken here.
    #[error("not supported: {0:?}")]
    Unsupported(Unsupported),
    /// A webhook is not to be had.
    #[error(transparent)]
    Webhook(bobbinet_push::WebhookError),
    /// The engine says no to a message or a read.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The engine says no to a cancel: the same refusals have other names there.
    #[error("not canceled: {0}")]
    Cancel(EngineError),
}

/// What A2A has and this node has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// Streams of this agent's events.
    Streaming,
    /// Webhooks that are told of a task's events.
    PushNotifications,
    /// A card for known callers.
    ExtendedCard,
}

/// Why nothing more is taken on now, with the name of the limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The whole node is at its limit.
    Node(&'static str),
    /// This caller is.
    Caller(&'static str),
}

impl From<Full> for GatewayError {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}
