//! Reading tasks, and what happens to them, as an agent shows them. What these are made of differs between the dialects, and what their
//! fields are called does not; which of them an event of a stream is, each dialect says in its own way.

use bobbinet_core::{Artifact, Message, State, Timestamp};
use serde::de::{Deserializer, MapAccess};

use crate::{
    dialect::Dialect,
    faults::At,
    from_proto::{Field, FromProto, ObjectBuilder, read_field, read_object, skip},
    scalar::{NonEmpty, Struct},
    view::{ArtifactUpdate, PageView, StatusUpdate, StatusView, TaskView},
};

impl<'de, V: Dialect> FromProto<'de, V> for TaskView
where
    State: FromProto<'de, V>,
    Message: FromProto<'de, V>,
    Artifact: FromProto<'de, V>,
{
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_, V>) -> Result<Field<Self>, D::Error> {
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

impl<'de, V: Dialect> ObjectBuilder<'de, V> for TaskFields<'de>
where
    State: FromProto<'de, V>,
    Message: FromProto<'de, V>,
    Artifact: FromProto<'de, V>,
{
    type Output = TaskView;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_, V>) -> Result<(), A::Error> {
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

    fn finish(self, at: &At<'_, V>) -> Option<TaskView> {
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

impl<'de, V: Dialect> FromProto<'de, V> for StatusView
where
    State: FromProto<'de, V>,
    Message: FromProto<'de, V>,
{
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_, V>) -> Result<Field<Self>, D::Error> {
        read_object::<StatusFields, _, _>(from, at)
    }
}

#[derive(Default)]
struct StatusFields {
    state: Field<State>,
    message: Field<Message>,
    at: Field<Timestamp>,
}

impl<'de, V: Dialect> ObjectBuilder<'de, V> for StatusFields
where
    State: FromProto<'de, V>,
    Message: FromProto<'de, V>,
{
    type Output = StatusView;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_, V>) -> Result<(), A::Error> {
        match name {
            "state" => read_field(&mut self.state, map, at, "state")?,
            "message" => read_field(&mut self.message, map, at, "message")?,
            "timestamp" => read_field(&mut self.at, map, at, "timestamp")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, _: &At<'_, V>) -> Option<StatusView> {
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

impl<'de, V: Dialect> FromProto<'de, V> for StatusUpdate
where
    State: FromProto<'de, V>,
    Message: FromProto<'de, V>,
{
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_, V>) -> Result<Field<Self>, D::Error> {
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

impl<'de, V: Dialect> ObjectBuilder<'de, V> for StatusUpdateFields<'de>
where
    State: FromProto<'de, V>,
    Message: FromProto<'de, V>,
{
    type Output = StatusUpdate;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_, V>) -> Result<(), A::Error> {
        match name {
            "taskId" => read_field(&mut self.task_id, map, at, "taskId")?,
            "contextId" => read_field(&mut self.context_id, map, at, "contextId")?,
            "status" => read_field(&mut self.status, map, at, "status")?,
            "metadata" => read_field(&mut self.metadata, map, at, "metadata")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, _: &At<'_, V>) -> Option<StatusUpdate> {
        Some(StatusUpdate {
            task_id: self.task_id.optional().map(NonEmpty::into_owned).unwrap_or_default(),
            context_id: self.context_id.optional().map(NonEmpty::into_owned),
            status: status(self.status)?,
            metadata: self.metadata.optional().map(|object| object.0),
        })
    }
}

impl<'de, V: Dialect> FromProto<'de, V> for ArtifactUpdate
where
    Artifact: FromProto<'de, V>,
{
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_, V>) -> Result<Field<Self>, D::Error> {
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

impl<'de, V: Dialect> ObjectBuilder<'de, V> for ArtifactUpdateFields<'de>
where
    Artifact: FromProto<'de, V>,
{
    type Output = ArtifactUpdate;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_, V>) -> Result<(), A::Error> {
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

    fn finish(self, at: &At<'_, V>) -> Option<ArtifactUpdate> {
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

impl<'de, V: Dialect> FromProto<'de, V> for PageView
where
    State: FromProto<'de, V>,
    Message: FromProto<'de, V>,
    Artifact: FromProto<'de, V>,
{
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_, V>) -> Result<Field<Self>, D::Error> {
        read_object::<PageFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct PageFields<'de> {
    tasks: Field<Vec<TaskView>>,
    next_page_token: Field<NonEmpty<'de>>,
    total_size: Field<i32>,
}

impl<'de, V: Dialect> ObjectBuilder<'de, V> for PageFields<'de>
where
    State: FromProto<'de, V>,
    Message: FromProto<'de, V>,
    Artifact: FromProto<'de, V>,
{
    type Output = PageView;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_, V>) -> Result<(), A::Error> {
        match name {
            "tasks" => read_field(&mut self.tasks, map, at, "tasks")?,
            "nextPageToken" => read_field(&mut self.next_page_token, map, at, "nextPageToken")?,
            "totalSize" => read_field(&mut self.total_size, map, at, "totalSize")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_, V>) -> Option<PageView> {
        let total_size = self.total_size.parse(at, "totalSize", u64::try_from);
        Some(PageView {
            tasks: self.tasks.optional().unwrap_or_default(),
            next_page_token: self.next_page_token.optional().map(NonEmpty::into_owned),
            total_size: total_size.optional().unwrap_or_default(),
        })
    }
}
