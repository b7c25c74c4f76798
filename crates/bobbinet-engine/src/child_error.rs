//! Why a run has no child.

use bobbinet_core::Fault;

use crate::EngineError;

/// Why a run has no child, or hears nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChildError {
    /// The run is over: its task has ended, another run owns it, or the node stops. The call must end.
    #[error("the task is not this run's any more")]
    Over,
    /// Policy does not allow what was to be called.
    #[error("not allowed: {}", .0.text)]
    Denied(Fault),
    /// It cannot be begun, or is gone.
    #[error(transparent)]
    Engine(#[from] EngineError),
}
