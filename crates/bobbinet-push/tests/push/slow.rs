//! A store that takes its time to read a log.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bobbinet_core::{StreamId, Timestamp};
use bobbinet_store::{
    Cell, Census, Commit, CommitError, Cursor, Key, Listing, Loaded, Page, Query, Scope, Store, StoreError, Summary,
    Tail, Version,
};

/// A store of which each read takes so long.
#[derive(Debug)]
pub(crate) struct Slow(pub(crate) Arc<dyn Store>, pub(crate) Duration);

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
