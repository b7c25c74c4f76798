//! What a message comes to.

use std::sync::Arc;

use bobbinet_core::{ContextId, Message};

/// What a message comes to: a task, or words and no task (A2A specification section 3.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// A task, as it stands or as it is followed.
    Task(T),
    /// The agent's answer. There is no task, and nothing is kept: the same message is answered anew if it comes again.
    Message(PlainMessage),
}

impl<T> Answer<T> {
    /// The same with something else of the task.
    pub fn map_task<U>(self, of_task: impl FnOnce(T) -> U) -> Answer<U> {
        match self {
            Self::Task(task) => Answer::Task(of_task(task)),
            Self::Message(said) => Answer::Message(said),
        }
    }
}

/// A message that answers another and belongs to no task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainMessage {
    /// What the agent says.
    pub message: Arc<Message>,
    /// The context of both: the one that the caller named, or a new one.
    pub context: ContextId,
}
