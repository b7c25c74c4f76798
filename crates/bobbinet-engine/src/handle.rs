//! A submitted task, for the one who submitted it.

use std::sync::{Arc, OnceLock};

use bobbinet_core::{Generation, Task, TaskId};

use crate::{EngineError, commit_loop::AggregateStreams, follow::Follower, sync::Notify, task_live::LiveTask};

/// What a submission gives. Dropping it changes nothing: the task goes on.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) tasks: Arc<AggregateStreams<Task>>,
    pub(crate) live: Arc<LiveTask>,
    /// The generation that the caller's own message led to, at least: what is settled before it does not count.
    pub(crate) since: Generation,
    /// The task that an earlier request under the same idempotency key made.
    pub(crate) first: OnceLock<Arc<LiveTask>>,
}

impl Handle {
    /// The task's id: known for sure once it is accepted, since a repeated request gets the id of the first one.
    pub fn id(&self) -> TaskId {
        self.live().id
    }

    fn live(&self) -> &Arc<LiveTask> {
        self.first.get().unwrap_or(&self.live)
    }

    /// Returns when the task's first commit is durable.
    ///
    /// # Errors
    /// If it was not kept, or nobody knows whether it was.
    pub async fn accepted(&self) -> Result<Arc<Task>, EngineError> {
        self.wait(|live| &live.changed, |_| true).await
    }

    /// Returns when the task has ended or waits for its caller.
    ///
    /// # Errors
    /// If it was not kept, or nobody knows whether it was.
    pub async fn settled(&self) -> Result<Arc<Task>, EngineError> {
        self.wait(|live| &live.settled, |task| task.state.is_terminal() || task.state.is_interrupted()).await
    }

    /// Follows the task after what was there before the caller's message. To be used once it is accepted.
    pub fn follow(&self) -> Follower {
        Follower::after(&self.tasks, self.live(), self.since)
    }

    /// The same task, for whoever has seen it as it stood at this generation.
    #[must_use]
    pub fn after(&self, seen: Generation) -> Self {
        Self { since: seen, ..self.clone() }
    }

    async fn wait(
        &self,
        hint: impl Fn(&LiveTask) -> &Notify,
        is_it: impl Fn(&Task) -> bool,
    ) -> Result<Arc<Task>, EngineError> {
        loop {
            let live = self.live();
            let hinted = hint(live).notified();
            tokio::pin!(hinted);
            // In line from here on, so that nothing is missed between the look and the wait.
            hinted.as_mut().enable();
            match look(live) {
                Look::Lost(EngineError::Repeated(first)) => {
                    // The first one's commit may be kept and not yet known: then it is waited for.
                    let first = self.tasks.find_kept(&first).await?.ok_or(EngineError::NotFound)?;
                    let _ = self.first.set(first);
                }
                Look::Lost(error) => return Err(error),
                Look::Known(task) if task.generation > self.since && is_it(&task) => return Ok(task),
                Look::Known(_) | Look::InFlight => self.tasks.wait(live, hinted).await?,
                Look::Unknown => {
                    self.tasks.load(live).await?.ok_or(EngineError::NotFound)?;
                }
            }
        }
    }
}

fn look(live: &LiveTask) -> Look {
    let state = live.lock();
    match (&state.lost, &state.durable) {
        (Some(error), _) => Look::Lost(error.clone()),
        (None, Some(task)) => Look::Known(task.clone()),
        (None, None) if state.is_new => Look::InFlight,
        (None, None) => Look::Unknown,
    }
}

/// What is known of a submitted task.
enum Look {
    Lost(EngineError),
    Known(Arc<Task>),
    InFlight,
    Unknown,
}
