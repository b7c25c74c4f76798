//! Reading what an agent answers: leniently, and what is not known is passed over.

use bobbinet_core::{PushPage, PushView, State};
use bobbinet_wire::view::{
    ArtifactUpdate, MessageView, PageView, Sent, StatusUpdate, StatusView, StreamEvent, TaskView,
};

use super::{pb, read};
use crate::{
    faults::{At, Author, Faults},
    rules,
};

/// A task.
pub fn task(task: pb::Task) -> TaskView {
    let mut faults = Faults::new(Author::Agent);
    TaskView {
        id: task.id,
        context_id: rules::given(task.context_id),
        status: status(task.status, &mut faults),
        history: task.history.into_iter().filter_map(|said| message(said).map(|view| view.message)).collect(),
        artifacts: task.artifacts.into_iter().filter_map(|made| read::artifact(made, At::ROOT, &mut faults)).collect(),
        metadata: rules::object(task.metadata, At::ROOT, &mut faults),
    }
}

/// What a message came to; `None` if the answer says nothing.
pub fn sent(response: pb::SendMessageResponse) -> Option<Sent> {
    match response.payload? {
        pb::send_message_response::Payload::Task(told) => Some(Sent::Task(task(told))),
        pb::send_message_response::Payload::Message(said) => message(said).map(Sent::Message),
    }
}

/// A webhook: what is secret in it is passed over.
pub fn push(config: pb::TaskPushNotificationConfig) -> PushView {
    let scheme = config.authentication.and_then(|authentication| rules::given(authentication.scheme));
    PushView { task: config.task_id, id: config.id, url: config.url, scheme }
}

/// Some of a task's webhooks.
pub fn push_page(page: pb::ListTaskPushNotificationConfigsResponse) -> PushPage {
    PushPage {
        configs: page.configs.into_iter().map(push).collect(),
        next_page_token: rules::given(page.next_page_token),
    }
}

/// One event of a stream; `None` if it says nothing that is known here.
pub fn event(response: pb::StreamResponse) -> Option<StreamEvent> {
    let mut faults = Faults::new(Author::Agent);
    Some(match response.payload? {
        pb::stream_response::Payload::Task(told) => StreamEvent::Task(task(told)),
        pb::stream_response::Payload::Message(said) => StreamEvent::Message(message(said)?),
        pb::stream_response::Payload::StatusUpdate(update) => StreamEvent::StatusUpdate(StatusUpdate {
            task_id: update.task_id,
            context_id: rules::given(update.context_id),
            status: status(update.status, &mut faults),
            metadata: rules::object(update.metadata, At::ROOT, &mut faults),
        }),
        pb::stream_response::Payload::ArtifactUpdate(update) => StreamEvent::ArtifactUpdate(ArtifactUpdate {
            task_id: update.task_id,
            context_id: rules::given(update.context_id),
            artifact: read::artifact(update.artifact?, At::ROOT, &mut faults)?,
            append: update.append,
            last_chunk: update.last_chunk,
            metadata: rules::object(update.metadata, At::ROOT, &mut faults),
        }),
    })
}

/// A page of a list.
pub fn page(response: pb::ListTasksResponse) -> PageView {
    PageView {
        tasks: response.tasks.into_iter().map(task).collect(),
        next_page_token: rules::given(response.next_page_token),
        total_size: u64::try_from(response.total_size).unwrap_or_default(),
    }
}

fn message(said: pb::Message) -> Option<MessageView> {
    read::message(said, At::ROOT, &mut Faults::new(Author::Agent))
}

/// A state that is not known here is read as working.
fn status(status: Option<pb::TaskStatus>, faults: &mut Faults) -> StatusView {
    let status = status.unwrap_or_default();
    StatusView {
        state: read::state(status.state).unwrap_or(State::Working),
        message: status.message.and_then(|said| message(said).map(|view| view.message)),
        at: status.timestamp.and_then(|time| rules::timestamp(time, At::ROOT, faults)),
    }
}
