//! Reading what a stream tells and what a message came to: objects that say in `kind` what they are.

use std::borrow::Cow;

use serde::{
    Deserialize,
    de::{Deserializer, Error as _},
};
use serde_json::value::RawValue;

use super::version::{At, V0_3};
use crate::{
    from_proto::{Field, FromProto},
    view::{ArtifactUpdate, MessageView, Sent, StatusUpdate, StreamEvent, TaskView},
};

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
