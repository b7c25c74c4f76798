//! Reading messages, artifacts and parts.

use std::sync::Arc;

use bobbinet_core::{Artifact, ArtifactId, Base64, Content, ContextId, Json, Message, MessageId, Part, Role};
use serde::de::{Deserializer, MapAccess};

use crate::{
    form::{At, Author, Fields, Form, Slot, object, skip, value},
    scalar::{Struct, Text, Word},
    view::MessageView,
};

impl<'de> Form<'de> for MessageView {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        object::<MessageFields<'de>, D>(from, at)
    }
}

/// A message whose task and context are those it stands in.
impl<'de> Form<'de> for Message {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        Ok(match MessageView::read(from, at)? {
            Slot::Given(view) => Slot::Given(view.message),
            Slot::Absent => Slot::Absent,
            Slot::Wrong => Slot::Wrong,
        })
    }
}

#[derive(Default)]
struct MessageFields<'de> {
    id: Slot<Word<'de>>,
    context: Slot<Word<'de>>,
    task: Slot<Word<'de>>,
    role: Slot<Role>,
    parts: Slot<Vec<Part>>,
    metadata: Slot<Struct>,
    extensions: Slot<Vec<Word<'de>>>,
    reference_tasks: Slot<Vec<Word<'de>>>,
}

impl<'de> Fields<'de> for MessageFields<'de> {
    type Whole = MessageView;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "messageId" => self.id = value(map, at, "messageId")?,
            "contextId" => self.context = value(map, at, "contextId")?,
            "taskId" => self.task = value(map, at, "taskId")?,
            "role" => self.role = value(map, at, "role")?,
            "parts" => self.parts = value(map, at, "parts")?,
            "metadata" => self.metadata = value(map, at, "metadata")?,
            "extensions" => self.extensions = value(map, at, "extensions")?,
            "referenceTaskIds" => self.reference_tasks = value(map, at, "referenceTaskIds")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<MessageView> {
        let id = self.id.parse(at, "messageId", |id| MessageId::parse(&id.0)).required(at, "messageId");
        let role = self.role.required(at, "role");
        let parts = required_parts(self.parts, at);
        let context = match at.author() {
            Author::Client => self.context.parse(at, "contextId", |id| ContextId::parse(&id.0).map(|_| id)),
            // An agent's own ids are its own business.
            Author::Agent => self.context,
        };
        Some(MessageView {
            message: Message {
                id: id?,
                role: role?,
                parts: parts?,
                metadata: self.metadata.optional().map(|object| object.0),
                extensions: shared(self.extensions),
                reference_tasks: shared(self.reference_tasks),
            },
            task_id: self.task.optional().map(Word::into_owned),
            context_id: context.optional().map(Word::into_owned),
        })
    }
}

impl<'de> Form<'de> for Artifact {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        object::<ArtifactFields<'de>, D>(from, at)
    }
}

#[derive(Default)]
struct ArtifactFields<'de> {
    id: Slot<Word<'de>>,
    name: Slot<Word<'de>>,
    description: Slot<Word<'de>>,
    parts: Slot<Vec<Part>>,
    metadata: Slot<Struct>,
    extensions: Slot<Vec<Word<'de>>>,
}

impl<'de> Fields<'de> for ArtifactFields<'de> {
    type Whole = Artifact;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "artifactId" => self.id = value(map, at, "artifactId")?,
            "name" => self.name = value(map, at, "name")?,
            "description" => self.description = value(map, at, "description")?,
            "parts" => self.parts = value(map, at, "parts")?,
            "metadata" => self.metadata = value(map, at, "metadata")?,
            "extensions" => self.extensions = value(map, at, "extensions")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<Artifact> {
        let id = self.id.parse(at, "artifactId", |id| ArtifactId::parse(&id.0)).required(at, "artifactId");
        let parts = required_parts(self.parts, at);
        Some(Artifact {
            id: id?,
            name: self.name.optional().map(|name| Arc::from(name.0)),
            description: self.description.optional().map(|description| Arc::from(description.0)),
            parts: parts?,
            metadata: self.metadata.optional().map(|object| object.0),
            extensions: shared(self.extensions),
        })
    }
}

/// The specification wants at least one part; agents that stream text have been seen to send none.
fn required_parts(parts: Slot<Vec<Part>>, at: &At<'_>) -> Option<Vec<Part>> {
    match (parts, at.author()) {
        (Slot::Given(parts), Author::Agent) => Some(parts),
        (Slot::Absent, Author::Agent) => Some(Vec::new()),
        (Slot::Given(parts), Author::Client) if !parts.is_empty() => Some(parts),
        (Slot::Given(_) | Slot::Absent, Author::Client) => {
            at.field("parts").wrong("must have at least one part");
            None
        }
        (Slot::Wrong, _) => None,
    }
}

fn shared(words: Slot<Vec<Word<'_>>>) -> Vec<Arc<str>> {
    words.optional().unwrap_or_default().into_iter().map(|word| Arc::from(word.0)).collect()
}

impl<'de> Form<'de> for Part {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        object::<PartFields<'de>, D>(from, at)
    }
}

#[derive(Default)]
struct PartFields<'de> {
    text: Slot<Text<'de>>,
    raw: Slot<Base64>,
    url: Slot<Word<'de>>,
    data: Slot<Json>,
    media_type: Slot<Word<'de>>,
    filename: Slot<Word<'de>>,
    metadata: Slot<Struct>,
}

impl<'de> Fields<'de> for PartFields<'de> {
    type Whole = Part;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "text" => self.text = value(map, at, "text")?,
            "raw" => self.raw = value(map, at, "raw")?,
            "url" => self.url = value(map, at, "url")?,
            "data" => self.data = value(map, at, "data")?,
            "mediaType" => self.media_type = value(map, at, "mediaType")?,
            "filename" => self.filename = value(map, at, "filename")?,
            "metadata" => self.metadata = value(map, at, "metadata")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<Part> {
        let content = content(self.text, self.raw, self.url, self.data, at)?;
        Some(Part {
            content,
            media_type: self.media_type.optional().map(|media_type| Arc::from(media_type.0)),
            filename: self.filename.optional().map(|filename| Arc::from(filename.0)),
            metadata: self.metadata.optional().map(|object| object.0),
        })
    }
}

/// Exactly one of the four.
fn content(
    text: Slot<Text<'_>>,
    raw: Slot<Base64>,
    url: Slot<Word<'_>>,
    data: Slot<Json>,
    at: &At<'_>,
) -> Option<Content> {
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
        (Some(content), None, None) | (None, None, Some(content)) => Some(content),
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
