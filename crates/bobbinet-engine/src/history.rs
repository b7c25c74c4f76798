//! A task's whole log, internal records too, for the one who wants to know what really happened.

use bobbinet_core::{AgentName, Caller, TaskId};
use bobbinet_store::{Page, Version};

use crate::{Engine, EngineError, RecordedEvent, record};

/// How many records are read at a time.
const PAGE: usize = 256;

impl Engine {
    /// All records of a task that are still kept, oldest first, each with its version.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] also for somebody else's task; or if the store cannot be read.
    pub async fn log(
        &self,
        caller: &Caller,
        agent: &AgentName,
        id: &TaskId,
    ) -> Result<Vec<(u64, RecordedEvent)>, EngineError> {
        // As it stands now; what comes later is left out, so that a task at work cannot keep its reader for ever.
        let end = self.get(caller, agent, id).await?.version;
        let mut log = Vec::new();
        let mut read = Version::ZERO;
        while read.0 < end {
            match self.inner.store.read(&id.stream(), read, PAGE).await? {
                Page::Trimmed { first } => read = Version(first.0 - 1),
                Page::Records(records) if records.is_empty() => break,
                Page::Records(records) => {
                    for record in &records {
                        read = read.plus(1);
                        log.push((read.0, record::decode(record)?));
                    }
                }
            }
        }
        Ok(log)
    }
}
