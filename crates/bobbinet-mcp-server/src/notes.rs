//! What somebody is to be told who may not listen just now: each message once, however often it is said.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use bobbinet_core::Json;
use tokio::sync::Notify;

/// Messages that wait to be heard. There are as many as there are different ones.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    waiting: Mutex<VecDeque<Json>>,
    changed: Notify,
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
