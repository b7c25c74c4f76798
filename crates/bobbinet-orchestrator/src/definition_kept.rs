//! The definition that a run begins with, kept once for all that begin with it, and read again by those that go on with it.

use std::sync::Arc;

use bobbinet_engine::{EngineError, Run};
use bobbinet_flow::document::Definition;

use crate::{
    again::again,
    definition::{DefinitionId, Keep, KeptDefinition},
    over::{Over, broken},
    shared::Shared,
};

impl Shared {
    /// Keeps the definition that a run begins with, once.
    pub(crate) async fn keep_definition(&self, run: &Run) -> Result<(), Over> {
        self.kept.get_or_try_init(|| self.keep(run)).await.map(drop)
    }

    async fn keep(&self, run: &Run) -> Result<(), Over> {
        let definitions = run.aggregates::<KeptDefinition>();
        loop {
            match definitions.command(&self.id, Keep { text: self.text.to_string() }).await {
                Ok(_) | Err(EngineError::Refused(_)) => return Ok(()),
                Err(error) => again(run, error).await?,
            }
        }
    }

    /// The definition that a run began with.
    pub(crate) async fn definition_of(&self, run: &Run, id: DefinitionId) -> Result<Arc<Definition>, Over> {
        if id == self.id {
            return Ok(self.definition.clone());
        }
        if let Some(known) = self.earlier(id) {
            return Ok(known);
        }
        let definitions = run.aggregates::<KeptDefinition>();
        let kept = loop {
            match definitions.get(&id).await {
                Ok(kept) => break kept,
                Err(error) => again(run, error).await?,
            }
        };
        let kept = kept.ok_or_else(|| broken("the definition that it began with is gone"))?;
        let reading = Definition::read(&self.definition.file, &kept.text, &self.run_limits);
        let definition = reading.definition.map(Arc::new).ok_or_else(|| {
            let why = reading.findings.first().map(|finding| finding.message.clone()).unwrap_or_default();
            broken(&format!("this version does not run the definition that it began with: {why}"))
        })?;
        self.remember(id, definition.clone());
        Ok(definition)
    }
}
