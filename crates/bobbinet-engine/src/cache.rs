//! The aggregates of a kind that are kept ready in memory: those somebody is busy with, and the newest of the others, within bounds.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, PoisonError, Weak, atomic::Ordering},
};

use bobbinet_core::Limits;

use crate::{
    Aggregate,
    live::{LIVE_BYTES, Live},
    sync::{Mutex, MutexGuard},
};

/// How many candidates one change looks at: the work of making room is spread, never done at once.
const LOOK_AT_MAX: usize = 8;

#[derive(Debug)]
pub(crate) struct Cache<A: Aggregate> {
    entries_max: usize,
    bytes_max: usize,
    state: Mutex<State<A>>,
}

/// Where an entry is.
pub(crate) enum Place<'a, A: Aggregate> {
    /// In memory.
    Here(Arc<Live<A>>),
    /// On its way: to be loaded, then inserted.
    Arriving(Arriving<'a, A>),
}

/// An entry that is being loaded, by one or several who look for it.
pub(crate) struct Arriving<'a, A: Aggregate> {
    cache: &'a Cache<A>,
    pub(crate) entry: Arc<Live<A>>,
}

#[derive(Debug)]
struct State<A: Aggregate> {
    entries: BTreeMap<A::Id, Arc<Live<A>>>,
    /// Those that are being loaded. An aggregate is here once at most: a second one would not hear of what the first commits.
    arriving: BTreeMap<A::Id, Weak<Live<A>>>,
    /// Oldest first. One that is busy goes to the end when its turn comes.
    line: VecDeque<A::Id>,
    bytes: usize,
}

impl<A: Aggregate> Default for State<A> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), arriving: BTreeMap::new(), line: VecDeque::new(), bytes: 0 }
    }
}

impl<A: Aggregate> Cache<A> {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { entries_max: limits.hot_tasks_max, bytes_max: limits.hot_bytes_max, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State<A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: &A::Id) -> Option<Arc<Live<A>>> {
        self.lock().entries.get(id).cloned()
    }

    pub(crate) fn find(&self, id: &A::Id) -> Place<'_, A> {
        let mut state = self.lock();
        if let Some(entry) = state.entries.get(id) {
            return Place::Here(entry.clone());
        }
        let entry = state.arriving.get(id).and_then(Weak::upgrade).unwrap_or_else(|| Live::new(*id));
        state.arriving.insert(*id, Arc::downgrade(&entry));
        Place::Arriving(Arriving { cache: self, entry })
    }

    /// The entry of this id: the one that is there, or this one.
    pub(crate) fn insert(&self, entry: Arc<Live<A>>) -> Arc<Live<A>> {
        let mut state = self.lock();
        if let Some(known) = state.entries.get(&entry.id) {
            return known.clone();
        }
        state.bytes += entry.weight.load(Ordering::Relaxed);
        state.line.push_back(entry.id);
        state.entries.insert(entry.id, entry.clone());
        state.make_room(self.entries_max, self.bytes_max);
        entry
    }

    /// Counts one with what its state weighs now. Small ones are counted alike.
    pub(crate) fn weigh(&self, entry: &Live<A>, durable: &A) {
        let weight = LIVE_BYTES.max(durable.bytes());
        if entry.weight.load(Ordering::Relaxed) == weight {
            return;
        }
        let mut state = self.lock();
        let before = entry.weight.swap(weight, Ordering::Relaxed);
        if state.entries.contains_key(&entry.id) {
            state.bytes = state.bytes - before + weight;
            state.make_room(self.entries_max, self.bytes_max);
        }
    }

    pub(crate) fn remove(&self, id: &A::Id) {
        let mut state = self.lock();
        state.drop_entry(id);
    }
}

impl<A: Aggregate> Drop for Arriving<'_, A> {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        let is_last = Arc::strong_count(&self.entry) == 1;
        if is_last || state.entries.contains_key(&self.entry.id) {
            state.arriving.remove(&self.entry.id);
        }
    }
}

impl<A: Aggregate> State<A> {
    fn make_room(&mut self, entries_max: usize, bytes_max: usize) {
        for _ in 0..LOOK_AT_MAX {
            // Ids of entries that were removed leave the line here too.
            if self.line.len() <= entries_max && self.bytes <= bytes_max {
                return;
            }
            let Some(id) = self.line.pop_front() else { return };
            match self.entries.get(&id) {
                Some(entry) if !entry.is_idle() => self.line.push_back(id),
                Some(_) => self.drop_entry(&id),
                None => {}
            }
        }
    }

    fn drop_entry(&mut self, id: &A::Id) {
        if let Some(entry) = self.entries.remove(id) {
            self.bytes -= entry.weight.load(Ordering::Relaxed);
        }
    }
}
