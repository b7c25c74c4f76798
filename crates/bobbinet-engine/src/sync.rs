//! The lock and the hints of what many share about a live task. In this crate's own tests it is shuttle's, so that they choose who goes
//! on where; everywhere else they are the standard library's and tokio's.

#[cfg(test)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(test))]
pub(crate) use std::sync::{Mutex, MutexGuard};
#[cfg(not(test))]
pub(crate) use tokio::sync::Notify;

/// tokio's, and another thread may go on before each of its steps.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Notify(tokio::sync::Notify);

#[cfg(test)]
impl Notify {
    pub(crate) fn new() -> Self {
        Self(tokio::sync::Notify::new())
    }

    pub(crate) fn notified(&self) -> tokio::sync::futures::Notified<'_> {
        shuttle::thread::yield_now();
        self.0.notified()
    }

    pub(crate) fn notify_waiters(&self) {
        shuttle::thread::yield_now();
        self.0.notify_waiters();
    }
}
