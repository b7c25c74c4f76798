//! What a task over there has made, brought over once.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::{Artifact, ArtifactId};
use bobbinet_engine::{EngineError, Run};

/// What is known of each artifact that our task has: how much of it there is. They are as large as a task may be, so no copy is kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Artifacts(BTreeMap<ArtifactId, Extent>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Extent {
    parts: usize,
    bytes: usize,
}

impl Extent {
    fn of(artifact: &Artifact) -> Self {
        Self { parts: artifact.parts.len(), bytes: artifact.parts.iter().map(bobbinet_core::Part::bytes).sum() }
    }
}

impl Artifacts {
    /// What an earlier run has brought over.
    pub(crate) fn of(artifacts: &[Arc<Artifact>]) -> Self {
        Self(artifacts.iter().map(|artifact| (artifact.id.clone(), Extent::of(artifact))).collect())
    }

    /// Brings over more of an artifact, or a new one. Durable when this returns.
    pub(crate) async fn add(
        &mut self,
        run: &Run,
        artifact: Artifact,
        append: bool,
        last_chunk: bool,
    ) -> Result<(), EngineError> {
        let more = Extent::of(&artifact);
        let known = self.0.get(&artifact.id).copied();
        // What is appended to nothing that we have is the beginning of it.
        let append = append && known.is_some();
        let id = artifact.id.clone();
        run.add(Arc::new(artifact), append, last_chunk).await?;
        let before = known.filter(|_| append).unwrap_or_default();
        self.0.insert(id, Extent { parts: before.parts + more.parts, bytes: before.bytes + more.bytes });
        Ok(())
    }

    /// Makes what we have what a task as a whole has: what is the same stays, what is not is brought over anew. So a piece that is
    /// told again after a break is not there twice.
    pub(crate) async fn become_those_of(&mut self, run: &Run, artifacts: Vec<Artifact>) -> Result<(), EngineError> {
        for artifact in artifacts {
            if self.0.get(&artifact.id) != Some(&Extent::of(&artifact)) {
                self.add(run, artifact, false, true).await?;
            }
        }
        Ok(())
    }
}
