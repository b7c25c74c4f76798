//! The ids that are written with all that is written of a task.

use std::io::Write as _;

use bobbinet_core::TaskId;

use crate::write::{Object, Sink};

/// The task and the context that a message is written with: those it stands in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskAndContext<'a> {
    pub(crate) task: Option<&'a str>,
    pub(crate) context: Option<&'a str>,
}

impl TaskAndContext<'_> {
    /// Writes them as what an event or a message of a task says of it.
    pub(crate) fn write<S: Sink>(self, fields: &mut Object<'_, S>) {
        fields.text_if_some("taskId", self.task);
        fields.text_if_some("contextId", self.context);
    }
}

/// A task's id as text, on the stack: it is written with each message of the task.
pub(crate) struct TaskIdText([u8; 36]);

impl TaskIdText {
    pub(crate) fn of(id: &TaskId) -> Self {
        let mut text = [0; 36];
        write!(text.as_mut_slice(), "{id}").expect("a task's id is 36 characters long");
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a task's id is hexadecimal digits and dashes")
    }
}
