//! Writing a task of ours and what happens to it, straight from the core's types.

use std::io::Write as _;

use bobbinet_core::{ContextId, Event, Message, Selection, State, Task, TaskId, Timestamp};

use super::{names::state_name, write};
use crate::{
    page::TaskPage,
    task_ids::{TaskAndContext, TaskIdText},
    update::Update,
    write::{Object, Sink, object},
};

/// Writes a task that was asked for.
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
        let history = selection.latest(&task.history);
        if !history.is_empty() {
            fields.list("history", history, |out, message| write::message(out, message, ids));
        }
        fields.raw_if_some("metadata", task.status_metadata.as_ref());
    });
}

/// Writes a task as what a message came to, or as an event of a stream: both are `{"task": …}`.
pub fn write_task_wrapped(out: &mut impl Sink, task: &Task, selection: Selection) {
    object(out, |fields| write_task(fields.field("task"), task, selection));
}

/// Writes words that belong to no task, as what a message came to, or as the one event of its stream: both are `{"message": …}`.
pub fn write_message_wrapped(out: &mut impl Sink, message: &Message, context: &ContextId) {
    let ids = TaskAndContext { task: None, context: Some(context.as_str()) };
    object(out, |fields| write::message(fields.field("message"), message, ids));
}

/// Writes a page of tasks.
pub fn write_page(out: &mut Vec<u8>, page: TaskPage<'_>) {
    object(out, |fields| {
        page.tasks.write(fields.field("tasks"));
        fields.number("totalSize", page.total_size);
        fields.number("pageSize", page.page_size);
        fields.text("nextPageToken", page.next_page_token);
    });
}

/// Writes an event that tells what has happened to a task. `is_last` says that its reader is told nothing after it, which `final` tells
/// him besides the task's end. `false`, and nothing written, if it tells the world nothing.
pub fn write_update(
    out: &mut impl Sink,
    task_id: &TaskId,
    context_id: &ContextId,
    at: Timestamp,
    event: &Event,
    is_last: bool,
) -> bool {
    let Some(update) = Update::of(event) else { return false };
    let id = TaskIdText::of(task_id);
    let ids = TaskAndContext { task: Some(id.as_str()), context: Some(context_id.as_str()) };
    object(out, |event| match update {
        Update::Status { state, message, metadata } => event.object("statusUpdate", |fields| {
            write_ids(fields, ids);
            write_status(fields, state, message, at, ids);
            fields.flag_if_set("final", is_last || state.is_terminal());
            fields.raw_if_some("metadata", metadata);
        }),
        Update::Artifact { artifact, append, last_chunk } => event.object("artifactUpdate", |fields| {
            write_ids(fields, ids);
            write::artifact(fields.field("artifact"), artifact);
            fields.flag_if_set("append", append);
            fields.flag_if_set("lastChunk", last_chunk);
        }),
    });
    true
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
