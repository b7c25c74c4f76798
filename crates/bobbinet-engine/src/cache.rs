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

/// The aggregates of one kind that are in memory, within a number and a number of bytes. Each is there once at most.
#[derive(Debug)]
pub(crate) struct Cache<A: Aggregate> {
    entries_max: usize,
    bytes_max: usize,
    state: Mutex<CacheState<A>>,
}

/// Whether an aggregate is in memory already.
pub(crate) enum Place<'a, A: Aggregate> {
    /// In memory.
    Here(Arc<Live<A>>),
    /// On its way: to be loaded, then inserted.
    Arriving(Arriving<'a, A>),
}

/// An aggregate that is being loaded, by one or several who look for it.
pub(crate) struct Arriving<'a, A: Aggregate> {
    cache: &'a Cache<A>,
    pub(crate) live: Arc<Live<A>>,
}

#[derive(Debug)]
struct CacheState<A: Aggregate> {
    entries: BTreeMap<A::Id, Arc<Live<A>>>,
    /// Those that are being loaded. An aggregate is here once at most: a second one would not hear of what the first commits.
    arriving: BTreeMap<A::Id, Weak<Live<A>>>,
    /// Oldest first. One that is busy goes to the end when its turn comes.
    line: VecDeque<A::Id>,
    bytes: usize,
}

impl<A: Aggregate> Default for CacheState<A> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), arriving: BTreeMap::new(), line: VecDeque::new(), bytes: 0 }
    }
}

impl<A: Aggregate> Cache<A> {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { entries_max: limits.hot_tasks_max, bytes_max: limits.hot_bytes_max, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, CacheState<A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: &A::Id) -> Option<Arc<Live<A>>> {
        self.lock().entries.get(id).cloned()
    }

    pub(crate) fn find(&self, id: &A::Id) -> Place<'_, A> {
        let mut state = self.lock();
        if let Some(live) = state.entries.get(id) {
            return Place::Here(live.clone());
        }
        let live = state.arriving.get(id).and_then(Weak::upgrade).unwrap_or_else(|| Live::new(*id));
        state.arriving.insert(*id, Arc::downgrade(&live));
        Place::Arriving(Arriving { cache: self, live })
    }

    /// The one of this id: the one that is there, or this one.
    pub(crate) fn insert(&self, live: Arc<Live<A>>) -> Arc<Live<A>> {
        let mut state = self.lock();
        if let Some(known) = state.entries.get(&live.id) {
            return known.clone();
        }
        state.bytes += live.weight.load(Ordering::Relaxed);
        state.line.push_back(live.id);
        state.entries.insert(live.id, live.clone());
        state.make_room(self.entries_max, self.bytes_max);
        live
    }

    /// Counts one with what its state weighs now. Small ones are counted alike.
    pub(crate) fn weigh(&self, live: &Live<A>, durable: &A) {
        let weight = LIVE_BYTES.max(durable.bytes());
        if live.weight.load(Ordering::Relaxed) == weight {
            return;
        }
        let mut state = self.lock();
        let before = live.weight.swap(weight, Ordering::Relaxed);
        if state.entries.contains_key(&live.id) {
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
        let is_last = Arc::strong_count(&self.live) == 1;
        if is_last || state.entries.contains_key(&self.live.id) {
            state.arriving.remove(&self.live.id);
        }
    }
}

impl<A: Aggregate> CacheState<A> {
    fn make_room(&mut self, entries_max: usize, bytes_max: usize) {
        for _ in 0..LOOK_AT_MAX {
            // Ids of those that were removed leave the line here too.
            if self.line.len() <= entries_max && self.bytes <= bytes_max {
                return;
            }
            let Some(id) = self.line.pop_front() else { return };
            match self.entries.get(&id) {
                Some(live) if !live.is_idle() => self.line.push_back(id),
                Some(_) => self.drop_entry(&id),
                None => {}
            }
        }
    }

    fn drop_entry(&mut self, id: &A::Id) {
        if let Some(live) = self.entries.remove(id) {
            self.bytes -= live.weight.load(Ordering::Relaxed);
        }
    }
}
