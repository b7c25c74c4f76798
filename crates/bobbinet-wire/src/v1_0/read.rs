//! Reading parts, of which messages and artifacts are made.

use std::sync::Arc;

use bobbinet_core::{Base64, Content, Json, Part};
use serde::de::{Deserializer, MapAccess};

use super::version::{At, V1_0};
use crate::{
    faults::Author,
    from_proto::{Field, FromProto, ObjectBuilder, read_field, read_object, skip},
    read_message::MessageFields,
    scalar::{NonEmpty, Struct, Text},
    view::MessageView,
};

impl<'de> FromProto<'de, V1_0> for MessageView {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<MessageFields<'de>, _, _>(from, at)
    }
}

/// A part of an agent in which nothing stands that is known here is nothing.
impl<'de> FromProto<'de, V1_0> for Part {
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
    text: Field<Text<'de>>,
    raw: Field<Base64>,
    url: Field<NonEmpty<'de>>,
    data: Field<Json>,
    media_type: Field<NonEmpty<'de>>,
    filename: Field<NonEmpty<'de>>,
    metadata: Field<Struct>,
}

impl<'de> ObjectBuilder<'de, V1_0> for PartFields<'de> {
    type Output = Option<Part>;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "text" => read_field(&mut self.text, map, at, "text")?,
            "raw" => read_field(&mut self.raw, map, at, "raw")?,
            "url" => read_field(&mut self.url, map, at, "url")?,
            "data" => read_field(&mut self.data, map, at, "data")?,
            "mediaType" => read_field(&mut self.media_type, map, at, "mediaType")?,
            "filename" => read_field(&mut self.filename, map, at, "filename")?,
            "metadata" => read_field(&mut self.metadata, map, at, "metadata")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<Option<Part>> {
        let content = content(self.text, self.raw, self.url, self.data, at)?;
        let media_type = self.media_type.optional().map(|media_type| Arc::from(media_type.0));
        let filename = self.filename.optional().map(|filename| Arc::from(filename.0));
        let metadata = self.metadata.optional().map(|object| object.0);
        let says_something = content.is_some() || media_type.is_some() || filename.is_some() || metadata.is_some();
        let content = content.unwrap_or_else(|| Content::Text(Arc::from("")));
        Some(says_something.then_some(Part { content, media_type, filename, metadata }))
    }
}

/// Exactly one of the four; of an agent's, perhaps none.
fn content(
    text: Field<Text<'_>>,
    raw: Field<Base64>,
    url: Field<NonEmpty<'_>>,
    data: Field<Json>,
    at: &At<'_>,
) -> Option<Option<Content>> {
    if text.is_wrong() || raw.is_wrong() || url.is_wrong() {
        return None;
    }
    let mut given = [
        text.optional().map(|text| Content::Text(Arc::from(text.0))),
        raw.optional().map(Content::Raw),
        url.optional().map(|url| Content::Url(Arc::from(url.0))),
    ]
    .into_iter()
    .flatten();
    let (first, second) = (given.next(), given.next());
    let data = data.optional();
    // Null is a value like any other in `data`; but a client that writes null for all it leaves out does not mean it.
    let is_null = data.as_ref().is_some_and(|data| data.as_str() == "null");
    let data = data.filter(|_| !is_null || first.is_none()).map(Content::Data);
    match (first, second, data) {
        (Some(content), None, None) | (None, None, Some(content)) => Some(Some(content)),
        (None, _, None) if at.author() == Author::Agent => Some(None),
        (None, _, None) => {
            at.wrong("must have one of text, raw, url and data");
            None
        }
        (Some(_), _, _) | (None, Some(_), Some(_)) => {
            at.wrong("must have only one of text, raw, url and data");
            None
        }
    }
}
