//! Whether the engine takes work and when it ends, and all the futures that it has started.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{EngineError, watched::watched};

/// From its opening to its end. Whoever has it can start futures, and learns when they are to end.
#[derive(Debug, Default)]
pub(crate) struct Lifecycle {
    /// Owns every future that the engine starts.
    tracker: TaskTracker,
    /// No new work.
    draining: AtomicBool,
    /// Everything ends.
    stop: CancellationToken,
    /// Runs that are at work: those that wait for an answer do not count.
    busy: AtomicUsize,
}

impl Lifecycle {
    /// Starts a future that the engine owns. It ends with the engine.
    pub(crate) fn start(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(watched("engine", future));
    }

    /// Takes no new work from now on.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether nothing new begins.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Tells everything to end.
    pub(crate) fn stop(&self) {
        // What is released for it must not begin again, also where nobody has asked for work to be refused.
        self.drain();
        self.stop.cancel();
    }

    /// Whether everything is to end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Returns when everything is to end.
    pub(crate) async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Returns when all that was started has ended, which was told to.
    pub(crate) async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Whether runs are at work.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// Why nobody answers a command: the engine ends, or whoever decided about it has panicked.
    pub(crate) fn unanswered(&self) -> EngineError {
        if self.is_draining() || self.is_stopping() {
            return EngineError::Draining;
        }
        EngineError::Unavailable("this node failed inside; what was asked may or may not have been kept".to_owned())
    }
}

/// While this lives, a run is at work.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Lifecycle>);

impl Busy {
    pub(crate) fn begin(lifecycle: &Arc<Lifecycle>) -> Self {
        lifecycle.busy.fetch_add(1, Ordering::Relaxed);
        Self(lifecycle.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// While this lives, a run waits for an answer and is not at work.
#[derive(Debug)]
pub(crate) struct Idle(Arc<Lifecycle>);

impl Idle {
    pub(crate) fn begin(lifecycle: &Arc<Lifecycle>) -> Self {
        lifecycle.busy.fetch_sub(1, Ordering::Relaxed);
        Self(lifecycle.clone())
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.0.busy.fetch_add(1, Ordering::Relaxed);
    }
}
