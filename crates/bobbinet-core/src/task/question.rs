//! What an interrupted task waits for.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    Json, Message,
    task::{CallId, State},
};

/// What a task asks its caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Where it comes from, and so what an answer does.
    pub kind: QuestionKind,
    /// The question in words and data, for the status.
    pub message: Arc<Message>,
    /// JSON Schema of the answer, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Json>,
}

/// Where a question comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuestionKind {
    /// `prepare`: which skill, or which arguments. The answer is prepared together with what came before.
    Input,
    /// A call in flight. The answer goes to it, or, if it is gone, to its repetition.
    Elicitation,
    /// A call in flight that needs its user to authorise something elsewhere, at a URL.
    Authorization,
    /// Bobbinet: this call of an at-most-once tool has an unknown outcome. Answered by retry, happened or failed.
    Outcome {
        /// The call that nobody knows the outcome of.
        #[serde(rename = "call")]
        call_id: CallId,
    },
}

impl QuestionKind {
    /// The state of a task that waits for the answer.
    pub fn state(self) -> State {
        match self {
            Self::Authorization => State::AuthRequired,
            Self::Input | Self::Elicitation | Self::Outcome { .. } => State::InputRequired,
        }
    }
}
