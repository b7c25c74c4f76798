//! Reading tasks, and what happens to them, as an agent shows them.

use bobbinet_core::{Artifact, Message, State, Timestamp};
use serde::de::{Deserializer, MapAccess};

use crate::{
    form::{At, Fields, Form, Slot, object, skip, value},
    scalar::{Struct, Word},
    view::{ArtifactUpdate, MessageView, PageView, Sent, StatusUpdate, StatusView, StreamEvent, TaskView},
};

impl<'de> Form<'de> for TaskView {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        object::<TaskFields<'de>, D>(from, at)
    }
}

#[derive(Default)]
struct TaskFields<'de> {
    id: Slot<Word<'de>>,
    context_id: Slot<Word<'de>>,
    status: Slot<StatusView>,
    history: Slot<Vec<Message>>,
    artifacts: Slot<Vec<Artifact>>,
    metadata: Slot<Struct>,
}

impl<'de> Fields<'de> for TaskFields<'de> {
    type Whole = TaskView;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "id" => self.id = value(map, at, "id")?,
            "contextId" => self.context_id = value(map, at, "contextId")?,
            "status" => self.status = value(map, at, "status")?,
            "history" => self.history = value(map, at, "history")?,
            "artifacts" => self.artifacts = value(map, at, "artifacts")?,
            "metadata" => self.metadata = value(map, at, "metadata")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<TaskView> {
        let id = self.id.required(at, "id");
        let status = self.status.required(at, "status");
        Some(TaskView {
            id: id?.into_owned(),
            context_id: self.context_id.optional().map(Word::into_owned),
            status: status?,
            history: self.history.optional().unwrap_or_default(),
            artifacts: self.artifacts.optional().unwrap_or_default(),
            metadata: self.metadata.optional().map(|object| object.0),
        })
    }
}

impl<'de> Form<'de> for StatusView {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        object::<StatusFields, D>(from, at)
    }
}

#[derive(Default)]
struct StatusFields {
    state: Slot<State>,
    message: Slot<Message>,
    at: Slot<Timestamp>,
}

impl<'de> Fields<'de> for StatusFields {
    type Whole = StatusView;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "state" => self.state = value(map, at, "state")?,
            "message" => self.message = value(map, at, "message")?,
            "timestamp" => self.at = value(map, at, "timestamp")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<StatusView> {
        let state = self.state.required(at, "state")?;
        Some(StatusView { state, message: self.message.optional(), at: self.at.optional() })
    }
}

impl<'de> Form<'de> for StatusUpdate {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        object::<StatusUpdateFields<'de>, D>(from, at)
    }
}

#[derive(Default)]
struct StatusUpdateFields<'de> {
    task_id: Slot<Word<'de>>,
    context_id: Slot<Word<'de>>,
    status: Slot<StatusView>,
    metadata: Slot<Struct>,
}

impl<'de> Fields<'de> for StatusUpdateFields<'de> {
    type Whole = StatusUpdate;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "taskId" => self.task_id = value(map, at, "taskId")?,
            "contextId" => self.context_id = value(map, at, "contextId")?,
            "status" => self.status = value(map, at, "status")?,
            "metadata" => self.metadata = value(map, at, "metadata")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<StatusUpdate> {
        let task_id = self.task_id.required(at, "taskId");
        let status = self.status.required(at, "status");
        Some(StatusUpdate {
            task_id: task_id?.into_owned(),
            context_id: self.context_id.optional().map(Word::into_owned),
            status: status?,
            metadata: self.metadata.optional().map(|object| object.0),
        })
    }
}

impl<'de> Form<'de> for ArtifactUpdate {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        object::<ArtifactUpdateFields<'de>, D>(from, at)
    }
}

#[derive(Default)]
struct ArtifactUpdateFields<'de> {
    task_id: Slot<Word<'de>>,
    context_id: Slot<Word<'de>>,
    artifact: Slot<Artifact>,
    append: Slot<bool>,
    last_chunk: Slot<bool>,
    metadata: Slot<Struct>,
}

impl<'de> Fields<'de> for ArtifactUpdateFields<'de> {
    type Whole = ArtifactUpdate;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "taskId" => self.task_id = value(map, at, "taskId")?,
            "contextId" => self.context_id = value(map, at, "contextId")?,
            "artifact" => self.artifact = value(map, at, "artifact")?,
            "append" => self.append = value(map, at, "append")?,
            "lastChunk" => self.last_chunk = value(map, at, "lastChunk")?,
            "metadata" => self.metadata = value(map, at, "metadata")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<ArtifactUpdate> {
        let task_id = self.task_id.required(at, "taskId");
        let artifact = self.artifact.required(at, "artifact");
        Some(ArtifactUpdate {
            task_id: task_id?.into_owned(),
            context_id: self.context_id.optional().map(Word::into_owned),
            artifact: artifact?,
            append: self.append.optional().unwrap_or_default(),
            last_chunk: self.last_chunk.optional().unwrap_or_default(),
            metadata: self.metadata.optional().map(|object| object.0),
        })
    }
}

impl<'de> Form<'de> for StreamEvent {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        object::<EventFields, D>(from, at)
    }
}

/// Of a stream's events, only the first two can be the answer to a message.
impl<'de> Form<'de> for Sent {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        Ok(match StreamEvent::read(from, at)? {
            Slot::Given(StreamEvent::Task(task)) => Slot::Given(Self::Task(task)),
            Slot::Given(StreamEvent::Message(message)) => Slot::Given(Self::Message(message)),
            Slot::Given(StreamEvent::StatusUpdate(_) | StreamEvent::ArtifactUpdate(_)) => {
                at.wrong("must have one of task and message");
                Slot::Wrong
            }
            Slot::Absent => Slot::Absent,
            Slot::Wrong => Slot::Wrong,
        })
    }
}

#[derive(Default)]
struct EventFields {
    task: Slot<TaskView>,
    message: Slot<MessageView>,
    status_update: Slot<StatusUpdate>,
    artifact_update: Slot<ArtifactUpdate>,
}

impl<'de> Fields<'de> for EventFields {
    type Whole = StreamEvent;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "task" => self.task = value(map, at, "task")?,
            "message" => self.message = value(map, at, "message")?,
            "statusUpdate" => self.status_update = value(map, at, "statusUpdate")?,
            "artifactUpdate" => self.artifact_update = value(map, at, "artifactUpdate")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<StreamEvent> {
        let is_wrong = self.task.is_wrong()
            || self.message.is_wrong()
            || self.status_update.is_wrong()
            || self.artifact_update.is_wrong();
        if is_wrong {
            return None;
        }
        let mut given = [
            self.task.optional().map(StreamEvent::Task),
            self.message.optional().map(StreamEvent::Message),
            self.status_update.optional().map(StreamEvent::StatusUpdate),
            self.artifact_update.optional().map(StreamEvent::ArtifactUpdate),
        ]
        .into_iter()
        .flatten();
        match (given.next(), given.next()) {
            (Some(event), None) => Some(event),
            (None | Some(_), _) => {
                at.wrong("must have exactly one of task, message, statusUpdate and artifactUpdate");
                None
            }
        }
    }
}

impl<'de> Form<'de> for PageView {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        object::<PageFields<'de>, D>(from, at)
    }
}

#[derive(Default)]
struct PageFields<'de> {
    tasks: Slot<Vec<TaskView>>,
    next_page_token: Slot<Word<'de>>,
    total_size: Slot<i32>,
}

impl<'de> Fields<'de> for PageFields<'de> {
    type Whole = PageView;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "tasks" => self.tasks = value(map, at, "tasks")?,
            "nextPageToken" => self.next_page_token = value(map, at, "nextPageToken")?,
            "totalSize" => self.total_size = value(map, at, "totalSize")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<PageView> {
        let total_size = self.total_size.parse(at, "totalSize", u64::try_from);
        Some(PageView {
            tasks: self.tasks.optional().unwrap_or_default(),
            next_page_token: self.next_page_token.optional().map(Word::into_owned),
            total_size: total_size.optional().unwrap_or_default(),
        })
    }
}
