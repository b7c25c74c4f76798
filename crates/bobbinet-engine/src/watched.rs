//! Futures that nobody may lose sight of: one that panics is said and counted, and never just gone.

use std::{
    any::Any,
    future::Future,
    panic::AssertUnwindSafe,
    sync::atomic::{AtomicU64, Ordering},
};

use futures::FutureExt;
use tracing::error;

/// How many futures of this process have panicked, each of them told in the log.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// How many [`watched`] futures of this process have panicked.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// The future, or `None` where it panics: that is logged under `name` and counted. For whatever is spawned on a tracker, which
/// drops what its futures come to. (No `async fn`: that would keep room for the future twice.)
pub fn watched<F: Future>(name: &'static str, future: F) -> impl Future<Output = Option<F::Output>> {
    AssertUnwindSafe(future).catch_unwind().map(move |ended| match ended {
        Ok(output) => Some(output),
        Err(panic) => {
            let panics = PANICS.fetch_add(1, Ordering::Relaxed) + 1;
            error!(name, panics, why = why(panic.as_ref()), "a part of this node failed inside; please report it");
            None
        }
    })
}

/// What a panic said.
fn why(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it did not say why")
}
