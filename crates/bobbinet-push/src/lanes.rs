//! How many notifications are on their way, in all, of each owner and to each receiver: one receiver that does not answer, and one owner of
//! many such, hold up no other.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use bobbinet_core::{Limits, Principal, Tenant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::Of;

/// Notifications on their way to receivers that did not take the last one. What answers is never behind them.
const PROBES_MAX: usize = 32;

/// The same of one owner's tasks.
const PROBES_PER_OWNER_MAX: usize = 8;

/// A receiver that takes nothing so often in a row is down. A webhook that fails alone, among others there that do not, says nothing of them,
/// and is not tried again with each of theirs that is taken.
const DOWN: u32 = 3;

/// A body of no more than this many bytes is not counted.
const SMALL: usize = 16 << 10;

/// What bodies are counted in.
const PIECE: usize = 4 << 10;

/// All ways out.
#[derive(Debug)]
pub(crate) struct Lanes {
    all: Arc<Semaphore>,
    probes: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    pieces_max: u32,
    per_owner: usize,
    per_receiver: usize,
    receivers: Mutex<BTreeMap<String, Weak<Lane>>>,
    owners: Mutex<BTreeMap<(Tenant, Principal), Weak<OwnerShare>>>,
}

/// What one owner's tasks may have of all ways out. Whoever tells of one of them holds it.
#[derive(Debug)]
pub(crate) struct OwnerShare {
    turns: Arc<Semaphore>,
    probes: Arc<Semaphore>,
}

/// The way to one receiver. Whoever has something for it holds it.
#[derive(Debug)]
pub(crate) struct Lane {
    turns: Arc<Semaphore>,
    /// How many it has not taken since it took one.
    failures: AtomicU32,
    /// Whether one at a time is tried: it is down, or did not answer in time, which takes a turn for long.
    is_failing: AtomicBool,
    probe: Arc<Semaphore>,
    /// How often it was down and came back.
    returns: AtomicU64,
    /// Told when it does.
    back: Notify,
}

/// Leave for one notification to be on its way.
#[derive(Debug)]
pub(crate) struct Turn {
    /// At the receiver, and of the owner's share.
    _turn: [Option<OwnedSemaphorePermit>; 2],
    _all: Option<OwnedSemaphorePermit>,
}

impl Lanes {
    pub(crate) fn new(limits: &Limits) -> Self {
        let pieces = (limits.webhooks_in_flight_bytes_max / PIECE).clamp(1, u32::MAX as usize >> 4);
        Self {
            all: semaphore(limits.webhooks_in_flight_max),
            probes: semaphore(PROBES_MAX),
            bytes: semaphore(pieces),
            pieces_max: u32::try_from(pieces).unwrap_or(u32::MAX),
            per_owner: limits.webhooks_in_flight_per_owner_max,
            per_receiver: limits.webhooks_in_flight_per_receiver_max,
            receivers: Mutex::default(),
            owners: Mutex::default(),
        }
    }

    /// The way to a receiver: the same for all who have something for it.
    pub(crate) fn to(&self, receiver: &str) -> Arc<Lane> {
        let mut receivers = self.receivers.lock().unwrap_or_else(PoisonError::into_inner);
        shared(&mut receivers, receiver.to_owned(), || Lane {
            turns: semaphore(self.per_receiver),
            failures: AtomicU32::new(0),
            is_failing: AtomicBool::new(false),
            probe: semaphore(1),
            returns: AtomicU64::new(0),
            back: Notify::new(),
        })
    }

    /// The share of an owner: the same for all tasks of his.
    pub(crate) fn share(&self, of: &Of) -> Arc<OwnerShare> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        shared(&mut owners, (of.tenant.clone(), of.owner.clone()), || OwnerShare {
            turns: semaphore(self.per_owner),
            probes: semaphore(PROBES_PER_OWNER_MAX),
        })
    }

    /// Waits until one more of this owner's may be on its way to this receiver.
    pub(crate) async fn turn(&self, lane: &Lane, share: &OwnerShare) -> Turn {
        loop {
            if lane.is_failing() {
                let turn = both(&lane.probe, &share.probes).await;
                // It may have come back meanwhile.
                if lane.is_failing() {
                    return Turn { _turn: turn, _all: acquire(&self.probes).await };
                }
            }
            let turn = both(&lane.turns, &share.turns).await;
            let all = if lane.is_failing() { None } else { acquire(&self.all).await };
            // Whoever has waited behind those that it did not take is not to try as they did.
            if !lane.is_failing() {
                return Turn { _turn: turn, _all: all };
            }
        }
    }

    /// A body, written once there is room for it. What waits for room is not there meanwhile.
    pub(crate) async fn body(&self, write: impl Fn() -> Vec<u8>) -> (Vec<u8>, Option<OwnedSemaphorePermit>) {
        let body = write();
        if body.len() <= SMALL {
            return (body, None);
        }
        let pieces = u32::try_from(body.len() / PIECE).unwrap_or(u32::MAX).min(self.pieces_max);
        if let Ok(room) = self.bytes.clone().try_acquire_many_owned(pieces) {
            return (body, Some(room));
        }
        drop(body);
        let room = self.bytes.clone().acquire_many_owned(pieces).await.ok();
        (write(), room)
    }
}

fn semaphore(max: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS)))
}

/// The one of this key that somebody has, or a new one.
fn shared<K: Ord, V>(known: &mut BTreeMap<K, Weak<V>>, key: K, new: impl FnOnce() -> V) -> Arc<V> {
    if let Some(one) = known.get(&key).and_then(Weak::upgrade) {
        return one;
    }
    known.retain(|_, one| one.strong_count() > 0);
    let one = Arc::new(new());
    known.insert(key, Arc::downgrade(&one));
    one
}

/// One of each, and none is held while the other is waited for: an owner who has all that is his is in nobody's way at a receiver of
/// others too, and a receiver that does not answer has none of what is for his others.
async fn both(first: &Arc<Semaphore>, second: &Arc<Semaphore>) -> [Option<OwnedSemaphorePermit>; 2] {
    loop {
        let one = acquire(first).await;
        if let Ok(other) = second.clone().try_acquire_owned() {
            return [one, Some(other)];
        }
        drop(one);
        let other = acquire(second).await;
        if let Ok(one) = first.clone().try_acquire_owned() {
            return [Some(one), other];
        }
    }
}

/// Nobody closes one of ours.
async fn acquire(semaphore: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    semaphore.clone().acquire_owned().await.ok()
}

impl Lane {
    fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::SeqCst)
    }

    /// The receiver has taken one. If it was down, all that wait for it are told.
    pub(crate) fn taken(&self) {
        self.is_failing.store(false, Ordering::SeqCst);
        if self.failures.swap(0, Ordering::SeqCst) >= DOWN {
            self.returns.fetch_add(1, Ordering::SeqCst);
            self.back.notify_waiters();
        }
    }

    /// The receiver has not taken one.
    pub(crate) fn failed(&self, is_late: bool) {
        if self.failures.fetch_add(1, Ordering::SeqCst) + 1 >= DOWN || is_late {
            self.is_failing.store(true, Ordering::SeqCst);
        }
    }

    /// How often it has come back by now: what [`Lane::is_back`] is asked with.
    pub(crate) fn returns(&self) -> u64 {
        self.returns.load(Ordering::SeqCst)
    }

    /// Returns when the receiver was down, and has come back since.
    pub(crate) async fn is_back(&self, since: u64) {
        let back = self.back.notified();
        tokio::pin!(back);
        // In line before the look, so that nothing is missed between the look and the wait.
        back.as_mut().enable();
        if self.returns() == since {
            back.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use bobbinet_core::AgentName;
    use futures::FutureExt;

    use super::*;

    fn of(owner: &str) -> Of {
        Of {
            tenant: Tenant::parse("t").unwrap(),
            owner: Principal::parse(owner).unwrap(),
            agent: AgentName::parse("a").unwrap(),
        }
    }

    #[tokio::test]
    async fn one_owner_of_many_receivers_that_take_their_time_leaves_the_rest_to_others() {
        let limits = Limits { webhooks_in_flight_max: 4, webhooks_in_flight_per_owner_max: 2, ..Limits::default() };
        let lanes = Lanes::new(&limits);
        let [his, hers] = ["his", "hers"].map(|owner| lanes.share(&of(owner)));
        let [slow, well] = ["http://a:1", "http://b:1"].map(|receiver| lanes.to(receiver));
        let first = (lanes.turn(&slow, &his).now_or_never(), lanes.turn(&slow, &his).now_or_never());
        assert!(first.0.is_some() && first.1.is_some() && lanes.turn(&well, &his).now_or_never().is_none());
        let mut waiting: Vec<_> = (0..20).map(|_| Box::pin(lanes.turn(&well, &his))).collect();
        assert!(waiting.iter_mut().all(|turn| turn.as_mut().now_or_never().is_none()), "two of each owner");
        // Those of his that wait at a receiver take none of its turns.
        assert!(lanes.turn(&well, &hers).now_or_never().is_some());
        drop(first);
        assert!(waiting[0].as_mut().now_or_never().is_some());
        // The same of those that are down.
        let down: Vec<_> = (0..PROBES_MAX).map(|port| lanes.to(&format!("http://c:{port}"))).collect();
        down.iter().for_each(|lane| lane.failed(true));
        let probes: Vec<_> = down.iter().filter_map(|lane| lanes.turn(lane, &his).now_or_never()).collect();
        assert_eq!(probes.len(), PROBES_PER_OWNER_MAX);
        assert!(lanes.turn(&down[PROBES_MAX - 1], &hers).now_or_never().is_some());
        assert!(Arc::ptr_eq(&lanes.share(&of("his")), &his));
    }

    #[tokio::test]
    async fn one_receiver_that_fails_takes_nothing_from_the_others() {
        let limits = Limits { webhooks_in_flight_max: 3, webhooks_in_flight_per_receiver_max: 2, ..Limits::default() };
        let lanes = Lanes::new(&limits);
        let [dead, well] = ["http://a:1", "http://b:1"].map(|receiver| lanes.to(receiver));
        let share = lanes.share(&of("o"));
        let turn = |lane: &Arc<Lane>| lanes.turn(lane, &share).now_or_never();
        let first = (turn(&dead), turn(&dead));
        assert!(first.0.is_some() && first.1.is_some() && turn(&dead).is_none(), "two to each");
        let one = turn(&well);
        assert!(one.is_some() && turn(&well).is_none(), "three in all");
        let since = dead.returns();
        dead.failed(true);
        drop(first);
        let probe = turn(&dead);
        assert!(probe.is_some() && turn(&dead).is_none(), "one at a time to one that fails");
        assert!(turn(&well).is_some(), "and it takes no turn from the rest");
        dead.taken();
        assert!(dead.is_back(since).now_or_never().is_none() && turn(&dead).is_some(), "it was late once, not down");
        assert!(Arc::ptr_eq(&lanes.to("http://a:1"), &dead));
    }

    #[tokio::test]
    async fn whoever_waits_for_a_receiver_that_was_down_hears_of_its_return() {
        let lane = Lanes::new(&Limits::default()).to("http://a:1");
        // One that fails alone, among others that are taken, is not tried with each of them.
        let since = lane.returns();
        for _ in 0..2 * DOWN {
            lane.failed(false);
            lane.taken();
        }
        assert!(lane.is_back(since).now_or_never().is_none() && !lane.is_failing());
        for _ in 0..DOWN {
            lane.failed(false);
        }
        assert!(lane.is_failing());
        let waits = lane.is_back(since);
        tokio::pin!(waits);
        assert!(waits.as_mut().now_or_never().is_none());
        lane.taken();
        assert!(waits.now_or_never().is_some() && !lane.is_failing());
        assert!(lane.is_back(since).now_or_never().is_some(), "also who comes to wait only now");
        assert!(lane.is_back(lane.returns()).now_or_never().is_none(), "but not for what is tried after it");
    }

    #[tokio::test]
    async fn large_bodies_wait_for_room_and_small_ones_do_not() {
        let lanes = Lanes::new(&Limits { webhooks_in_flight_bytes_max: 64 << 10, ..Limits::default() });
        let large = || vec![b' '; 40 << 10];
        let first = lanes.body(large).now_or_never().unwrap();
        assert!(lanes.body(large).now_or_never().is_none());
        assert!(lanes.body(|| vec![b' '; 100]).now_or_never().is_some());
        drop(first);
        assert!(lanes.body(large).now_or_never().is_some());
        // One that is larger than all the room has all of it.
        assert_eq!(lanes.body(|| vec![b' '; 1 << 20]).now_or_never().unwrap().0.len(), 1 << 20);
    }
}
