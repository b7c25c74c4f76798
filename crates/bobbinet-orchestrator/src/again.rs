//! Trying again what the node could not do for a run.

use std::time::Duration;

use bobbinet_engine::{ChildError, EngineError, Run};
use tracing::debug;

/// How soon what the store could not do is tried again.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Waits before something is tried again that the node could not do.
pub(crate) async fn again(run: &Run, error: EngineError) -> Result<(), ChildError> {
    match error {
        EngineError::Unavailable(why) => {
            debug!(task = %run.task().id, why, "the store cannot be reached; trying again");
            run.unless_over(tokio::time::sleep(LOOK_AGAIN)).await
        }
        EngineError::Draining => {
            // Whoever takes this run up goes on. Until it is told so, it is in nobody's way.
            let _rest = run.rest();
            run.canceled().await;
            Err(ChildError::Over)
        }
        error @ (EngineError::NotFound
        | EngineError::UnknownAgent
        | EngineError::Refused(_)
        | EngineError::ContextMismatch
        | EngineError::IdempotencyConflict
        | EngineError::Repeated(_)
        | EngineError::Limit { .. }
        | EngineError::Corrupt(_)
        | EngineError::BadPageToken) => Err(error.into()),
    }
}
