//! Tasks of whose webhooks it is not known what is kept, since the store did not say.

use std::{
    collections::BTreeSet,
    ops::Bound,
    sync::{Mutex, PoisonError},
};

use bobbinet_core::TaskId;
use tokio::sync::Notify;
use tracing::warn;

/// So many at most, as many as one store has open tasks by default. What was kept of others is told after the next start.
const UNSURE_MAX: usize = 100_000;

/// Each task once, however often it comes.
#[derive(Debug, Default)]
pub(crate) struct Unsure {
    tasks: Mutex<BTreeSet<TaskId>>,
    added: Notify,
}

impl Unsure {
    pub(crate) fn add(&self, task: TaskId) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.len() >= UNSURE_MAX {
            warn!(%task, "too many tasks wait for the store to say which webhooks they have: what it kept is told after the next start");
            return;
        }
        tasks.insert(task);
        drop(tasks);
        self.added.notify_one();
    }

    /// Takes the one that follows this one, in a circle: one that cannot be read keeps no other waiting for long. Waits for one if there
    /// is none.
    pub(crate) async fn next(&self, last: Option<TaskId>) -> TaskId {
        loop {
            if let Some(task) = self.take(last) {
                return task;
            }
            self.added.notified().await;
        }
    }

    fn take(&self, last: Option<TaskId>) -> Option<TaskId> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let after = last.map_or(Bound::Unbounded, Bound::Excluded);
        let next = *tasks.range((after, Bound::Unbounded)).next().or_else(|| tasks.first())?;
        tasks.take(&next)
    }
}
