//! How many of each kind are at work: requests, waits and streams are counted apart, so that a thousand waits leave room to ask.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bobbinet_core::{Caller, Principal, Tenant};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::HttpLimits;

/// All places of a node.
#[derive(Debug)]
pub(super) struct Places {
    requests: Arc<Semaphore>,
    waits: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    streams_of: Arc<StreamsOf>,
    unsent: Arc<Semaphore>,
    unsent_max: usize,
}

/// One of the places, given back when dropped.
#[derive(Debug)]
pub(super) struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// A stream's two places: the node's and its caller's.
#[derive(Debug)]
pub(super) struct StreamPlace {
    _place: OwnedSemaphorePermit,
    streams_of: Arc<StreamsOf>,
    key: (Tenant, Principal),
}

/// Room for bytes that wait for their reader, in steps of a kibibyte; given back when dropped.
#[derive(Debug)]
pub(super) struct Room(OwnedSemaphorePermit);

impl Room {
    /// Keeps room for so many bytes, and gives the rest back.
    pub(super) fn shrink(mut self, bytes: usize) -> Self {
        let surplus = self.0.num_permits().saturating_sub(kibibytes(bytes));
        drop(self.0.split(surplus));
        self
    }
}

/// How long an answer waits for room among those that are not taken yet.
const ROOM_WAIT: Duration = Duration::from_secs(5);

fn kibibytes(bytes: usize) -> usize {
    bytes.div_ceil(1 << 10)
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The whole node is at its limit.
    Node(&'static str),
    /// This caller is.
    Caller(&'static str),
}

#[derive(Debug)]
struct StreamsOf {
    max: usize,
    open: Mutex<BTreeMap<(Tenant, Principal), usize>>,
}

impl Places {
    pub(super) fn new(limits: &HttpLimits) -> Self {
        let places = |max: usize| Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        Self {
            requests: places(limits.requests_max),
            waits: places(limits.waits_max),
            streams: places(limits.streams_max),
            streams_of: Arc::new(StreamsOf { max: limits.streams_per_caller_max, open: Mutex::default() }),
            unsent: places(kibibytes(limits.unsent_bytes_max).max(1)),
            unsent_max: kibibytes(limits.unsent_bytes_max).max(1),
        }
    }

    /// A place for work that ends by itself.
    pub(super) fn request(&self) -> Result<Place, Full> {
        self.requests.clone().try_acquire_owned().map(Place).map_err(|_| Full::Node("requests_max"))
    }

    /// A place to wait in for a task.
    pub(super) fn wait(&self) -> Result<Place, Full> {
        self.waits.clone().try_acquire_owned().map(Place).map_err(|_| Full::Node("waits_max"))
    }

    /// Room for so many bytes of an answer; all there is, for more than that.
    pub(super) async fn room(&self, bytes: usize) -> Result<Room, Full> {
        let count = u32::try_from(kibibytes(bytes).min(self.unsent_max)).unwrap_or(u32::MAX);
        let room = timeout(ROOM_WAIT, self.unsent.clone().acquire_many_owned(count)).await;
        room.ok().and_then(Result::ok).map(Room).ok_or(Full::Node("unsent_bytes_max"))
    }

    /// A place for one stream of this caller.
    pub(super) fn stream(&self, caller: &Caller) -> Result<StreamPlace, Full> {
        let place = self.streams.clone().try_acquire_owned().map_err(|_| Full::Node("streams_max"))?;
        let key = (caller.tenant.clone(), caller.principal.clone());
        self.streams_of.take(&key)?;
        Ok(StreamPlace { _place: place, streams_of: self.streams_of.clone(), key })
    }
}

impl StreamsOf {
    fn take(&self, key: &(Tenant, Principal)) -> Result<(), Full> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(key) {
            Some(count) if *count >= self.max => return Err(Full::Caller("streams_per_caller_max")),
            Some(count) => *count += 1,
            None if self.max == 0 => return Err(Full::Caller("streams_per_caller_max")),
            None => {
                open.insert(key.clone(), 1);
            }
        }
        Ok(())
    }

    fn give_back(&self, key: &(Tenant, Principal)) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                open.remove(key);
            }
        }
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.streams_of.give_back(&self.key);
    }
}
