//! Reading what a stream tells and what a message came to: objects that are named by what is in them.

use serde::de::{Deserializer, MapAccess};

use super::version::{At, V1_0};
use crate::{
    from_proto::{Field, FromProto, ObjectBuilder, read_field, read_object, skip},
    view::{ArtifactUpdate, MessageView, Sent, StatusUpdate, StreamEvent, TaskView},
};

/// An event in which nothing stands that is known here is nothing: a later version may have more kinds.
impl<'de> FromProto<'de, V1_0> for StreamEvent {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        Ok(match read_object::<EventFields, _, _>(from, at)? {
            Field::Given(Some(event)) => Field::Given(event),
            Field::Given(None) | Field::Absent => Field::Absent,
            Field::Wrong => Field::Wrong,
        })
    }
}

/// Of a stream's events, only the first two can be the answer to a message.
impl<'de> FromProto<'de, V1_0> for Sent {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        Ok(match StreamEvent::read(from, at)? {
            Field::Given(StreamEvent::Task(task)) => Field::Given(Self::Task(task)),
            Field::Given(StreamEvent::Message(message)) => Field::Given(Self::Message(message)),
            Field::Given(StreamEvent::StatusUpdate(_) | StreamEvent::ArtifactUpdate(_)) | Field::Absent => {
                at.wrong("must have one of task and message");
                Field::Wrong
            }
            Field::Wrong => Field::Wrong,
        })
    }
}

#[derive(Default)]
struct EventFields {
    task: Field<TaskView>,
    message: Field<MessageView>,
    status_update: Field<StatusUpdate>,
    artifact_update: Field<ArtifactUpdate>,
}

impl<'de> ObjectBuilder<'de, V1_0> for EventFields {
    type Output = Option<StreamEvent>;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "task" => read_field(&mut self.task, map, at, "task")?,
            "message" => read_field(&mut self.message, map, at, "message")?,
            "statusUpdate" => read_field(&mut self.status_update, map, at, "statusUpdate")?,
            "artifactUpdate" => read_field(&mut self.artifact_update, map, at, "artifactUpdate")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<Option<StreamEvent>> {
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
            (Some(event), None) => Some(Some(event)),
            (None, _) => Some(None),
            (Some(_), Some(_)) => {
                at.wrong("must have only one of task, message, statusUpdate and artifactUpdate");
                None
            }
        }
    }
}
