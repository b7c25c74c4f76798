//! Reading messages and what is sent with them.

use std::sync::Arc;

use bobbinet_core::{
    Content, Json, MessageId, Part, Role,
    operation::{Configuration, ListParams, SendParams},
};
use serde::de::{Deserializer, MapAccess};

use super::{At, V0_3Proto};
use crate::{
    from_proto::{Field, FromProto, ObjectBuilder, read_field, read_object, skip},
    rules,
    scalar::{NonEmpty, Struct, Text},
    v0_3::{self, File, FileFields},
    view::MessageView,
};

impl<'de> FromProto<'de, V0_3Proto> for Box<SendParams> {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<SendFields, _, _>(from, at)
    }
}

#[derive(Default)]
struct SendFields {
    message: Field<MessageView>,
    configuration: Field<Configuration>,
    metadata: Field<Struct>,
}

impl<'de> ObjectBuilder<'de, V0_3Proto> for SendFields {
    type Output = Box<SendParams>;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            // The field's name in the proto file is `request`.
            "message" | "request" => read_field(&mut self.message, map, at, "message")?,
            "configuration" => read_field(&mut self.configuration, map, at, "configuration")?,
            "metadata" => read_field(&mut self.metadata, map, at, "metadata")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<Box<SendParams>> {
        let said = self.message.required(at, "message")?;
        Some(rules::sent(said, self.configuration, self.metadata, None))
    }
}

impl<'de> FromProto<'de, V0_3Proto> for Configuration {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<ConfigurationFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct ConfigurationFields<'de> {
    accepted_output_modes: Field<Vec<NonEmpty<'de>>>,
    history_length: Field<i32>,
    blocking: Field<bool>,
    push_config: Field<Struct>,
}

impl<'de> ObjectBuilder<'de, V0_3Proto> for ConfigurationFields<'de> {
    type Output = Configuration;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "acceptedOutputModes" => read_field(&mut self.accepted_output_modes, map, at, "acceptedOutputModes")?,
            "historyLength" => read_field(&mut self.history_length, map, at, "historyLength")?,
            "blocking" => read_field(&mut self.blocking, map, at, "blocking")?,
            "pushNotification" => read_field(&mut self.push_config, map, at, "pushNotification")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<Configuration> {
        let modes = self.accepted_output_modes.optional().unwrap_or_default();
        let read = self.push_config.optional().map(|config| v0_3::push::read_config(config.0.as_str()));
        let push_config = match read {
            Some(Ok(config)) => Some(config),
            Some(Err(faults)) => {
                let place = at.field("pushNotification");
                faults.iter().for_each(|fault| place.wrong(format!("is wrong: {fault}")));
                None
            }
            None => None,
        };
        Some(Configuration {
            accepted_output_modes: modes.into_iter().map(NonEmpty::into_owned).collect(),
            // Its proto file says that zero is no limit.
            history_length: rules::history_length(self.history_length, at).filter(|length| *length > 0),
            return_immediately: !self.blocking.optional().unwrap_or_default(),
            push_config,
        })
    }
}

impl<'de> FromProto<'de, V0_3Proto> for MessageView {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<MessageFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct MessageFields<'de> {
    id: Field<NonEmpty<'de>>,
    context: Field<NonEmpty<'de>>,
    task: Field<NonEmpty<'de>>,
    role: Field<Role>,
    content: Field<Vec<Part>>,
    metadata: Field<Struct>,
    extensions: Field<Vec<NonEmpty<'de>>>,
}

impl<'de> ObjectBuilder<'de, V0_3Proto> for MessageFields<'de> {
    type Output = MessageView;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "messageId" => read_field(&mut self.id, map, at, "messageId")?,
            "contextId" => read_field(&mut self.context, map, at, "contextId")?,
            "taskId" => read_field(&mut self.task, map, at, "taskId")?,
            "role" => read_field(&mut self.role, map, at, "role")?,
            "content" => read_field(&mut self.content, map, at, "content")?,
            "metadata" => read_field(&mut self.metadata, map, at, "metadata")?,
            "extensions" => read_field(&mut self.extensions, map, at, "extensions")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<MessageView> {
        let id = rules::own_id(self.id, at, "messageId", MessageId::parse);
        let role = rules::role(self.role, at);
        let parts = match self.content {
            Field::Given(parts) if !parts.is_empty() => Some(parts),
            Field::Given(_) | Field::Absent => {
                at.field("content").wrong("must have at least one part");
                None
            }
            Field::Wrong => None,
        };
        let context_id = rules::context_id(self.context, at);
        Some(MessageView {
            message: bobbinet_core::Message {
                id: id?,
                role: role?,
                parts: parts?,
                metadata: self.metadata.optional().map(|object| object.0),
                extensions: rules::shared(self.extensions),
                reference_tasks: Vec::new(),
            },
            task_id: self.task.optional().map(NonEmpty::into_owned),
            context_id: context_id.optional().map(NonEmpty::into_owned),
        })
    }
}

impl<'de> FromProto<'de, V0_3Proto> for Part {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<PartFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct PartFields<'de> {
    text: Field<Text<'de>>,
    file: Field<File>,
    data: Field<Data>,
    metadata: Field<Struct>,
}

impl<'de> ObjectBuilder<'de, V0_3Proto> for PartFields<'de> {
    type Output = Part;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "text" => read_field(&mut self.text, map, at, "text")?,
            "file" => read_field(&mut self.file, map, at, "file")?,
            "data" => read_field(&mut self.data, map, at, "data")?,
            "metadata" => read_field(&mut self.metadata, map, at, "metadata")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<Part> {
        if self.text.is_wrong() || self.file.is_wrong() || self.data.is_wrong() {
            return None;
        }
        let metadata = self.metadata.optional().map(|object| object.0);
        match (self.text.optional(), self.file.optional(), self.data.optional()) {
            (Some(text), None, None) => Some(Part { metadata, ..Part::new(Content::Text(Arc::from(text.0))) }),
            (None, Some(file), None) => Some(Part { metadata, ..file.0 }),
            (None, None, Some(data)) => {
                let (data, metadata) = v0_3::data_of(data.0, metadata);
                Some(Part { metadata, ..Part::new(Content::Data(data)) })
            }
            (_, _, _) => {
                at.wrong("must have one of text, file and data");
                None
            }
        }
    }
}

impl<'de> FromProto<'de, V0_3Proto> for File {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<FileFields<'de>, _, _>(from, at)
    }
}

impl<'de> ObjectBuilder<'de, V0_3Proto> for FileFields<'de> {
    type Output = File;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "fileWithBytes" => read_field(&mut self.bytes, map, at, "fileWithBytes")?,
            "fileWithUri" => read_field(&mut self.uri, map, at, "fileWithUri")?,
            "mimeType" => read_field(&mut self.media_type, map, at, "mimeType")?,
            "name" => read_field(&mut self.name, map, at, "name")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<File> {
        self.file(at, "fileWithBytes and fileWithUri")
    }
}

/// The object within a part's `data`.
struct Data(Json);

impl<'de> FromProto<'de, V0_3Proto> for Data {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<DataFields, _, _>(from, at)
    }
}

#[derive(Default)]
struct DataFields {
    data: Field<Struct>,
}

impl<'de> ObjectBuilder<'de, V0_3Proto> for DataFields {
    type Output = Data;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "data" => read_field(&mut self.data, map, at, "data"),
            _ => skip(map),
        }
    }

    fn finish(self, at: &At<'_>) -> Option<Data> {
        Some(Data(self.data.required(at, "data")?.0))
    }
}

impl<'de> FromProto<'de, V0_3Proto> for ListParams {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<v0_3::List<'de>, _, _>(from, at)
    }
}
