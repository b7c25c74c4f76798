//! A task's whole log, internal records too, for the one who wants to know what really happened.

use std::{ops::ControlFlow, sync::Arc};

use bobbinet_core::{AgentName, Caller, Generation, Task, TaskId};
use bobbinet_store::{Page, Version};

use crate::{Engine, EngineError, RecordedEvent};

/// How many records are read at a time.
const PAGE: usize = 256;

impl Engine {
    /// A task as it stood at this generation, or as it stands if it has not come so far.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] also for somebody else's task; or if the store cannot be read.
    pub async fn as_of(
        &self,
        caller: &Caller,
        agent: &AgentName,
        id: &TaskId,
        generation: Generation,
    ) -> Result<Arc<Task>, EngineError> {
        let newest = self.get(caller, agent, id).await?;
        if newest.generation <= generation {
            return Ok(newest);
        }
        let mut task: Option<Task> = None;
        self.read_log(id, newest.version, |_, RecordedEvent { at, generation: of, event }| {
            // What is internal and follows it changes nothing that is shown.
            if of.is_some_and(|of| of > generation) {
                return ControlFlow::Break(());
            }
            match &mut task {
                None => task = Task::fold(*id, [(at, &event)]),
                Some(task) => task.apply(at, &event),
            }
            ControlFlow::Continue(())
        })
        .await?;
        task.map(Arc::new).ok_or_else(|| match generation {
            Generation(0) => EngineError::NotFound,
            Generation(_) => EngineError::Corrupt(format!("the log of {id} is shorter than it was")),
        })
    }

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
        self.read_log(id, end, |version, kept| {
            log.push((version, kept));
            ControlFlow::Continue(())
        })
        .await?;
        Ok(log)
    }

    /// Shows the records of a task that are still kept, oldest first and each with its version, up to this one, or until enough is seen.
    async fn read_log(
        &self,
        id: &TaskId,
        end: u64,
        mut look: impl FnMut(u64, RecordedEvent) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        let mut read = Version::ZERO;
        while read.0 < end {
            match self.inner.store.read(&id.stream(), read, PAGE).await? {
                Page::Trimmed { first } => read = Version(first.0 - 1),
                Page::Records(records) if records.is_empty() => break,
                Page::Records(records) => {
                    for record in &records {
                        read = read.plus(1);
                        if read.0 > end || look(read.0, self.inner.tasks.decode(record)?).is_break() {
                            return Ok(());
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
