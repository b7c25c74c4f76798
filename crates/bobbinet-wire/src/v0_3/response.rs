//! Writing what an agent has answered: results without a wrapper, each of which says its kind.

use bobbinet_core::State;

use super::version::V0_3;
use crate::{
    task_ids::TaskAndContext,
    task_write::{self, TaskWords},
    view::{ArtifactUpdate, MessageView, PageView, Sent, StatusUpdate, StatusView, StreamEvent, TaskView},
    write::{Sink, object},
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
        task_write::view::<V0_3, _>(fields, task, ids);
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
    V0_3::message(out, &view.message, ids);
}

fn write_status_update(out: &mut impl Sink, update: &StatusUpdate) {
    let ids = TaskAndContext { task: Some(update.task_id.as_str()), context: update.context_id.as_deref() };
    object(out, |fields| {
        fields.text("kind", "status-update");
        fields.text("taskId", &update.task_id);
        fields.text("contextId", update.context_id.as_deref().unwrap_or_default());
        let StatusView { state, message, at } = &update.status;
        task_write::status::<V0_3, _>(fields, *state, message.as_ref(), *at, ids);
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
        task_write::artifact_added::<V0_3, _>(fields, &update.artifact, update.append, update.last_chunk);
        fields.raw_if_some("metadata", update.metadata.as_ref());
    });
}
