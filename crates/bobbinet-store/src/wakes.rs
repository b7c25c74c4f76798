//! Who waits for which stream: hints without content.
//!
//! A stream that nobody follows costs nothing, and a hint while nobody follows anything is one atomic load.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bobbinet_core::StreamId;
use tokio::sync::Notify;

use crate::WAKE_MAX;

/// The followers of all streams of one store.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    followed: Mutex<BTreeMap<StreamId, Followed>>,
    /// How many streams are followed, so that a hint to nobody takes no lock.
    count: AtomicUsize,
}

#[derive(Debug)]
struct Followed {
    notify: Arc<Notify>,
    followers: usize,
}

impl Wakes {
    /// Returns at once if `grown` says so, else after the next hint for the stream, else after [`WAKE_MAX`].
    ///
    /// `grown` is asked after this follower is known, so that no hint between asking and waiting is lost.
    pub(crate) async fn wait(&self, stream: &StreamId, grown: impl FnOnce() -> bool) {
        let follower = WakeGuard::enter(self, stream);
        let mut hinted = std::pin::pin!(follower.notify.notified());
        hinted.as_mut().enable();
        if grown() {
            return;
        }
        // The hint was given, or the time is up: the caller looks at the log in either case.
        let _ = tokio::time::timeout(WAKE_MAX, hinted).await;
    }

    /// Tells whoever follows one of these streams to look again.
    pub(crate) fn hint<'a>(&self, streams: impl IntoIterator<Item = &'a StreamId>) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let followed = self.lock();
        for stream in streams {
            if let Some(entry) = followed.get(stream) {
                entry.notify.notify_waiters();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<StreamId, Followed>> {
        // Nothing in here panics half-way through a change.
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One wait: the stream stays in the registry for as long as this lives.
struct WakeGuard<'a> {
    wakes: &'a Wakes,
    stream: &'a StreamId,
    notify: Arc<Notify>,
}

impl<'a> WakeGuard<'a> {
    fn enter(wakes: &'a Wakes, stream: &'a StreamId) -> Self {
        let mut followed = wakes.lock();
        let entry = followed
            .entry(stream.clone())
            .or_insert_with(|| Followed { notify: Arc::new(Notify::new()), followers: 0 });
        entry.followers += 1;
        let notify = entry.notify.clone();
        wakes.count.store(followed.len(), Ordering::SeqCst);
        Self { wakes, stream, notify }
    }
}

impl Drop for WakeGuard<'_> {
    fn drop(&mut self) {
        let mut followed = self.wakes.lock();
        let entry = followed.get_mut(self.stream).expect("a follower that has entered is counted until it leaves");
        entry.followers -= 1;
        if entry.followers == 0 {
            followed.remove(self.stream);
        }
        self.wakes.count.store(followed.len(), Ordering::SeqCst);
    }
}
