//! Writing a task of ours and what happens to it, straight from the core's types: what a server of 0.3 answers, and what its streams
//! and webhooks tell.

use bobbinet_core::{ContextId, Event, Message, Selection, Task, TaskId, Timestamp};

use super::version::V0_3;
use crate::{
    page::TaskPage,
    task_ids::{TaskAndContext, TaskIdText},
    task_write::{self, TaskWords},
    update::Update,
    write::{Sink, object},
};

/// Writes a task: the result of `message/send`, `tasks/get` and `tasks/cancel`, and the first event of a stream.
pub fn write_task(out: &mut impl Sink, task: &Task, selection: Selection) {
    object(out, |fields| {
        fields.text("kind", "task");
        task_write::task::<V0_3, _>(fields, task, selection);
    });
}

/// Writes words that belong to no task: the result of `message/send`, or the one event of its stream.
pub fn write_message(out: &mut impl Sink, message: &Message, context: &ContextId) {
    V0_3::message(out, message, TaskAndContext { task: None, context: Some(context.as_str()) });
}

/// Writes a page of tasks, which 0.3 has over REST, and other bindings alone.
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
    object(out, |fields| match update {
        Update::Status { state, message, metadata } => {
            fields.text("kind", "status-update");
            ids.write(fields);
            task_write::status::<V0_3, _>(fields, state, message, Some(at), ids);
            fields.flag("final", is_last || state.is_terminal());
            fields.raw_if_some("metadata", metadata);
        }
        Update::Artifact { artifact, append, last_chunk } => {
            fields.text("kind", "artifact-update");
            ids.write(fields);
            task_write::artifact_added::<V0_3, _>(fields, artifact, append, last_chunk);
        }
    });
    true
}
