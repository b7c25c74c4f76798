//! A store that takes its time to read a log, or does not answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_core::{StreamId, Timestamp};
use bobbinet_store::{
    Cell, Census, Commit, CommitError, Cursor, Key, Listing, Loaded, Page, Query, Scope, Store, StoreError, Summary,
    Tail, Version,
};

/// A store of which each read takes so long.
#[derive(Debug)]
pub(crate) struct Slow(pub(crate) Arc<dyn Store>, pub(crate) Duration);

/// A store that keeps what is committed, but does not say so, keeps no marks and reads nothing, while it is down.
#[derive(Debug)]
pub(crate) struct Down {
    store: Arc<dyn Store>,
    is_down: AtomicBool,
    /// How often a whole stream was to be read while it was down.
    loads: AtomicUsize,
}

#[async_trait]
impl Store for Slow {
    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        self.0.commit(commit).await
    }

    fn is_shared(&self) -> bool {
        self.0.is_shared()
    }

    async fn summary(&self, id: &StreamId) -> Result<Option<(Version, Summary)>, StoreError> {
        self.0.summary(id).await
    }

    async fn load(&self, id: &StreamId) -> Result<Option<Loaded>, StoreError> {
        self.0.load(id).await
    }

    async fn read(&self, id: &StreamId, after: Version, limit: usize) -> Result<Page, StoreError> {
        tokio::time::sleep(self.1).await;
        self.0.read(id, after, limit).await
    }

    async fn cells(&self, id: &StreamId, prefix: &Key, at: Version) -> Result<Vec<Cell>, StoreError> {
        self.0.cells(id, prefix, at).await
    }

    async fn list(&self, query: &Query) -> Result<Listing, StoreError> {
        self.0.list(query).await
    }

    async fn census(&self) -> Result<Vec<Census>, StoreError> {
        self.0.census().await
    }

    async fn due(&self, before: Timestamp, limit: usize) -> Result<Vec<(StreamId, Summary)>, StoreError> {
        self.0.due(before, limit).await
    }

    async fn tail(&self, scope: &Scope, after: Cursor, limit: usize) -> Result<Tail, StoreError> {
        self.0.tail(scope, after, limit).await
    }

    async fn changed(&self, id: &StreamId, after: Version) {
        self.0.changed(id, after).await;
    }

    async fn mark(&self, id: &StreamId, reader: &str, at: Version) -> Result<(), StoreError> {
        self.0.mark(id, reader, at).await
    }

    async fn marks(&self, id: &StreamId) -> Result<Vec<(String, Version)>, StoreError> {
        self.0.marks(id).await
    }

    async fn trim(&self, id: &StreamId, before: Version) -> Result<(), StoreError> {
        self.0.trim(id, before).await
    }

    async fn forget(&self, id: &StreamId) -> Result<(), StoreError> {
        self.0.forget(id).await
    }

    fn health(&self) -> Result<(), String> {
        self.0.health()
    }
}

impl Down {
    pub(crate) fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { store, is_down: AtomicBool::new(false), loads: AtomicUsize::new(0) })
    }

    pub(crate) fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    /// How often a whole stream was to be read in vain since this was asked last.
    pub(crate) fn loads(&self) -> usize {
        self.loads.swap(0, Ordering::SeqCst)
    }

    fn answers(&self) -> Result<(), StoreError> {
        if !self.is_down.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(StoreError::Unavailable("it is down".to_owned()))
    }
}

#[async_trait]
impl Store for Down {
    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        self.store.commit(commit).await?;
        self.answers().map_err(|_| CommitError::Unavailable("it is down".to_owned()))
    }

    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    async fn summary(&self, id: &StreamId) -> Result<Option<(Version, Summary)>, StoreError> {
        self.answers()?;
        self.store.summary(id).await
    }

    async fn load(&self, id: &StreamId) -> Result<Option<Loaded>, StoreError> {
        if let Err(error) = self.answers() {
            self.loads.fetch_add(1, Ordering::SeqCst);
            return Err(error);
        }
        self.store.load(id).await
    }

    async fn read(&self, id: &StreamId, after: Version, limit: usize) -> Result<Page, StoreError> {
        self.answers()?;
        self.store.read(id, after, limit).await
    }

    async fn cells(&self, id: &StreamId, prefix: &Key, at: Version) -> Result<Vec<Cell>, StoreError> {
        self.store.cells(id, prefix, at).await
    }

    async fn list(&self, query: &Query) -> Result<Listing, StoreError> {
        self.store.list(query).await
    }

    async fn census(&self) -> Result<Vec<Census>, StoreError> {
        self.store.census().await
    }

    async fn due(&self, before: Timestamp, limit: usize) -> Result<Vec<(StreamId, Summary)>, StoreError> {
        self.store.due(before, limit).await
    }

    async fn tail(&self, scope: &Scope, after: Cursor, limit: usize) -> Result<Tail, StoreError> {
        self.store.tail(scope, after, limit).await
    }

    async fn changed(&self, id: &StreamId, after: Version) {
        self.store.changed(id, after).await;
    }

    async fn mark(&self, id: &StreamId, reader: &str, at: Version) -> Result<(), StoreError> {
        self.answers()?;
        self.store.mark(id, reader, at).await
    }

    async fn marks(&self, id: &StreamId) -> Result<Vec<(String, Version)>, StoreError> {
        self.answers()?;
        self.store.marks(id).await
    }

    async fn trim(&self, id: &StreamId, before: Version) -> Result<(), StoreError> {
        self.store.trim(id, before).await
    }

    async fn forget(&self, id: &StreamId) -> Result<(), StoreError> {
        self.store.forget(id).await
    }

    fn health(&self) -> Result<(), String> {
        self.store.health()
    }
}
