//! The tasks of one agent that wait to be planned.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bobbinet_core::TaskId;

/// How many tasks of one agent wait in memory. Those beyond wait in the log, and reconcile brings them as it gets fewer.
const WAITING_MAX: usize = 10_000;

/// The tasks of one agent that wait to be planned.
#[derive(Debug, Default)]
pub(crate) struct PlanQueue(Mutex<PlanQueueState>);

#[derive(Debug, Default)]
struct PlanQueueState {
    /// Oldest first.
    line: VecDeque<TaskId>,
    /// The same ids, and those that are being planned, so that none is planned twice at once.
    known: BTreeSet<TaskId>,
    /// Whether somebody waits for the agent, for all of them.
    is_attended: bool,
}

impl PlanQueue {
    /// Adds a task, unless it is there. Whether whoever does so is to attend to them all.
    pub(crate) fn add(&self, id: TaskId) -> bool {
        let mut state = self.lock();
        if state.known.len() < WAITING_MAX && state.known.insert(id) {
            state.line.push_back(id);
        }
        !state.line.is_empty() && !std::mem::replace(&mut state.is_attended, true)
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().line.len()
    }

    /// The oldest ones, so many at most.
    pub(crate) fn take(&self, count: usize) -> VecDeque<TaskId> {
        let line = &mut self.lock().line;
        let others = line.split_off(count.min(line.len()));
        std::mem::replace(line, others)
    }

    pub(crate) fn done(&self, id: &TaskId) {
        self.lock().known.remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, PlanQueueState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever has this attends to the tasks. Dropped in the middle, by a panic perhaps, it forgets them: reconcile knows them all.
pub(crate) struct Attendance<'a>(Option<&'a PlanQueue>);

impl<'a> Attendance<'a> {
    pub(crate) fn begin(queue: &'a PlanQueue) -> Self {
        Self(Some(queue))
    }

    /// Ends it if nobody waits any more.
    pub(crate) fn is_over(&mut self) -> bool {
        let Some(waiting) = self.0 else { return true };
        let mut state = waiting.lock();
        if state.line.is_empty() {
            state.is_attended = false;
            self.0 = None;
        }
        self.0.is_none()
    }
}

impl Drop for Attendance<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.0 {
            *waiting.lock() = PlanQueueState::default();
        }
    }
}
