//! What a task over there has made, brought over once.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use bobbinet_core::{Artifact, ArtifactId, Content, Part};
use bobbinet_engine::{EngineError, Run};

/// What is known of each artifact that our task has. They are as large as a task may be, so no copy is kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Artifacts(BTreeMap<ArtifactId, Seen>);

/// How many parts there are, and a hash of all of them: what tells an artifact from the same with more in it, or other things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    parts: usize,
    hash: u64,
}

impl Seen {
    /// The same with these parts behind it.
    fn and(self, parts: &[Part]) -> Self {
        let fold = |hash: u64, part: &Part| {
            let mut hasher = DefaultHasher::new();
            (hash, std::mem::discriminant(&part.content)).hash(&mut hasher);
            match &part.content {
                Content::Text(text) | Content::Url(text) => text.hash(&mut hasher),
                Content::Raw(base64) => base64.as_str().hash(&mut hasher),
                Content::Data(json) => json.as_str().hash(&mut hasher),
            }
            (&part.media_type, &part.filename, part.metadata.as_ref().map(|json| json.as_str())).hash(&mut hasher);
            hasher.finish()
        };
        Self { parts: self.parts + parts.len(), hash: parts.iter().fold(self.hash, fold) }
    }
}

impl Artifacts {
    /// What an earlier run has brought over.
    pub(crate) fn of(artifacts: &[Arc<Artifact>]) -> Self {
        Self(artifacts.iter().map(|artifact| (artifact.id.clone(), Seen::default().and(&artifact.parts))).collect())
    }

    /// Those that we have not, or not so.
    pub(crate) fn missing(&self, artifacts: Vec<Artifact>) -> Vec<Artifact> {
        let is_missing = |artifact: &Artifact| self.0.get(&artifact.id) != Some(&Seen::default().and(&artifact.parts));
        artifacts.into_iter().filter(is_missing).collect()
    }

    /// Whether there is one of this id.
    pub(crate) fn has(&self, id: &ArtifactId) -> bool {
        self.0.contains_key(id)
    }

    /// Brings over more of an artifact, or a new one. Durable when this returns.
    pub(crate) async fn add(
        &mut self,
        run: &Run,
        artifact: Artifact,
        append: bool,
        last_chunk: bool,
    ) -> Result<(), EngineError> {
        let known = self.0.get(&artifact.id).copied();
        // What is appended to nothing that we have is the beginning of it.
        let append = append && known.is_some();
        let seen = known.filter(|_| append).unwrap_or_default().and(&artifact.parts);
        let id = artifact.id.clone();
        run.add(Arc::new(artifact), append, last_chunk).await?;
        self.0.insert(id, seen);
        Ok(())
    }

    /// Makes what we have what a task as a whole has: what is the same stays, what is not is brought over anew. So a piece that is
    /// told again after a break is not there twice.
    pub(crate) async fn become_those_of(&mut self, run: &Run, artifacts: Vec<Artifact>) -> Result<(), EngineError> {
        for artifact in self.missing(artifacts) {
            self.add(run, artifact, false, true).await?;
        }
        Ok(())
    }
}
