//! The requests of one HTTP/2 connection, each a task: whoever spawns, awaits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bobbinet_engine::watched;
use hyper::rt::Executor;
use tokio::task::JoinSet;

/// Where a connection's requests run. When the connection is dropped, so are they.
#[derive(Debug, Default)]
pub(super) struct Tasks(Handle);

/// What hyper spawns with.
#[derive(Clone, Debug, Default)]
pub(super) struct Handle(Arc<Mutex<JoinSet<Option<()>>>>);

impl Tasks {
    /// What hyper spawns with.
    pub(super) fn handle(&self) -> Handle {
        self.0.clone()
    }

    /// Returns when all have ended.
    pub(super) async fn ended(&self) {
        let mut tasks = std::mem::take(&mut *self.0.lock());
        while tasks.join_next().await.is_some() {}
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.lock().abort_all();
    }
}

impl Handle {
    fn lock(&self) -> MutexGuard<'_, JoinSet<Option<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Handle {
    fn execute(&self, request: F) {
        let mut tasks = self.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(watched("request", request));
    }
}
