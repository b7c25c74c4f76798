//! Call slots: how many calls an agent has in flight, and which tasks wait for one.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use bobbinet_core::TaskId;

use crate::engine::Inner;

/// How many tasks stand in one agent's line in memory. Those beyond wait in the log, and reconcile puts them in line as it
/// gets shorter.
const LINE_MAX: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Slots {
    max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    line: VecDeque<TaskId>,
    /// The same ids, to keep one from standing in the line twice.
    in_line: BTreeSet<TaskId>,
}

/// The right to have one call in flight. Given back when dropped: to the task that has waited longest, if one does.
#[derive(Debug)]
pub(crate) struct Permit {
    slots: Arc<Slots>,
    engine: Weak<Inner>,
}

impl State {
    /// Puts a task at the end of the line, unless it stands there or the line is as long as it may be.
    fn stand(&mut self, id: TaskId) {
        if self.line.len() < LINE_MAX && self.in_line.insert(id) {
            self.line.push_back(id);
        }
    }
}

impl Slots {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max: max.max(1), state: Mutex::default() })
    }

    /// A slot, if one is free and nobody waits for it.
    pub(crate) fn try_take(self: &Arc<Self>, engine: &Arc<Inner>) -> Option<Permit> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = state.used < self.max && state.line.is_empty();
        if !is_free {
            return None;
        }
        state.used += 1;
        Some(Permit { slots: self.clone(), engine: Arc::downgrade(engine) })
    }

    /// Puts a task at the end of the line, unless it stands there. Gives the first in the line, with a slot, if one is free.
    pub(crate) fn line_up(self: &Arc<Self>, engine: &Arc<Inner>, id: TaskId) -> Option<(TaskId, Permit)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.stand(id);
        if state.used >= self.max {
            return None;
        }
        let first = state.line.pop_front()?;
        state.in_line.remove(&first);
        state.used += 1;
        drop(state);
        Some((first, Permit { slots: self.clone(), engine: Arc::downgrade(engine) }))
    }

    fn retire(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).used -= 1;
    }

    /// Gives a slot back. The one who has waited longest keeps it.
    fn give_back(&self) -> Option<TaskId> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.line.pop_front() {
            Some(next) => {
                state.in_line.remove(&next);
                Some(next)
            }
            None => {
                state.used -= 1;
                None
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let engine = self.engine.upgrade().filter(|engine| !engine.is_draining());
        let Some(engine) = engine else {
            // Nothing begins any more. The line is left as it is; it is in the log.
            self.slots.retire();
            return;
        };
        if let Some(next) = self.slots.give_back() {
            let permit = Self { slots: self.slots.clone(), engine: self.engine.clone() };
            engine.claim(next, permit);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_line_has_an_end() {
        let mut state = State::default();
        for _ in 0..2 {
            for number in 0..=LINE_MAX as u128 {
                state.stand(TaskId::new(Uuid::from_u128(number)));
            }
        }
        assert_eq!((state.line.len(), state.in_line.len()), (LINE_MAX, LINE_MAX));
    }
}
