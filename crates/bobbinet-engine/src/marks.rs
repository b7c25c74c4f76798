//! Named readers of a task's log that come back after a restart: how far each has come, and how long it has tried to come further.

use std::time::Duration;

use bobbinet_core::{Generation, TaskId};
use bobbinet_store::Version;

use crate::{Engine, EngineError};

/// What is kept of the readers of one task's log.
#[derive(Clone, Debug, Default)]
pub struct Marks(Vec<(String, Version)>);

impl Engine {
    /// Keeps that a reader has been told all up to this generation. Durable when this returns; for a task that is gone nothing is kept.
    ///
    /// # Errors
    /// If it was not kept.
    pub async fn mark(&self, id: &TaskId, reader: &str, told: Generation) -> Result<(), EngineError> {
        Ok(self.inner.store.mark(&id.stream(), reader, Version(told.0)).await?)
    }

    /// Keeps under a name of its own how long a reader has tried to pass on what follows its mark, in place of what was kept under that
    /// name before. Durable when this returns, also while the engine stops; nothing is kept of less than a millisecond.
    ///
    /// # Errors
    /// If it was not kept.
    pub async fn mark_time(&self, id: &TaskId, name: &str, tried: Duration) -> Result<(), EngineError> {
        let millis = u64::try_from(tried.as_millis()).unwrap_or(u64::MAX);
        Ok(self.inner.store.mark(&id.stream(), name, Version(millis)).await?)
    }

    /// What is kept of all readers of a task's log.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn marks_of(&self, id: &TaskId) -> Result<Marks, EngineError> {
        Ok(Marks(self.inner.store.marks(&id.stream()).await?))
    }
}

impl Marks {
    /// How far a reader has come; `None` for one that was told nothing.
    pub fn told(&self, reader: &str) -> Option<Generation> {
        self.of(reader).map(Generation)
    }

    /// How long a reader has tried, by the name that this is kept under.
    pub fn time(&self, name: &str) -> Duration {
        self.of(name).map_or(Duration::ZERO, Duration::from_millis)
    }

    fn of(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(kept, _)| kept == name).map(|(_, Version(at))| *at)
    }
}
