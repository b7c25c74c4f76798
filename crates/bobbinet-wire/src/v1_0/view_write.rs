//! Writing what a client has read elsewhere in the JSON of 1.0: what came over gRPC is shown in it.

use super::version::V1_0;
use crate::{
    task_ids::TaskAndContext,
    task_write::{self, TaskWords},
    view::{ArtifactUpdate, MessageView, PageView, Sent, StatusUpdate, StreamEvent, TaskView},
    write::{Sink, object},
};

/// Writes a task.
pub fn write_task(out: &mut impl Sink, task: &TaskView) {
    let ids = TaskAndContext { task: Some(&task.id), context: task.context_id.as_deref() };
    object(out, |fields| {
        fields.text("id", &task.id);
        fields.text_if_some("contextId", ids.context);
        task_write::view::<V1_0, _>(fields, task, ids);
    });
}

/// Writes what a message came to.
pub fn write_sent(out: &mut impl Sink, sent: &Sent) {
    object(out, |fields| match sent {
        Sent::Task(task) => write_task(fields.field("task"), task),
        Sent::Message(said) => write_message(fields.field("message"), said),
    });
}

/// Writes a page of tasks, with as much as is known of how it stands in the list.
pub fn write_page(out: &mut impl Sink, page: &PageView) {
    object(out, |fields| {
        fields.list("tasks", &page.tasks, |out, task| write_task(out, task));
        fields.text("nextPageToken", page.next_page_token.as_deref().unwrap_or_default());
        fields.number("pageSize", page.tasks.len());
        fields.number("totalSize", page.total_size);
    });
}

/// Writes an event of a stream.
pub fn write_event(out: &mut impl Sink, event: &StreamEvent) {
    object(out, |fields| match event {
        StreamEvent::Task(task) => write_task(fields.field("task"), task),
        StreamEvent::Message(said) => write_message(fields.field("message"), said),
        StreamEvent::StatusUpdate(StatusUpdate { task_id, context_id, status, metadata }) => {
            let ids = TaskAndContext { task: Some(task_id), context: context_id.as_deref() };
            fields.object("statusUpdate", |update| {
                ids.write(update);
                task_write::status::<V1_0, _>(update, status.state, status.message.as_ref(), status.at, ids);
                update.raw_if_some("metadata", metadata.as_ref());
            });
        }
        StreamEvent::ArtifactUpdate(update) => {
            let ArtifactUpdate { task_id, context_id, artifact, append, last_chunk, metadata } = update;
            let ids = TaskAndContext { task: Some(task_id), context: context_id.as_deref() };
            fields.object("artifactUpdate", |update| {
                ids.write(update);
                task_write::artifact_added::<V1_0, _>(update, artifact, *append, *last_chunk);
                update.raw_if_some("metadata", metadata.as_ref());
            });
        }
    });
}

fn write_message(out: &mut impl Sink, said: &MessageView) {
    let ids = TaskAndContext { task: said.task_id.as_deref(), context: said.context_id.as_deref() };
    V1_0::message(out, &said.message, ids);
}

#[cfg(test)]
mod tests {
    use crate::v1_0::client;

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let status = r#"{"state":"TASK_STATE_WORKING","message":{"messageId":"m","contextId":"c","taskId":"t","role":"ROLE_AGENT","parts":[{"text":"so"}]},"timestamp":"2026-01-01T00:00:00.001Z"}"#;
        let artifact = r#"{"artifactId":"a","parts":[{"data":{"x":1},"mediaType":"application/json"}]}"#;
        let task =
            format!(r#"{{"id":"t","contextId":"c","status":{status},"artifacts":[{artifact}],"metadata":{{"k":1}}}}"#);
        let ids = r#""taskId":"t","contextId":"c""#;
        for event in [
            format!(r#"{{"task":{task}}}"#),
            format!(r#"{{"statusUpdate":{{{ids},"status":{status}}}}}"#),
            format!(r#"{{"artifactUpdate":{{{ids},"artifact":{artifact},"append":true,"metadata":{{"k":1}}}}}}"#),
            r#"{"message":{"messageId":"m","contextId":"c","role":"ROLE_AGENT","parts":[{"text":"so"}]}}"#.to_owned(),
        ] {
            let read = client::read_event(serde_json::from_str(&event).unwrap()).unwrap().unwrap();
            let mut out = Vec::new();
            super::write_event(&mut out, &read);
            assert_eq!(String::from_utf8(out).unwrap(), event);
        }
        let page = format!(r#"{{"tasks":[{task}],"nextPageToken":"n","pageSize":1,"totalSize":7}}"#);
        let mut out = Vec::new();
        super::write_page(&mut out, &client::read_page(serde_json::from_str(&page).unwrap()).unwrap());
        assert_eq!(String::from_utf8(out).unwrap(), page);
    }
}
