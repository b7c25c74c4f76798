//! Encoding what is answered, straight from the core's types into the answer's bytes.

use bobbinet_core::{ContextId, Event, Message, Selection, Task, TaskId, Timestamp};

use super::version::V1_0;
use crate::{
    page::TaskPage,
    task_ids::{TaskAndContext, TaskIdText},
    task_write::{self, TaskWords},
    update::Update,
    write::{Sink, object},
};

/// Writes a `Task`: the result of `GetTask` and `CancelTask`.
pub fn write_task(out: &mut impl Sink, task: &Task, selection: Selection) {
    object(out, |fields| task_write::task::<V1_0, _>(fields, task, selection));
}

/// Writes a task as the one thing that a message came to, or as a snapshot within a stream: both are `{"task": …}`.
pub fn write_task_wrapped(out: &mut impl Sink, task: &Task, selection: Selection) {
    object(out, |fields| write_task(fields.field("task"), task, selection));
}

/// Writes words that belong to no task, as what a message came to, or as the one event of its stream: both are `{"message": …}`.
pub fn write_message_wrapped(out: &mut impl Sink, message: &Message, context: &ContextId) {
    let ids = TaskAndContext { task: None, context: Some(context.as_str()) };
    object(out, |fields| V1_0::message(fields.field("message"), message, ids));
}

/// Writes a page of tasks. What says how the page stands in the list is always there, also where it is empty or zero.
pub fn write_page(out: &mut Vec<u8>, page: TaskPage<'_>) {
    object(out, |fields| {
        page.tasks.write(fields.field("tasks"));
        fields.text("nextPageToken", page.next_page_token);
        fields.number("pageSize", page.page_size);
        fields.number("totalSize", page.total_size);
    });
}

/// Writes an event of a stream that tells what has happened to a task. `false`, and nothing written, if it tells the world nothing.
pub fn write_update(
    out: &mut impl Sink,
    task_id: &TaskId,
    context_id: &ContextId,
    at: Timestamp,
    event: &Event,
) -> bool {
    let Some(update) = Update::of(event) else { return false };
    let id = TaskIdText::of(task_id);
    let ids = TaskAndContext { task: Some(id.as_str()), context: Some(context_id.as_str()) };
    object(out, |event| match update {
        Update::Status { state, message, metadata } => event.object("statusUpdate", |fields| {
            ids.write(fields);
            task_write::status::<V1_0, _>(fields, state, message, Some(at), ids);
            fields.raw_if_some("metadata", metadata);
        }),
        Update::Artifact { artifact, append, last_chunk } => event.object("artifactUpdate", |fields| {
            ids.write(fields);
            task_write::artifact_added::<V1_0, _>(fields, artifact, append, last_chunk);
        }),
    });
    true
}
