//! Who waits for the disk when something is read: threads that are there for it, never those that serve everybody.
//!
//! What the index knows is answered where it is asked. All else is in sled, which has it in memory or reads it from the
//! disk, and does not say beforehand. A sick or busy disk takes seconds for that.

use std::sync::Arc;

use tokio::{sync::Semaphore, task::spawn_blocking};

use super::Shared;
use crate::StoreError;

/// How many read at the same time. A disk does not get quicker by more, and each is a thread while it reads.
const READERS_MAX: usize = 16;

/// The places of those who read.
#[derive(Debug)]
pub(super) struct Readers(Arc<Semaphore>);

impl Default for Readers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(READERS_MAX)))
    }
}

impl Readers {
    /// Reads on another thread, when there is a place. Dropped while it waits, nothing is read.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        shared: Arc<Shared>,
        read: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let unavailable =
            |error: &dyn std::error::Error| StoreError::Unavailable(format!("nothing could be read: {error}"));
        let place = self.0.clone().acquire_owned().await.map_err(|error| unavailable(&error))?;
        let reading = spawn_blocking(move || {
            // The place is taken until it is read, also when nobody waits for it any more.
            let _place = place;
            read(&shared)
        });
        reading.await.map_err(|error| unavailable(&error))?
    }
}
