//! How the engine fails.

use bobbinet_core::{Refused, TaskId};
use bobbinet_store::{CommitError, StoreError};

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// There is no such task, or it is somebody else's: which of the two is nobody's business.
    #[error("there is no such task")]
    NotFound,
    /// This node has no agent of that name.
    #[error("there is no such agent")]
    UnknownAgent,
    /// The task does not take this command as it stands.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The message names a context that is not its task's.
    #[error("the task belongs to another context")]
    ContextMismatch,
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    IdempotencyConflict,
    /// The request came again under its key; this is the task that the first one made. [`crate::Handle`] goes on with it.
    #[error("the request was made before, as task {0}")]
    Repeated(TaskId),
    /// A bound of the node is reached.
    #[error("{what} is reached: {max}")]
    Limit {
        /// Which: the name of the limit.
        what: &'static str,
        /// The bound.
        max: u64,
    },
    /// The node is stopping and takes no new work.
    #[error("the node is stopping and takes no new work")]
    Draining,
    /// The store cannot be reached or cannot keep anything now.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The store is damaged, or was written by a newer version.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// The page token is none that this list gave out.
    #[error("the page token is not one that this list gave out")]
    BadPageToken,
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) => Self::Unavailable(why),
            StoreError::Corrupt(why) => Self::Corrupt(why),
            StoreError::BadPageToken => Self::BadPageToken,
        }
    }
}

impl From<CommitError> for EngineError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Unavailable(why) => Self::Unavailable(why),
            CommitError::Corrupt(why) => Self::Corrupt(why),
            CommitError::Full { what, max } => Self::Limit { what, max: max as u64 },
            CommitError::Malformed(why) => Self::Corrupt(why.to_owned()),
            CommitError::Duplicate { .. } => Self::IdempotencyConflict,
            CommitError::Conflict { stream, .. } => Self::Unavailable(format!("{stream} is written too often")),
        }
    }
}
