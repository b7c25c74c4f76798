//! Reading parts, of which messages and artifacts are made.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::{Base64, Content, Json, Part};
use serde::de::{Deserializer, MapAccess};

use super::version::{At, IS_VALUE, V0_3, VALUE};
use crate::{
    dialect::Dialect,
    faults::{self, Author},
    from_proto::{Field, FromProto, ObjectBuilder, read_field, read_object, skip},
    read_message::MessageFields,
    scalar::{NonEmpty, Struct, Text},
    view::MessageView,
};

impl<'de> FromProto<'de, V0_3> for MessageView {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<MessageFields<'de>, _, _>(from, at)
    }
}

/// A part of an agent that is of no kind that is known here is nothing.
impl<'de> FromProto<'de, V0_3> for Part {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        Ok(match read_object::<PartFields<'de>, _, _>(from, at)? {
            Field::Given(Some(part)) => Field::Given(part),
            Field::Given(None) | Field::Absent => Field::Absent,
            Field::Wrong => Field::Wrong,
        })
    }
}

#[derive(Default)]
struct PartFields<'de> {
    kind: Field<NonEmpty<'de>>,
    text: Field<Text<'de>>,
    data: Field<Struct>,
    file: Field<File>,
    metadata: Field<Struct>,
}

impl<'de> ObjectBuilder<'de, V0_3> for PartFields<'de> {
    type Output = Option<Part>;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "kind" => read_field(&mut self.kind, map, at, "kind")?,
            "text" => read_field(&mut self.text, map, at, "text")?,
            "data" => read_field(&mut self.data, map, at, "data")?,
            "file" => read_field(&mut self.file, map, at, "file")?,
            "metadata" => read_field(&mut self.metadata, map, at, "metadata")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<Option<Part>> {
        let kind = self.kind.optional().map(NonEmpty::into_owned);
        // The SDKs take a part that does not say its kind, where its fields do.
        let kind = kind.or_else(|| {
            let known = match (&self.text, &self.data, &self.file) {
                (Field::Absent, Field::Absent, Field::Absent) => return None,
                (Field::Absent, Field::Absent, _) => "file",
                (Field::Absent, _, _) => "data",
                (_, _, _) => "text",
            };
            Some(known.to_owned())
        });
        let metadata = self.metadata.optional().map(|object| object.0);
        let part = match kind.as_deref() {
            Some("text") => {
                let text = self.text.required(at, "text")?;
                Part { metadata, ..Part::new(Content::Text(Arc::from(text.0))) }
            }
            Some("data") => {
                let (data, metadata) = data_of(self.data.required(at, "data")?.0, metadata);
                Part { metadata, ..Part::new(Content::Data(data)) }
            }
            Some("file") => Part { metadata, ..self.file.required(at, "file")?.0 },
            Some(_) | None if at.author() == Author::Agent => return Some(None),
            Some(_) | None => {
                at.field("kind").wrong("must be text, data or file");
                return None;
            }
        };
        Some(Some(part))
    }
}

/// The data of a part: the object, or the value in it if the metadata says so.
pub(crate) fn data_of(data: Json, metadata: Option<Json>) -> (Json, Option<Json>) {
    // Most have no such word, and need not be read for that.
    let Some(said) = metadata.as_ref().filter(|said| said.as_str().contains(IS_VALUE)) else { return (data, metadata) };
    let mut fields: BTreeMap<String, Json> = said.read().unwrap_or_default();
    let is_value = fields.remove(IS_VALUE).is_some_and(|said| said.as_str() == "true");
    let value = data.read::<BTreeMap<String, Json>>().ok().and_then(|mut fields| fields.remove(VALUE));
    match value {
        Some(value) if is_value => (value, (!fields.is_empty()).then(|| Json::of(&fields))),
        Some(_) | None => (data, metadata),
    }
}

/// A part of which only the file is known yet.
pub(crate) struct File(pub(crate) Part);

impl<'de> FromProto<'de, V0_3> for File {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<FileFields<'de>, _, _>(from, at)
    }
}

/// The fields of a file, which the JSONs of 0.3 call otherwise.
#[derive(Default)]
pub(crate) struct FileFields<'de> {
    pub(crate) name: Field<NonEmpty<'de>>,
    pub(crate) media_type: Field<NonEmpty<'de>>,
    pub(crate) bytes: Field<Base64>,
    pub(crate) uri: Field<NonEmpty<'de>>,
}

impl FileFields<'_> {
    /// The file, which has one of the two that this JSON calls so.
    pub(crate) fn file<V: Dialect>(self, at: &faults::At<'_, V>, names: &str) -> Option<File> {
        if self.bytes.is_wrong() || self.uri.is_wrong() {
            return None;
        }
        let content = match (self.bytes.optional(), self.uri.optional()) {
            (Some(bytes), None) => Content::Raw(bytes),
            (None, Some(uri)) => Content::Url(Arc::from(uri.0)),
            (None, None) | (Some(_), Some(_)) => {
                at.wrong(format!("must have one of {names}"));
                return None;
            }
        };
        Some(File(Part {
            content,
            media_type: self.media_type.optional().map(|media_type| Arc::from(media_type.0)),
            filename: self.name.optional().map(|name| Arc::from(name.0)),
            metadata: None,
        }))
    }
}

impl<'de> ObjectBuilder<'de, V0_3> for FileFields<'de> {
    type Output = File;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "name" => read_field(&mut self.name, map, at, "name")?,
            "mimeType" => read_field(&mut self.media_type, map, at, "mimeType")?,
            "bytes" => read_field(&mut self.bytes, map, at, "bytes")?,
            "uri" => read_field(&mut self.uri, map, at, "uri")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<File> {
        self.file(at, "bytes and uri")
    }
}
