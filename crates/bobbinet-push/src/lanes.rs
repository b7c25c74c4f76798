//! How many notifications are on their way, in all and to each receiver: one that does not answer holds up no other.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use bobbinet_core::Limits;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Notifications on their way to receivers that did not take the last one. What answers is never behind them.
const PROBES_MAX: usize = 32;

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
    /// Whether it did not take the last one: then one at a time is tried.
    is_failing: AtomicBool,
    probe: Arc<Semaphore>,
    /// Told when it takes notifications again.
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
            is_failing: AtomicBool::new(false),
            probe: semaphore(1),
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
        self.is_failing.load(Ordering::Relaxed)
    }

    /// The receiver has taken one.
    pub(crate) fn taken(&self) {
        if self.is_failing.swap(false, Ordering::Relaxed) {
            self.back.notify_waiters();
        }
    }

    /// The receiver has not taken one.
    pub(crate) fn failed(&self) {
        self.is_failing.store(true, Ordering::Relaxed);
    }

    /// Returns when the receiver takes notifications again after it did not.
    pub(crate) async fn is_back(&self) {
        self.back.notified().await;
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
        dead.failed();
        drop(first);
        let probe = turn(&dead);
        assert!(probe.is_some() && turn(&dead).is_none(), "one at a time to one that fails");
        assert!(turn(&well).is_some(), "and it takes no turn from the rest");
        let back = dead.is_back();
        tokio::pin!(back);
        assert!(back.as_mut().now_or_never().is_none());
        dead.taken();
        assert!(back.now_or_never().is_some() && turn(&dead).is_some());
        assert!(Arc::ptr_eq(&lanes.to("http://a:1"), &dead));
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
