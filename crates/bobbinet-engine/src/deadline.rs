//! When a run's time is up. The time stands still while the run waits for an answer.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::{Duration, Instant};

/// Further away than any run lasts.
const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// How soon a deadline that stands still is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What a deadline goes by.
#[derive(Debug)]
struct DeadlineState {
    due: Instant,
    /// When it is up even while it stands still.
    end: Instant,
    held_since: Option<Instant>,
    holds: usize,
}

/// The time that a run has, shared by all who speak for it. It stands still while anybody holds it.
#[derive(Debug)]
pub(crate) struct Deadline(Mutex<DeadlineState>);

/// While this lives, the deadline's time stands still.
#[derive(Debug)]
pub(crate) struct Hold(Arc<Deadline>);

impl Deadline {
    /// So much of the run's own time, and not later than so long from now in any case.
    pub(crate) fn after(limit: Duration, end: Option<Duration>) -> Arc<Self> {
        let now = Instant::now();
        let end = now + end.unwrap_or(NEVER).min(NEVER);
        Arc::new(Self(Mutex::new(DeadlineState { due: now + limit, end, held_since: None, holds: 0 })))
    }

    pub(crate) fn instant(&self) -> Instant {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.held_since.is_some() { state.end } else { state.due.min(state.end) }
    }

    pub(crate) fn hold(self: &Arc<Self>) -> Hold {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.holds += 1;
        state.held_since.get_or_insert_with(Instant::now);
        Hold(self.clone())
    }

    /// Returns when the time is up.
    pub(crate) async fn passed(&self) {
        loop {
            let (due, is_held) = {
                let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let is_held = state.held_since.is_some();
                (if is_held { state.end } else { state.due.min(state.end) }, is_held)
            };
            if is_held && due > Instant::now() {
                tokio::time::sleep_until(due.min(Instant::now() + LOOK_AGAIN)).await;
            } else if due > Instant::now() {
                tokio::time::sleep_until(due).await;
            } else {
                return;
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.holds -= 1;
        if state.holds == 0
            && let Some(since) = state.held_since.take()
        {
            state.due += since.elapsed();
        }
    }
}
