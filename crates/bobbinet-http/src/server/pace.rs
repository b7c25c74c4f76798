//! Readers of HTTP/2 that take nothing: their connection goes on while one stream of it stands still, so no socket tells.
//!
//! hyper asks for the next piece of a body when the reader has room for it. So a body that was given a piece, and is not asked
//! for the next one, waits for its reader.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep};

/// The bodies of one connection that wait for their readers, and since when.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    since: BTreeMap<u64, Instant>,
}

/// A body whose reader is watched.
#[derive(Debug)]
pub(super) struct Paced<B> {
    body: B,
    pace: Arc<Pace>,
    number: u64,
}

impl Pace {
    /// Watches over a body's reader. Until the first piece is asked for, it is the reader that is waited for.
    pub(super) fn watch<B>(self: &Arc<Self>, body: B) -> Paced<B> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = waiting.next;
        waiting.next += 1;
        waiting.since.insert(number, Instant::now());
        Paced { body, pace: self.clone(), number }
    }

    /// Returns when a reader has taken nothing for so long; up to half of it later.
    pub(super) async fn stalled(&self, limit: Duration) {
        loop {
            sleep(limit / 2).await;
            let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.since.values().any(|since| since.elapsed() >= limit) {
                return;
            }
        }
    }

    fn set(&self, number: u64, since: Option<Instant>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match since {
            Some(since) => drop(waiting.since.insert(number, since)),
            None => drop(waiting.since.remove(&number)),
        }
    }
}

impl<B: Body + Unpin> Body for Paced<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        this.pace.set(this.number, None);
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(_))) = polled {
            this.pace.set(this.number, Some(Instant::now()));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Paced<B> {
    fn drop(&mut self) {
        self.pace.set(self.number, None);
    }
}
