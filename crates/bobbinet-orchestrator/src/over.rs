//! How a run of a flow is over, and what its task says then.

use bobbinet_core::{Fault, Json, Outcome};
use bobbinet_engine::{ChildError, EngineError};
use bobbinet_flow::run::{End, Error};
use serde_json::json;

use crate::output;

/// How a run is over.
pub(crate) enum Over {
    /// This came of it.
    Outcome(Outcome),
    /// Another owns its task, or nobody: nothing that this one says counts.
    Lost,
}

impl From<ChildError> for Over {
    fn from(error: ChildError) -> Self {
        match error {
            ChildError::Over => Self::Lost,
            ChildError::Denied(fault) => Self::Outcome(Outcome::Failed(fault)),
            ChildError::Engine(error @ EngineError::Limit { .. }) => {
                let text = format!("the flow has grown to a limit: {error}");
                Self::Outcome(Outcome::Failed(Fault::new("flow-too-large", text)))
            }
            ChildError::Engine(error) => {
                Self::Outcome(Outcome::Failed(Fault::new("flow-broken", format!("the flow cannot go on: {error}"))))
            }
        }
    }
}

/// What the task of a flow that has ended says.
pub(crate) fn ended(end: &End) -> Outcome {
    match end {
        End::Finished(output) => Outcome::Completed { artifacts: vec![output::artifact(output)], message: None },
        End::Failed(error) => Outcome::Failed(failure(error)),
        End::Canceled => Outcome::Failed(Fault::new("canceled", "the flow was canceled")),
    }
}

/// A flow's error, as the fault of its task.
fn failure(error: &Error) -> Fault {
    let what = error.detail.as_deref().or(error.title.as_deref()).unwrap_or(&error.kind);
    let text = match &error.instance {
        Some(step) => format!("step {step} failed: {what}"),
        None => format!("the flow failed: {what}"),
    };
    Fault { data: Some(Json::from(&json!({ "error": error.json() }))), ..Fault::new("flow-failed", text) }
}

/// The outcome of a run that cannot go on.
pub(crate) fn broken(why: &str) -> Over {
    Over::Outcome(Outcome::Failed(Fault::new("flow-broken", format!("the flow cannot go on: {why}"))))
}
