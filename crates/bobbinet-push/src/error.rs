//! Why nothing was done about a webhook.

use bobbinet_engine::EngineError;

/// Why nothing was done about a webhook.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The task has no such webhook.
    #[error("the task has no such webhook")]
    NotFound,
    /// Nothing is ever sent to this URL.
    #[error("the URL of the webhook is not called: {0}")]
    Url(String),
    /// The page token is none of this list's.
    #[error("the page token is not one that this list gave out")]
    BadPageToken,
    /// Its secrets could not be sealed, and are not kept otherwise.
    #[error("the secrets of the webhook could not be sealed")]
    Seal,
    /// It could not be kept or read.
    #[error(transparent)]
    Engine(#[from] EngineError),
}
