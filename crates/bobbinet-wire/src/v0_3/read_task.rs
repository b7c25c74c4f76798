//! Reading tasks, and what happens to them, as an agent shows them.

use std::borrow::Cow;

use bobbinet_core::{Artifact, Message, State, Timestamp};
use serde::{
    Deserialize,
    de::{Deserializer, Error as _, MapAccess},
};
use serde_json::value::RawValue;

use super::version::{At, V0_3};
use crate::{
    from_proto::{Field, FromProto, ObjectBuilder, read_field, read_object, skip},
    scalar::{NonEmpty, Struct},
    view::{ArtifactUpdate, MessageView, PageView, Sent, StatusUpdate, StatusView, StreamEvent, TaskView},
};

impl<'de> FromProto<'de, V0_3> for TaskView {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<TaskFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct TaskFields<'de> {
    id: Field<NonEmpty<'de>>,
    context_id: Field<NonEmpty<'de>>,
    status: Field<StatusView>,
    history: Field<Vec<Message>>,
    artifacts: Field<Vec<Artifact>>,
    metadata: Field<Struct>,
}

impl<'de> ObjectBuilder<'de, V0_3> for TaskFields<'de> {
    type Output = TaskView;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "id" => read_field(&mut self.id, map, at, "id")?,
            "contextId" => read_field(&mut self.context_id, map, at, "contextId")?,
            "status" => read_field(&mut self.status, map, at, "status")?,
            "history" => read_field(&mut self.history, map, at, "history")?,
            "artifacts" => read_field(&mut self.artifacts, map, at, "artifacts")?,
            "metadata" => read_field(&mut self.metadata, map, at, "metadata")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<TaskView> {
        let id = self.id.required(at, "id");
        let status = status(self.status);
        Some(TaskView {
            id: id?.into_owned(),
            context_id: self.context_id.optional().map(NonEmpty::into_owned),
            status: status?,
            history: self.history.optional().unwrap_or_default(),
            artifacts: self.artifacts.optional().unwrap_or_default(),
            metadata: self.metadata.optional().map(|object| object.0),
        })
    }
}

impl<'de> FromProto<'de, V0_3> for StatusView {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<StatusFields, _, _>(from, at)
    }
}

#[derive(Default)]
struct StatusFields {
    state: Field<State>,
    message: Field<Message>,
    at: Field<Timestamp>,
}

impl<'de> ObjectBuilder<'de, V0_3> for StatusFields {
    type Output = StatusView;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "state" => read_field(&mut self.state, map, at, "state")?,
            "message" => read_field(&mut self.message, map, at, "message")?,
            "timestamp" => read_field(&mut self.at, map, at, "timestamp")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, _: &At<'_>) -> Option<StatusView> {
        // A state that is not known here has not been seen to end or to ask anything, so whoever waits goes on waiting.
        let state = if self.state.is_wrong() { return None } else { self.state.optional().unwrap_or(State::Working) };
        Some(StatusView { state, message: self.message.optional(), at: self.at.optional() })
    }
}

fn status(slot: Field<StatusView>) -> Option<StatusView> {
    match slot {
        Field::Given(status) => Some(status),
        Field::Absent => Some(StatusView { state: State::Working, message: None, at: None }),
        Field::Wrong => None,
    }
}

impl<'de> FromProto<'de, V0_3> for StatusUpdate {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<StatusUpdateFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct StatusUpdateFields<'de> {
    task_id: Field<NonEmpty<'de>>,
    context_id: Field<NonEmpty<'de>>,
    status: Field<StatusView>,
    metadata: Field<Struct>,
}

impl<'de> ObjectBuilder<'de, V0_3> for StatusUpdateFields<'de> {
    type Output = StatusUpdate;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "taskId" => read_field(&mut self.task_id, map, at, "taskId")?,
            "contextId" => read_field(&mut self.context_id, map, at, "contextId")?,
            "status" => read_field(&mut self.status, map, at, "status")?,
            "metadata" => read_field(&mut self.metadata, map, at, "metadata")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, _: &At<'_>) -> Option<StatusUpdate> {
        Some(StatusUpdate {
            task_id: self.task_id.optional().map(NonEmpty::into_owned).unwrap_or_default(),
            context_id: self.context_id.optional().map(NonEmpty::into_owned),
            status: status(self.status)?,
            metadata: self.metadata.optional().map(|object| object.0),
        })
    }
}

impl<'de> FromProto<'de, V0_3> for ArtifactUpdate {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<ArtifactUpdateFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct ArtifactUpdateFields<'de> {
    task_id: Field<NonEmpty<'de>>,
    context_id: Field<NonEmpty<'de>>,
    artifact: Field<Artifact>,
    append: Field<bool>,
    last_chunk: Field<bool>,
    metadata: Field<Struct>,
}

impl<'de> ObjectBuilder<'de, V0_3> for ArtifactUpdateFields<'de> {
    type Output = ArtifactUpdate;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "taskId" => read_field(&mut self.task_id, map, at, "taskId")?,
            "contextId" => read_field(&mut self.context_id, map, at, "contextId")?,
            "artifact" => read_field(&mut self.artifact, map, at, "artifact")?,
            "append" => read_field(&mut self.append, map, at, "append")?,
            "lastChunk" => read_field(&mut self.last_chunk, map, at, "lastChunk")?,
            "metadata" => read_field(&mut self.metadata, map, at, "metadata")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<ArtifactUpdate> {
        let artifact = self.artifact.required(at, "artifact")?;
        Some(ArtifactUpdate {
            task_id: self.task_id.optional().map(NonEmpty::into_owned).unwrap_or_default(),
            context_id: self.context_id.optional().map(NonEmpty::into_owned),
            artifact,
            append: self.append.optional().unwrap_or_default(),
            last_chunk: self.last_chunk.optional().unwrap_or_default(),
            metadata: self.metadata.optional().map(|object| object.0),
        })
    }
}

/// What an object says that it is.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, default)]
    kind: Option<Cow<'a, str>>,
}

/// An event of no kind that is known here is nothing. It is read twice, as its kind may stand at its end.
impl<'de> FromProto<'de, V0_3> for StreamEvent {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        let raw = <&RawValue>::deserialize(from)?;
        let Ok(Kind { kind }) = serde_json::from_str(raw.get()) else {
            at.wrong("must be an object whose kind is a string");
            return Ok(Field::Wrong);
        };
        let mut json = serde_json::Deserializer::from_str(raw.get());
        match kind.as_deref() {
            Some("task") => TaskView::read(&mut json, at).map(|task| task.map(Self::Task)),
            Some("message") => MessageView::read(&mut json, at).map(|message| message.map(Self::Message)),
            Some("status-update") => StatusUpdate::read(&mut json, at).map(|update| update.map(Self::StatusUpdate)),
            Some("artifact-update") => {
                ArtifactUpdate::read(&mut json, at).map(|update| update.map(Self::ArtifactUpdate))
            }
            Some(_) | None => Ok(Field::Absent),
        }
        .map_err(D::Error::custom)
    }
}

/// Of a stream's events, only the first two can be the answer to a message.
impl<'de> FromProto<'de, V0_3> for Sent {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        Ok(match StreamEvent::read(from, at)? {
            Field::Given(StreamEvent::Task(task)) => Field::Given(Self::Task(task)),
            Field::Given(StreamEvent::Message(message)) => Field::Given(Self::Message(message)),
            Field::Given(StreamEvent::StatusUpdate(_) | StreamEvent::ArtifactUpdate(_)) | Field::Absent => {
                at.wrong("must be of the kind task or message");
                Field::Wrong
            }
            Field::Wrong => Field::Wrong,
        })
    }
}

impl<'de> FromProto<'de, V0_3> for PageView {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<PageFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct PageFields<'de> {
    tasks: Field<Vec<TaskView>>,
    next_page_token: Field<NonEmpty<'de>>,
    total_size: Field<i32>,
}

impl<'de> ObjectBuilder<'de, V0_3> for PageFields<'de> {
    type Output = PageView;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "tasks" => read_field(&mut self.tasks, map, at, "tasks")?,
            "nextPageToken" => read_field(&mut self.next_page_token, map, at, "nextPageToken")?,
            "totalSize" => read_field(&mut self.total_size, map, at, "totalSize")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<PageView> {
        let total_size = self.total_size.parse(at, "totalSize", u64::try_from);
        Some(PageView {
            tasks: self.tasks.optional().unwrap_or_default(),
            next_page_token: self.next_page_token.optional().map(NonEmpty::into_owned),
            total_size: total_size.optional().unwrap_or_default(),
        })
    }
}
