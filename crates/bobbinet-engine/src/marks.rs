//! Named readers of a task's log that come back after a restart: how far each has come.

use bobbinet_core::{Generation, TaskId};
use bobbinet_store::Version;

use crate::{Engine, EngineError};

impl Engine {
    /// Keeps that a reader has been told all up to this generation. Durable when this returns; for a task that is gone nothing is kept.
    ///
    /// # Errors
    /// If it was not kept.
    pub async fn mark(&self, id: &TaskId, reader: &str, told: Generation) -> Result<(), EngineError> {
        Ok(self.inner.store.mark(&id.stream(), reader, Version(told.0)).await?)
    }

    /// How far a reader has come; `None` for one that was told nothing.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn mark_of(&self, id: &TaskId, reader: &str) -> Result<Option<Generation>, EngineError> {
        let marks = self.inner.store.marks(&id.stream()).await?;
        Ok(marks.into_iter().find(|(name, _)| name == reader).map(|(_, told)| Generation(told.0)))
    }
}
