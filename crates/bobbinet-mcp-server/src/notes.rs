//! What somebody is to be told who may not listen just now: each message once, however often it is said.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bobbinet_core::Json;
use tokio::sync::Notify;

/// Messages that wait to be heard. There are as many as there are different ones.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    waiting: Mutex<VecDeque<Json>>,
    changed: Notify,
    /// How many hear them.
    hearers: AtomicUsize,
}

/// One who hears. Dropped, he does not any more.
pub(crate) struct Hearer(Arc<Notes>);

impl Drop for Hearer {
    fn drop(&mut self) {
        self.0.hearers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Notes {
    pub(crate) fn push(&self, message: Json) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.contains(&message) {
            waiting.push_back(message);
        }
        drop(waiting);
        self.changed.notify_one();
    }

    /// Whether anybody hears them just now.
    pub(crate) fn is_heard(&self) -> bool {
        self.hearers.load(Ordering::Relaxed) > 0
    }

    /// Somebody begins to hear them.
    pub(crate) fn hear(self: &Arc<Self>) -> Hearer {
        self.hearers.fetch_add(1, Ordering::Relaxed);
        Hearer(self.clone())
    }

    /// The next of them. Safe to drop.
    pub(crate) async fn next(&self) -> Json {
        loop {
            let next = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match next {
                Some(next) => return next,
                None => self.changed.notified().await,
            }
        }
    }
}
