//! Reading what a stream tells and what a message came to, in the dialects where it is an object that is named by what is in it.

use bobbinet_core::{Part, State};
use serde::de::{Deserializer, MapAccess};

use crate::{
    dialect::Dialect,
    faults::At,
    from_proto::{Field, FromProto, ObjectBuilder, read_field, read_object, skip},
    view::{ArtifactUpdate, MessageView, Sent, StatusUpdate, StreamEvent, TaskView},
};

/// Reads an event. One in which nothing stands that is known here is nothing: a later version may have more kinds.
pub(crate) fn named<'de, V: Dialect, D: Deserializer<'de>>(
    from: D,
    at: &At<'_, V>,
) -> Result<Field<StreamEvent>, D::Error>
where
    State: FromProto<'de, V>,
    MessageView: FromProto<'de, V>,
    Part: FromProto<'de, V>,
{
    Ok(match read_object::<EventFields, _, _>(from, at)? {
        Field::Given(Some(event)) => Field::Given(event),
        Field::Given(None) | Field::Absent => Field::Absent,
        Field::Wrong => Field::Wrong,
    })
}

/// What a message came to: of a stream's events, only the first two can be the answer.
pub(crate) fn sent<V: Dialect>(event: Field<StreamEvent>, at: &At<'_, V>, expected: &str) -> Field<Sent> {
    match event {
        Field::Given(StreamEvent::Task(task)) => Field::Given(Sent::Task(task)),
        Field::Given(StreamEvent::Message(message)) => Field::Given(Sent::Message(message)),
        Field::Given(StreamEvent::StatusUpdate(_) | StreamEvent::ArtifactUpdate(_)) | Field::Absent => {
            at.wrong(expected);
            Field::Wrong
        }
        Field::Wrong => Field::Wrong,
    }
}

#[derive(Default)]
struct EventFields {
    task: Field<TaskView>,
    message: Field<MessageView>,
    status_update: Field<StatusUpdate>,
    artifact_update: Field<ArtifactUpdate>,
}

impl<'de, V: Dialect> ObjectBuilder<'de, V> for EventFields
where
    State: FromProto<'de, V>,
    MessageView: FromProto<'de, V>,
    Part: FromProto<'de, V>,
{
    type Output = Option<StreamEvent>;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_, V>) -> Result<(), A::Error> {
        match name {
            "task" => read_field(&mut self.task, map, at, "task")?,
            "message" => read_field(&mut self.message, map, at, "message")?,
            "statusUpdate" => read_field(&mut self.status_update, map, at, "statusUpdate")?,
            "artifactUpdate" => read_field(&mut self.artifact_update, map, at, "artifactUpdate")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_, V>) -> Option<Option<StreamEvent>> {
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
