//! What another task of the same caller has come to, given as this one's own: with a note of where it comes from.

use std::sync::Arc;

use bobbinet_core::{Artifact, Content, Json, Message, Part, Task};
use bobbinet_engine::Run;

use crate::json_object::JsonObject;

/// What is said in the metadata of all that is borrowed.
#[derive(Clone, Debug)]
pub(crate) struct SourceNote {
    pub(crate) name: &'static str,
    pub(crate) value: Json,
}

impl SourceNote {
    /// The metadata, with the note.
    fn on(&self, metadata: Option<&Json>) -> Option<Json> {
        let mut metadata = metadata.and_then(JsonObject::read).unwrap_or_default();
        metadata.set(self.name, self.value.clone());
        Some(metadata.to_json())
    }
}

/// Its artifacts. What they refer to is held for the run's task too, so that it stays whatever becomes of the other.
pub(crate) async fn artifacts(run: &Run, other: &Task, note: &SourceNote) -> Vec<Arc<Artifact>> {
    let mut artifacts = Vec::with_capacity(other.artifacts.len());
    for artifact in &other.artifacts {
        let mut parts = artifact.parts.clone();
        for part in &mut parts {
            if let Content::Url(url) = &part.content
                && run.is_blob(url)
                && let Ok(own) = run.hold_blob(url).await
            {
                part.content = Content::Url(own.into());
            }
        }
        let metadata = note.on(artifact.metadata.as_ref());
        artifacts.push(Arc::new(Artifact { parts, metadata, ..Artifact::clone(artifact) }));
    }
    artifacts
}

/// What it says last, or these words if it says nothing.
pub(crate) fn message(run: &Run, other: &Task, note: &SourceNote, words: &str) -> Arc<Message> {
    let said = other.status_message.as_deref();
    let parts = said.map(|said| said.parts.clone()).filter(|parts| !parts.is_empty());
    let parts = parts.unwrap_or_else(|| vec![Part::text(words)]);
    let metadata = note.on(said.and_then(|said| said.metadata.as_ref()));
    Arc::new(Message { metadata, ..Message::from_agent(run.message_id("borrowed"), parts) })
}
