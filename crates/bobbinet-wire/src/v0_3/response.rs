//! Writing what an agent has answered: results without a wrapper, each of which says its kind.

use bobbinet_core::State;

use super::{names::state_name, write};
use crate::{
    task_ids::TaskAndContext,
    view::{ArtifactUpdate, MessageView, PageView, Sent, StatusUpdate, StatusView, StreamEvent, TaskView},
    write::{Object, Sink, object},
};

/// Writes the result of `message/send`.
pub fn write_sent(out: &mut impl Sink, sent: &Sent) {
    match sent {
        Sent::Task(task) => write_task(out, task),
        Sent::Message(message) => write_message(out, message),
    }
}

/// Writes the result of `tasks/get` and of `tasks/cancel`.
pub fn write_task(out: &mut impl Sink, task: &TaskView) {
    let ids = TaskAndContext { task: Some(task.id.as_str()), context: task.context_id.as_deref() };
    object(out, |fields| {
        fields.text("kind", "task");
        fields.text("id", &task.id);
        // 0.3 wants one, also where its agent names none.
        fields.text("contextId", task.context_id.as_deref().unwrap_or_default());
        status(fields, &task.status, ids);
        if !task.artifacts.is_empty() {
            fields.list("artifacts", &task.artifacts, |out, artifact| write::artifact(out, artifact));
        }
        if !task.history.is_empty() {
            fields.list("history", &task.history, |out, message| write::message(out, message, ids));
        }
        fields.raw_if_some("metadata", task.metadata.as_ref());
    });
}

/// Writes a page of `tasks/list`.
pub fn write_page(out: &mut impl Sink, page: &PageView) {
    object(out, |fields| {
        fields.list("tasks", &page.tasks, |out, task| write_task(out, task));
        fields.number("totalSize", page.total_size);
        fields.text("nextPageToken", page.next_page_token.as_deref().unwrap_or_default());
    });
}

/// Writes one event of a stream.
pub fn write_event(out: &mut impl Sink, event: &StreamEvent) {
    match event {
        StreamEvent::Task(task) => write_task(out, task),
        StreamEvent::Message(message) => write_message(out, message),
        StreamEvent::StatusUpdate(update) => write_status_update(out, update),
        StreamEvent::ArtifactUpdate(update) => write_artifact_update(out, update),
    }
}

fn write_message(out: &mut impl Sink, view: &MessageView) {
    let ids = TaskAndContext { task: view.task_id.as_deref(), context: view.context_id.as_deref() };
    write::message(out, &view.message, ids);
}

fn write_status_update(out: &mut impl Sink, update: &StatusUpdate) {
    let ids = TaskAndContext { task: Some(update.task_id.as_str()), context: update.context_id.as_deref() };
    object(out, |fields| {
        fields.text("kind", "status-update");
        fields.text("taskId", &update.task_id);
        fields.text("contextId", update.context_id.as_deref().unwrap_or_default());
        status(fields, &update.status, ids);
        fields.flag("final", is_final(update.status.state));
        fields.raw_if_some("metadata", update.metadata.as_ref());
    });
}

/// Whether nothing follows: the task has ended.
fn is_final(state: State) -> bool {
    state.is_terminal()
}

fn write_artifact_update(out: &mut impl Sink, update: &ArtifactUpdate) {
    object(out, |fields| {
        fields.text("kind", "artifact-update");
        fields.text("taskId", &update.task_id);
        fields.text("contextId", update.context_id.as_deref().unwrap_or_default());
        write::artifact(fields.field("artifact"), &update.artifact);
        fields.flag_if_set("append", update.append);
        fields.flag_if_set("lastChunk", update.last_chunk);
        fields.raw_if_some("metadata", update.metadata.as_ref());
    });
}

fn status<S: Sink>(fields: &mut Object<'_, S>, status: &StatusView, ids: TaskAndContext<'_>) {
    fields.object("status", |fields| {
        fields.text("state", state_name(status.state));
        if let Some(message) = &status.message {
            write::message(fields.field("message"), message, ids);
        }
        if let Some(at) = status.at {
            fields.text("timestamp", &at.to_string());
        }
    });
}
