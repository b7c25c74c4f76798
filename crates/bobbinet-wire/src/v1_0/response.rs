//! Encoding what is answered, straight from the core's types into the answer's bytes.

use std::io::Write as _;

use bobbinet_core::{ContextId, Event, Json, Message, Selection, State, Task, TaskId, Timestamp};

use super::{names::state_name, write};
use crate::{
    task_ids::{TaskAndContext, TaskIdText},
    write::{Object, Sink, object},
};

/// The tasks of a page, as they are written, one after the other: until there are enough, or enough bytes of them.
#[derive(Clone, Debug, Default)]
pub struct WrittenTasks(Vec<u8>);

impl WrittenTasks {
    /// Adds a task.
    pub fn push(&mut self, task: &Task, selection: Selection) {
        if !self.0.is_empty() {
            self.0.push(b',');
        }
        write_task(&mut self.0, task, selection);
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no task.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes out what was added since there were so many bytes.
    pub fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }
}

/// One page of a list of tasks.
#[derive(Clone, Copy, Debug)]
pub struct TaskPage<'a> {
    /// The page, in order.
    pub tasks: &'a WrittenTasks,
    /// Where the next page begins; empty if there is none.
    pub next_page_token: &'a str,
    /// How many tasks a page may have.
    pub page_size: u32,
    /// How many match in all.
    pub total_size: usize,
}

/// Writes a `Task`: the result of `GetTask` and `CancelTask`.
pub fn write_task(out: &mut impl Sink, task: &Task, selection: Selection) {
    let id = TaskIdText::of(&task.id);
    let ids = TaskAndContext { task: Some(id.as_str()), context: Some(task.context.as_str()) };
    object(out, |fields| {
        fields.text("id", id.as_str());
        fields.text("contextId", task.context.as_str());
        write_status(fields, task.state, task.status_message.as_deref(), task.status_at, ids);
        if selection.artifacts && !task.artifacts.is_empty() {
            fields.list("artifacts", &task.artifacts, |out, artifact| write::artifact(out, artifact));
        }
        let history = latest(&task.history, selection.history_length);
        if !history.is_empty() {
            fields.list("history", history, |out, message| write::message(out, message, ids));
        }
        fields.raw_if_some("metadata", task.status_metadata.as_ref());
    });
}

/// Writes a task as the one thing that a message came to, or as a snapshot within a stream: both are `{"task": …}`.
pub fn write_task_wrapped(out: &mut impl Sink, task: &Task, selection: Selection) {
    object(out, |fields| write_task(fields.field("task"), task, selection));
}

/// Writes words that belong to no task, as what a message came to, or as the one event of its stream: both are `{"message": …}`.
pub fn write_message_wrapped(out: &mut impl Sink, message: &Message, context: &ContextId) {
    let ids = TaskAndContext { task: None, context: Some(context.as_str()) };
    object(out, |fields| write::message(fields.field("message"), message, ids));
}

/// Writes a page of tasks. What says how the page stands in the list is always there, also where it is empty or zero.
pub fn write_page(out: &mut Vec<u8>, page: TaskPage<'_>) {
    object(out, |fields| {
        let tasks = fields.field("tasks");
        tasks.push(b'[');
        tasks.extend_from_slice(&page.tasks.0);
        tasks.push(b']');
        fields.text("nextPageToken", page.next_page_token);
        fields.number("pageSize", page.page_size);
        fields.number("totalSize", page.total_size);
    });
}

/// Writes an event of a stream that tells what has happened to a task. `false`, and nothing written, if [`is_update`] says that it
/// does not stand by itself.
pub fn write_update(
    out: &mut impl Sink,
    task_id: &TaskId,
    context_id: &ContextId,
    at: Timestamp,
    event: &Event,
) -> bool {
    let id = TaskIdText::of(task_id);
    let ids = TaskAndContext { task: Some(id.as_str()), context: Some(context_id.as_str()) };
    match event {
        Event::Started { .. } => write_status_update(out, State::Working, None, None, at, ids),
        Event::Progressed { message, metadata } => {
            write_status_update(out, State::Working, message.as_deref(), metadata.as_ref(), at, ids);
        }
        Event::Asked { question } => {
            write_status_update(out, question.kind.state(), Some(&question.message), None, at, ids);
        }
        Event::Replied { resumed: true, .. } => write_status_update(out, State::Working, None, None, at, ids),
        Event::Replied { resumed: false, .. } | Event::Requeued => {
            write_status_update(out, State::Submitted, None, None, at, ids);
        }
        Event::Withdrawn => write_status_update(out, State::Working, None, None, at, ids),
        Event::Unserved { message } => write_status_update(out, State::Submitted, Some(message), None, at, ids),
        Event::Ended { state, message, metadata } => {
            write_status_update(out, *state, message.as_deref(), metadata.as_ref(), at, ids);
        }
        Event::ArtifactAdded { artifact, append, last_chunk } => object(out, |event| {
            event.object("artifactUpdate", |update| {
                write_ids(update, ids);
                write::artifact(update.field("artifact"), artifact);
                update.flag_if_set("append", *append);
                update.flag_if_set("lastChunk", *last_chunk);
            });
        }),
        Event::Submitted(_)
        | Event::Intended { .. }
        | Event::Deferred(_)
        | Event::Planned { .. }
        | Event::Settled { .. }
        | Event::Reclaimed { .. }
        | Event::Stopped
        | Event::Spawned(_)
        | Event::Recorded { .. }
        | Event::Checkpointed { .. } => return false,
    }
    true
}

/// Whether an event of the log is an event of the stream as it stands. A submission is not: there the whole task is sent. Nor is
/// what the world is not told.
pub fn is_update(event: &Event) -> bool {
    match event {
        Event::Submitted(_) => false,
        Event::Started { .. }
        | Event::Intended { .. }
        | Event::Progressed { .. }
        | Event::ArtifactAdded { .. }
        | Event::Asked { .. }
        | Event::Replied { .. }
        | Event::Deferred(_)
        | Event::Planned { .. }
        | Event::Settled { .. }
        | Event::Withdrawn
        | Event::Reclaimed { .. }
        | Event::Stopped
        | Event::Spawned(_)
        | Event::Recorded { .. }
        | Event::Checkpointed { .. }
        | Event::Requeued
        | Event::Unserved { .. }
        | Event::Ended { .. } => event.is_public(),
    }
}

fn write_status_update(
    out: &mut impl Sink,
    state: State,
    message: Option<&Message>,
    metadata: Option<&Json>,
    at: Timestamp,
    ids: TaskAndContext<'_>,
) {
    object(out, |event| {
        event.object("statusUpdate", |update| {
            write_ids(update, ids);
            write_status(update, state, message, at, ids);
            update.raw_if_some("metadata", metadata);
        });
    });
}

fn write_ids<S: Sink>(fields: &mut Object<'_, S>, ids: TaskAndContext<'_>) {
    fields.text_if_some("taskId", ids.task);
    fields.text_if_some("contextId", ids.context);
}

fn write_status<S: Sink>(
    fields: &mut Object<'_, S>,
    state: State,
    message: Option<&Message>,
    at: Timestamp,
    ids: TaskAndContext<'_>,
) {
    fields.object("status", |status| {
        status.text("state", state_name(state));
        if let Some(message) = message {
            write::message(status.field("message"), message, ids);
        }
        write!(status.field("timestamp").bytes(), "\"{at}\"").expect("a Vec takes all that is written to it");
    });
}

fn latest<T>(history: &[T], length: Option<u32>) -> &[T] {
    let length = length.map_or(usize::MAX, |length| usize::try_from(length).unwrap_or(usize::MAX));
    &history[history.len().saturating_sub(length)..]
}
