//! Writing tasks, and what has happened to them.

use std::collections::BTreeMap;

use bobbinet_core::{
    Artifact, Content, ContextId, Event, Json, Message, Part, Role, Selection, State, Task, TaskId, Timestamp,
};
use prost_types::{Struct, Value, value::Kind};

use super::{IS_VALUE, VALUE, pb};
use crate::{
    json, rules,
    status_of::{StatusOf, status_of},
};

/// The task and the context that a message is written with: those it stands in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids<'a> {
    pub(super) task: &'a str,
    pub(super) context: &'a str,
}

/// A task: the answer to `GetTask` and `CancelTask`.
pub fn task(task: &Task, selection: Selection) -> pb::Task {
    let id = task.id.to_string();
    let ids = Ids { task: &id, context: task.context.as_str() };
    let artifacts = if selection.artifacts { task.artifacts.as_slice() } else { &[] };
    let history = selection.latest(&task.history);
    pb::Task {
        context_id: ids.context.to_owned(),
        status: Some(status(task.state, task.status_message.as_deref(), task.status_at, ids)),
        artifacts: artifacts.iter().map(|made| artifact(made)).collect(),
        history: history.iter().map(|said| message(said, ids)).collect(),
        metadata: task.status_metadata.as_ref().map(json::object),
        id,
    }
}

/// A task as a snapshot within a stream.
pub fn streamed(shown: &Task, selection: Selection) -> pb::StreamResponse {
    of(pb::stream_response::Payload::Task(task(shown, selection)))
}

/// An answer without a task.
pub fn said(said: &Message, context: &ContextId) -> pb::Message {
    message(said, Ids { task: "", context: context.as_str() })
}

/// The same within a stream.
pub fn streamed_said(message: &Message, context: &ContextId) -> pb::StreamResponse {
    of(pb::stream_response::Payload::Msg(said(message, context)))
}

/// What has happened to a task, if that is told by itself. `is_last`: nothing follows in this stream, though the task may go on.
pub fn update(
    task: &TaskId,
    context: &ContextId,
    at: Timestamp,
    event: &Event,
    is_last: bool,
) -> Option<pb::StreamResponse> {
    let (task_id, context_id) = (task.to_string(), context.as_str().to_owned());
    if let Event::ArtifactAdded { artifact: made, append, last_chunk } = event {
        return Some(of(pb::stream_response::Payload::ArtifactUpdate(pb::TaskArtifactUpdateEvent {
            task_id,
            context_id,
            artifact: Some(artifact(made)),
            append: *append,
            last_chunk: *last_chunk,
            metadata: None,
        })));
    }
    let StatusOf { state, message, metadata } = status_of(event)?;
    let status = status(state, message, at, Ids { task: &task_id, context: &context_id });
    Some(of(pb::stream_response::Payload::StatusUpdate(pb::TaskStatusUpdateEvent {
        task_id,
        context_id,
        status: Some(status),
        r#final: is_last || state.is_terminal(),
        metadata: metadata.map(json::object),
    })))
}

fn of(payload: pb::stream_response::Payload) -> pb::StreamResponse {
    pb::StreamResponse { payload: Some(payload) }
}

fn status(state: State, said: Option<&Message>, at: Timestamp, ids: Ids<'_>) -> pb::TaskStatus {
    pb::TaskStatus {
        state: state_number(state).into(),
        update: said.map(|said| message(said, ids)),
        timestamp: Some(rules::time(at)),
    }
}

pub(super) fn message(message: &Message, ids: Ids<'_>) -> pb::Message {
    let role = match message.role {
        Role::User => pb::Role::User,
        Role::Agent => pb::Role::Agent,
    };
    pb::Message {
        message_id: message.id.as_str().to_owned(),
        context_id: ids.context.to_owned(),
        task_id: ids.task.to_owned(),
        role: role.into(),
        content: message.parts.iter().map(part).collect(),
        metadata: message.metadata.as_ref().map(json::object),
        extensions: rules::texts(&message.extensions),
    }
}

pub(super) fn artifact(artifact: &Artifact) -> pb::Artifact {
    pb::Artifact {
        artifact_id: artifact.id.as_str().to_owned(),
        name: rules::text(artifact.name.as_ref()),
        description: rules::text(artifact.description.as_ref()),
        parts: artifact.parts.iter().map(part).collect(),
        metadata: artifact.metadata.as_ref().map(json::object),
        extensions: rules::texts(&artifact.extensions),
    }
}

fn part(part: &Part) -> pb::Part {
    let mut metadata = part.metadata.as_ref().map(json::object);
    let written = match &part.content {
        Content::Text(text) => pb::part::Part::Text(text.as_ref().to_owned()),
        Content::Data(data) if data.is_object() => {
            pb::part::Part::Data(pb::DataPart { data: Some(json::object(data)) })
        }
        Content::Data(data) => {
            let said = Value { kind: Some(Kind::BoolValue(true)) };
            metadata.get_or_insert_default().fields.insert(IS_VALUE.to_owned(), said);
            pb::part::Part::Data(pb::DataPart { data: Some(wrapped(data)) })
        }
        Content::Raw(base64) => file(part, pb::file_part::File::FileWithBytes(rules::bytes(base64))),
        Content::Url(url) => file(part, pb::file_part::File::FileWithUri(url.as_ref().to_owned())),
    };
    pb::Part { metadata, part: Some(written) }
}

fn wrapped(data: &Json) -> Struct {
    Struct { fields: BTreeMap::from([(VALUE.to_owned(), json::value(data))]) }
}

fn file(part: &Part, content: pb::file_part::File) -> pb::part::Part {
    pb::part::Part::File(pb::FilePart {
        mime_type: rules::text(part.media_type.as_ref()),
        name: rules::text(part.filename.as_ref()),
        file: Some(content),
    })
}

pub(super) fn state_number(state: State) -> pb::TaskState {
    match state {
        State::Submitted => pb::TaskState::Submitted,
        State::Working => pb::TaskState::Working,
        State::Completed => pb::TaskState::Completed,
        State::Failed => pb::TaskState::Failed,
        State::Canceled => pb::TaskState::Cancelled,
        State::InputRequired => pb::TaskState::InputRequired,
        State::Rejected => pb::TaskState::Rejected,
        State::AuthRequired => pb::TaskState::AuthRequired,
    }
}
