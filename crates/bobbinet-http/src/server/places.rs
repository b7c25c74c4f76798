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
    streams_of: Arc<Shares>,
    unsent: Arc<Semaphore>,
    unsent_max: usize,
    unsent_of: Arc<Shares>,
}

/// One of the places, given back when dropped.
#[derive(Debug)]
pub(super) struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// A stream's two places: the node's and its caller's.
#[derive(Debug)]
pub(super) struct StreamPlace {
    _place: OwnedSemaphorePermit,
    _share: Share,
}

/// Room for bytes that wait for their reader, in steps of a kibibyte: the node's and its caller's; given back when dropped.
#[derive(Debug)]
pub(super) struct Room {
    _room: OwnedSemaphorePermit,
    _share: Share,
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

/// Of what there is, how much each caller has.
#[derive(Debug)]
struct Shares {
    /// How much one caller may have.
    max: usize,
    /// The limit's name.
    limit: &'static str,
    taken: Mutex<BTreeMap<(Tenant, Principal), usize>>,
}

/// What a caller has taken, given back when dropped.
#[derive(Debug)]
struct Share {
    shares: Arc<Shares>,
    of: (Tenant, Principal),
    count: usize,
}

impl Places {
    pub(super) fn new(limits: &HttpLimits) -> Self {
        let places = |max: usize| Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        Self {
            requests: places(limits.requests_max),
            waits: places(limits.waits_max),
            streams: places(limits.streams_max),
            streams_of: Shares::new(limits.streams_per_caller_max, "streams_per_caller_max"),
            unsent: places(kibibytes(limits.unsent_bytes_max).max(1)),
            unsent_max: kibibytes(limits.unsent_bytes_max).max(1),
            unsent_of: Shares::new(kibibytes(limits.unsent_bytes_per_caller_max).max(1), "unsent_bytes_per_caller_max"),
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

    /// Room for so many bytes of an answer to this caller; all that a caller may have, for more than that. What waits counts for its
    /// caller already, so that nobody has more waiting than he may have unread.
    pub(super) async fn room(&self, caller: &Caller, bytes: usize) -> Result<Room, Full> {
        let count = kibibytes(bytes).min(self.unsent_max).min(self.unsent_of.max);
        let share = self.unsent_of.take(caller, count)?;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let room = timeout(ROOM_WAIT, self.unsent.clone().acquire_many_owned(count)).await;
        let room = room.ok().and_then(Result::ok).ok_or(Full::Node("unsent_bytes_max"))?;
        Ok(Room { _room: room, _share: share })
    }

    /// A place for one stream of this caller.
    pub(super) fn stream(&self, caller: &Caller) -> Result<StreamPlace, Full> {
        let place = self.streams.clone().try_acquire_owned().map_err(|_| Full::Node("streams_max"))?;
        Ok(StreamPlace { _place: place, _share: self.streams_of.take(caller, 1)? })
    }
}

impl Shares {
    fn new(max: usize, limit: &'static str) -> Arc<Self> {
        Arc::new(Self { max, limit, taken: Mutex::default() })
    }

    fn take(self: &Arc<Self>, caller: &Caller, count: usize) -> Result<Share, Full> {
        let of = (caller.tenant.clone(), caller.principal.clone());
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let before = taken.get(&of).copied().unwrap_or_default();
        if before.saturating_add(count) > self.max {
            return Err(Full::Caller(self.limit));
        }
        taken.insert(of.clone(), before + count);
        Ok(Share { shares: self.clone(), of, count })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.of) {
            *count -= self.count;
            if *count == 0 {
                taken.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn caller(name: &str) -> Caller {
        Caller {
            principal: Principal::parse(name).unwrap(),
            tenant: Tenant::parse("here").unwrap(),
            is_owner: false,
            scopes: Vec::new(),
            chain: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_caller_who_reads_slowly_leaves_room_for_others() {
        let limits =
            HttpLimits { unsent_bytes_max: 3 << 20, unsent_bytes_per_caller_max: 1 << 20, ..HttpLimits::default() };
        let places = Places::new(&limits);
        let (one, two) = (caller("one"), caller("two"));
        let slow = places.room(&one, 700 << 10).await.unwrap();
        let refused = places.room(&one, 700 << 10).await.unwrap_err();
        assert_eq!(refused, Full::Caller("unsent_bytes_per_caller_max"));
        // What is larger than a share is all of it, and no more.
        let large = places.room(&two, 1 << 30).await.unwrap();
        let rest = places.room(&caller("three"), 1 << 20).await.unwrap();
        // The node is full before its fourth caller is, who waits, and leaves no trace.
        assert!(places.room(&caller("four"), 500 << 10).now_or_never().is_none());
        drop((slow, large, rest));
        assert_eq!(places.unsent.available_permits(), 3 << 10);
        assert!(places.unsent_of.taken.lock().unwrap().is_empty(), "all is given back");
    }
}
