//! Writing a task of ours and what happens to it, straight from the core's types.

use bobbinet_core::{ContextId, Event, Message, Selection, Task, TaskId, Timestamp};

use super::V0_3Proto;
pub use crate::v0_3::task::write_page;
use crate::{
    task_ids::{TaskAndContext, TaskIdText},
    task_write::{self, TaskWords},
    update::Update,
    write::{Sink, object},
};

/// Writes a task that was asked for.
pub fn write_task(out: &mut impl Sink, task: &Task, selection: Selection) {
    object(out, |fields| task_write::task::<V0_3Proto, _>(fields, task, selection));
}

/// Writes a task as what a message came to, or as an event of a stream: both are `{"task": …}`.
pub fn write_task_wrapped(out: &mut impl Sink, task: &Task, selection: Selection) {
    object(out, |fields| write_task(fields.field("task"), task, selection));
}

/// Writes words that belong to no task, as what a message came to, or as the one event of its stream: both are `{"message": …}`.
pub fn write_message_wrapped(out: &mut impl Sink, message: &Message, context: &ContextId) {
    let ids = TaskAndContext { task: None, context: Some(context.as_str()) };
    object(out, |fields| V0_3Proto::message(fields.field("message"), message, ids));
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
            ids.write(fields);
            task_write::status::<V0_3Proto, _>(fields, state, message, Some(at), ids);
            fields.flag_if_set("final", is_last || state.is_terminal());
            fields.raw_if_some("metadata", metadata);
        }),
        Update::Artifact { artifact, append, last_chunk } => event.object("artifactUpdate", |fields| {
            ids.write(fields);
            task_write::artifact_added::<V0_3Proto, _>(fields, artifact, append, last_chunk);
        }),
    });
    true
}
