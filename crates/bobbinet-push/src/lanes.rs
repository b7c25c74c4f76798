//! How many notifications are on their way, in all and to each receiver: one that does not answer holds up no other.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use bobbinet_core::Limits;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Notifications on their way to receivers that did not take the last one. What answers is never behind them.
const PROBES_MAX: usize = 32;

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
    per_receiver: usize,
    receivers: Mutex<BTreeMap<String, Weak<Lane>>>,
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
    _turn: Option<OwnedSemaphorePermit>,
    _probe: Option<OwnedSemaphorePermit>,
    _all: Option<OwnedSemaphorePermit>,
}

impl Lanes {
    pub(crate) fn new(limits: &Limits) -> Self {
        let semaphore = |max: usize| Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS)));
        let pieces = (limits.webhooks_in_flight_bytes_max / PIECE).clamp(1, u32::MAX as usize >> 4);
        Self {
            all: semaphore(limits.webhooks_in_flight_max),
            probes: semaphore(PROBES_MAX),
            bytes: semaphore(pieces),
            pieces_max: u32::try_from(pieces).unwrap_or(u32::MAX),
            per_receiver: limits.webhooks_in_flight_per_receiver_max,
            receivers: Mutex::default(),
        }
    }

    /// The way to a receiver: the same for all who have something for it.
    pub(crate) fn to(&self, receiver: &str) -> Arc<Lane> {
        let mut receivers = self.receivers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = receivers.get(receiver).and_then(Weak::upgrade) {
            return lane;
        }
        receivers.retain(|_, lane| lane.strong_count() > 0);
        let semaphore = |max: usize| Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS)));
        let lane = Arc::new(Lane {
            turns: semaphore(self.per_receiver),
            failures: AtomicU32::new(0),
            is_failing: AtomicBool::new(false),
            probe: semaphore(1),
            returns: AtomicU64::new(0),
            back: Notify::new(),
        });
        receivers.insert(receiver.to_owned(), Arc::downgrade(&lane));
        lane
    }

    /// Waits until one more may be on its way to this receiver.
    pub(crate) async fn turn(&self, lane: &Lane) -> Turn {
        loop {
            if lane.is_failing() {
                let probe = acquire(&lane.probe).await;
                // It may have come back meanwhile.
                if lane.is_failing() {
                    return Turn { _turn: None, _probe: probe, _all: acquire(&self.probes).await };
                }
            }
            let turn = acquire(&lane.turns).await;
            let all = if lane.is_failing() { None } else { acquire(&self.all).await };
            // Whoever has waited behind those that it did not take is not to try as they did.
            if !lane.is_failing() {
                return Turn { _turn: turn, _probe: None, _all: all };
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
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_receiver_that_fails_takes_nothing_from_the_others() {
        let limits = Limits { webhooks_in_flight_max: 3, webhooks_in_flight_per_receiver_max: 2, ..Limits::default() };
        let lanes = Lanes::new(&limits);
        let [dead, well] = ["http://a:1", "http://b:1"].map(|receiver| lanes.to(receiver));
        let turn = |lane: &Arc<Lane>| lanes.turn(lane).now_or_never();
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
