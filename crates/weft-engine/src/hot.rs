//! The tasks that are kept ready in memory: those somebody is busy with, and the newest of the others, within bounds.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use weft_core::{Limits, TaskId};

use crate::entry::Entry;

/// How many candidates one insertion looks at: the work of making room is spread, never done at once.
const LOOK_AT_MAX: usize = 8;

/// What an entry weighs beside its task's messages and artifacts: events, maps and counters. Measured, roughly.
const ENTRY_BYTES: usize = 2 << 10;

#[derive(Debug)]
pub(crate) struct Hot {
    entries_max: usize,
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<TaskId, Arc<Entry>>,
    /// Oldest first, each with the bytes it was counted with. An entry that is busy goes to the end when its turn comes.
    line: VecDeque<(TaskId, usize)>,
    bytes: usize,
}

impl Hot {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { entries_max: limits.hot_tasks_max, bytes_max: limits.hot_bytes_max, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: &TaskId) -> Option<Arc<Entry>> {
        self.lock().entries.get(id).cloned()
    }

    /// The entry of this id: the one that is there, or this one.
    pub(crate) fn insert(&self, entry: Arc<Entry>) -> Arc<Entry> {
        let mut state = self.lock();
        if let Some(known) = state.entries.get(&entry.id) {
            return known.clone();
        }
        state.entries.insert(entry.id, entry.clone());
        state.line.push_back((entry.id, ENTRY_BYTES));
        state.bytes += ENTRY_BYTES;
        state.make_room(self.entries_max, self.bytes_max);
        entry
    }

    pub(crate) fn remove(&self, id: &TaskId) {
        self.lock().entries.remove(id);
    }
}

impl State {
    fn make_room(&mut self, entries_max: usize, bytes_max: usize) {
        for _ in 0..LOOK_AT_MAX {
            if self.entries.len() <= entries_max && self.bytes <= bytes_max {
                return;
            }
            let Some((id, counted)) = self.line.pop_front() else { return };
            self.bytes -= counted;
            let Some(entry) = self.entries.get(&id) else { continue };
            let weight = ENTRY_BYTES + entry.durable().map_or(0, |task| task.bytes);
            // Its first turn tells what it really weighs; a heavy one has no second.
            let was_weighed = counted == weight;
            if entry.is_idle() && (was_weighed || self.bytes + weight > bytes_max || self.line.len() >= entries_max) {
                self.entries.remove(&id);
            } else {
                self.line.push_back((id, weight));
                self.bytes += weight;
            }
        }
    }
}
