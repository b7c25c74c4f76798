//! What agents say to each other: messages, artifacts, and the parts both are made of (A2A specification 4.1).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{ArtifactId, Json, MessageId};

/// Which side of a conversation speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// The client.
    User,
    /// The agent.
    Agent,
}

/// Bytes as standard base64 text, padded. They come in and go out that way on every wire we have, so nobody decodes them on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Base64(Arc<str>);

impl Base64 {
    /// Takes a text that the edge has checked, or has just made, to be standard padded base64.
    pub fn from_checked(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The base64 text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text itself, not a copy of it.
    pub fn shared(&self) -> &Arc<str> {
        &self.0
    }
}

/// What a part holds: exactly one of four things.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Plain text.
    Text(Arc<str>),
    /// Bytes, inline.
    Raw(Base64),
    /// Bytes, elsewhere.
    Url(Arc<str>),
    /// Any JSON value.
    Data(Json),
}

/// One piece of a message or an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The piece itself.
    pub content: Content,
    /// Its media type (RFC 6838), if said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<Arc<str>>,
    /// Its file name, if it is a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<Arc<str>>,
    /// What else its author says of it: a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
}

/// What a part takes beside its content, roughly: its place in memory and what is written around it.
const PART_OVERHEAD: usize = 64;

fn length_of<T: AsRef<str>>(texts: &[T]) -> usize {
    texts.iter().map(|text| text.as_ref().len()).sum()
}

impl Part {
    /// Roughly the bytes it takes.
    pub fn bytes(&self) -> usize {
        let content = match &self.content {
            Content::Text(text) | Content::Url(text) => text.len(),
            Content::Raw(base64) => base64.as_str().len(),
            Content::Data(json) => json.as_str().len(),
        };
        let words = [&self.media_type, &self.filename].into_iter().flatten().map(|word| word.len()).sum::<usize>();
        content + words + self.metadata.as_ref().map_or(0, |json| json.as_str().len()) + PART_OVERHEAD
    }

    /// A part that is only this content.
    pub fn new(content: Content) -> Self {
        Self { content, media_type: None, filename: None, metadata: None }
    }

    /// A part of plain text.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::new(Content::Text(Arc::from(text.as_ref())))
    }

    /// A part of JSON data.
    pub fn data(json: Json) -> Self {
        Self { media_type: Some(Arc::from("application/json")), ..Self::new(Content::Data(json)) }
    }

    /// A part that stands at a URL.
    pub fn url(url: impl AsRef<str>) -> Self {
        Self::new(Content::Url(Arc::from(url.as_ref())))
    }

    /// The same under a file's name, with its media type.
    #[must_use]
    pub fn named(self, filename: impl AsRef<str>, media_type: impl AsRef<str>) -> Self {
        let (filename, media_type) = (Arc::from(filename.as_ref()), Arc::from(media_type.as_ref()));
        Self { filename: Some(filename), media_type: Some(media_type), ..self }
    }

    /// The text, if this is a text.
    pub fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            Content::Raw(_) | Content::Url(_) | Content::Data(_) => None,
        }
    }

    /// The data, if this is data.
    pub fn as_data(&self) -> Option<&Json> {
        match &self.content {
            Content::Data(json) => Some(json),
            Content::Raw(_) | Content::Url(_) | Content::Text(_) => None,
        }
    }
}

/// One turn of a conversation. Its task and context are those of the task it stands in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Chosen by its sender.
    pub id: MessageId,
    /// Which side speaks.
    pub role: Role,
    /// At least one.
    pub parts: Vec<Part>,
    /// A JSON object; an extension's URI is a key of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
    /// URIs of the extensions that shaped this message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<Arc<str>>,
    /// Ids of other tasks that the sender points at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference_tasks: Vec<Arc<str>>,
}

impl Message {
    /// Roughly the bytes it takes.
    pub fn bytes(&self) -> usize {
        let parts: usize = self.parts.iter().map(Part::bytes).sum();
        let metadata = self.metadata.as_ref().map_or(0, |json| json.as_str().len());
        parts + metadata + length_of(&self.extensions) + length_of(&self.reference_tasks)
    }

    /// What an agent says. The id tells the message apart within its task.
    pub fn from_agent(id: MessageId, parts: Vec<Part>) -> Self {
        Self { id, role: Role::Agent, parts, metadata: None, extensions: Vec::new(), reference_tasks: Vec::new() }
    }

    /// All text parts, one to a line.
    pub fn text(&self) -> String {
        self.parts.iter().filter_map(Part::as_text).collect::<Vec<_>>().join("\n")
    }

    /// The first data part.
    pub fn data(&self) -> Option<&Json> {
        self.parts.iter().find_map(Part::as_data)
    }
}

/// Something a task has made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Unique in its task.
    pub id: ArtifactId,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Arc<str>>,
    /// At least one.
    pub parts: Vec<Part>,
    /// A JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
    /// URIs of the extensions that shaped it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<Arc<str>>,
}

impl Artifact {
    /// Roughly the bytes it takes.
    pub fn bytes(&self) -> usize {
        let parts: usize = self.parts.iter().map(Part::bytes).sum();
        let words = [&self.name, &self.description].into_iter().flatten().map(|word| word.len()).sum::<usize>();
        parts + words + self.metadata.as_ref().map_or(0, |json| json.as_str().len()) + length_of(&self.extensions)
    }

    /// An artifact that is only these parts.
    pub fn new(id: ArtifactId, parts: Vec<Part>) -> Self {
        Self { id, name: None, description: None, parts, metadata: None, extensions: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_its_author_sizes_counts() {
        let text: Arc<str> = Arc::from("x".repeat(1_000));
        let json = || Some(Json::of(&*text));
        let bare = Part::new(Content::Text(Arc::from("")));
        let parts = [
            Part { media_type: Some(text.clone()), ..bare.clone() },
            Part { filename: Some(text.clone()), ..bare.clone() },
            Part { metadata: json(), ..bare.clone() },
            Part::new(Content::Raw(Base64::from_checked(&text))),
            Part::new(Content::Url(text.clone())),
        ];
        assert!(parts.iter().all(|part| part.bytes() > 1_000), "{parts:?}");
        let message = Message::from_agent(MessageId::parse("m").unwrap(), vec![bare.clone()]);
        let artifact = Artifact::new(ArtifactId::parse("a").unwrap(), vec![bare; 20]);
        let messages = [
            Message { metadata: json(), ..message.clone() },
            Message { extensions: vec![text.clone()], ..message.clone() },
            Message { reference_tasks: vec![text.clone()], ..message },
        ];
        assert!(messages.iter().all(|message| message.bytes() > 1_000), "{messages:?}");
        let artifacts = [
            Artifact { name: Some(text.clone()), ..artifact.clone() },
            Artifact { description: Some(text.clone()), ..artifact.clone() },
            Artifact { metadata: json(), ..artifact.clone() },
            Artifact { extensions: vec![text.clone()], ..artifact.clone() },
            // Twenty parts of nothing are not nothing.
            artifact,
        ];
        assert!(artifacts.iter().all(|artifact| artifact.bytes() > 1_000), "{artifacts:?}");
    }
}
