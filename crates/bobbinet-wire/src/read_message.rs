//! Reading messages and artifacts. What their parts are differs between the dialects, and what their fields are called does not.

use std::sync::Arc;

use bobbinet_core::{Artifact, ArtifactId, Message, MessageId, Part, Role};
use serde::de::{Deserializer, MapAccess};

use crate::{
    dialect::Dialect,
    faults::At,
    from_proto::{Field, FromProto, ObjectBuilder, read_field, read_object, skip},
    rules,
    scalar::{NonEmpty, Struct},
    view::MessageView,
};

/// A message whose task and context are those it stands in.
impl<'de, V: Dialect> FromProto<'de, V> for Message
where
    MessageView: FromProto<'de, V>,
{
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_, V>) -> Result<Field<Self>, D::Error> {
        Ok(match MessageView::read(from, at)? {
            Field::Given(view) => Field::Given(view.message),
            Field::Absent => Field::Absent,
            Field::Wrong => Field::Wrong,
        })
    }
}

/// The fields of a message in which they are called as in 1.0 and in 0.3's JSON-RPC.
#[derive(Default)]
pub(crate) struct MessageFields<'de> {
    id: Field<NonEmpty<'de>>,
    context: Field<NonEmpty<'de>>,
    task: Field<NonEmpty<'de>>,
    role: Field<Role>,
    parts: Field<Vec<Part>>,
    metadata: Field<Struct>,
    extensions: Field<Vec<NonEmpty<'de>>>,
    reference_tasks: Field<Vec<NonEmpty<'de>>>,
}

impl<'de, V: Dialect> ObjectBuilder<'de, V> for MessageFields<'de>
where
    Role: FromProto<'de, V>,
    Part: FromProto<'de, V>,
{
    type Output = MessageView;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_, V>) -> Result<(), A::Error> {
        match name {
            "messageId" => read_field(&mut self.id, map, at, "messageId")?,
            "contextId" => read_field(&mut self.context, map, at, "contextId")?,
            "taskId" => read_field(&mut self.task, map, at, "taskId")?,
            "role" => read_field(&mut self.role, map, at, "role")?,
            "parts" => read_field(&mut self.parts, map, at, "parts")?,
            "metadata" => read_field(&mut self.metadata, map, at, "metadata")?,
            "extensions" => read_field(&mut self.extensions, map, at, "extensions")?,
            "referenceTaskIds" => read_field(&mut self.reference_tasks, map, at, "referenceTaskIds")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_, V>) -> Option<MessageView> {
        let id = rules::own_id(self.id, at, "messageId", MessageId::parse);
        let role = rules::role(self.role, at);
        let parts = rules::parts(self.parts, at);
        let context_id = rules::context_id(self.context, at);
        Some(MessageView {
            message: Message {
                id: id?,
                role: role?,
                parts: parts?,
                metadata: self.metadata.optional().map(|object| object.0),
                extensions: rules::shared(self.extensions),
                reference_tasks: rules::shared(self.reference_tasks),
            },
            task_id: self.task.optional().map(NonEmpty::into_owned),
            context_id: context_id.optional().map(NonEmpty::into_owned),
        })
    }
}

impl<'de, V: Dialect> FromProto<'de, V> for Artifact
where
    Part: FromProto<'de, V>,
{
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_, V>) -> Result<Field<Self>, D::Error> {
        read_object::<ArtifactFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct ArtifactFields<'de> {
    id: Field<NonEmpty<'de>>,
    name: Field<NonEmpty<'de>>,
    description: Field<NonEmpty<'de>>,
    parts: Field<Vec<Part>>,
    metadata: Field<Struct>,
    extensions: Field<Vec<NonEmpty<'de>>>,
}

impl<'de, V: Dialect> ObjectBuilder<'de, V> for ArtifactFields<'de>
where
    Part: FromProto<'de, V>,
{
    type Output = Artifact;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_, V>) -> Result<(), A::Error> {
        match name {
            "artifactId" => read_field(&mut self.id, map, at, "artifactId")?,
            "name" => read_field(&mut self.name, map, at, "name")?,
            "description" => read_field(&mut self.description, map, at, "description")?,
            "parts" => read_field(&mut self.parts, map, at, "parts")?,
            "metadata" => read_field(&mut self.metadata, map, at, "metadata")?,
            "extensions" => read_field(&mut self.extensions, map, at, "extensions")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_, V>) -> Option<Artifact> {
        let id = rules::own_id(self.id, at, "artifactId", ArtifactId::parse);
        let parts = rules::parts(self.parts, at);
        Some(Artifact {
            id: id?,
            name: self.name.optional().map(|name| Arc::from(name.0)),
            description: self.description.optional().map(|description| Arc::from(description.0)),
            parts: parts?,
            metadata: self.metadata.optional().map(|object| object.0),
            extensions: rules::shared(self.extensions),
        })
    }
}
