//! What a task comes to.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use bobbinet_core::{Artifact, ArtifactId, Base64, Content, Part};

/// What a task has come to: artifacts, beside those that were added on the way, and perhaps some last words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub(crate) artifacts: Vec<Arc<Artifact>>,
    pub(crate) words: Option<Vec<Part>>,
}

impl Answer {
    /// No artifact: the task has added what there is, or nothing has to be said.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// One artifact, called `answer`, that is this text.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::artifact("answer", vec![Part::text(text)])
    }

    /// One artifact.
    ///
    /// # Panics
    /// If the id is empty or longer than 512 characters.
    pub fn artifact(id: &str, parts: Vec<Part>) -> Self {
        Self::nothing().and(Artifact::new(artifact_id(id), parts))
    }

    /// One artifact more.
    #[must_use]
    pub fn and(mut self, artifact: Artifact) -> Self {
        self.artifacts.push(Arc::new(artifact));
        self
    }

    /// With a last status message.
    #[must_use]
    pub fn saying(self, text: impl AsRef<str>) -> Self {
        Self { words: Some(vec![Part::text(text)]), ..self }
    }
}

impl From<&str> for Answer {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

/// A file, as a part: its bytes go along.
pub fn file(name: &str, media_type: &str, bytes: impl AsRef<[u8]>) -> Part {
    Part::new(Content::Raw(Base64::from_checked(&STANDARD.encode(bytes)))).named(name, media_type)
}

pub(crate) fn artifact_id(id: &str) -> ArtifactId {
    ArtifactId::parse(id).expect("an artifact's id is not empty, and not long")
}
