//! The store of a world: it survives every process, is slow, and now and then does not say whether it has kept something.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_core::{StreamId, Timestamp};
use bobbinet_store::{
    Cell, Census, Commit, CommitError, Cursor, Key, Listing, Loaded, MemoryStore, Page, Query, Scope, Store,
    StoreError, Summary, Tail, Version,
};
use fastrand::Rng;

/// A bug that is put in, to see it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    /// None.
    None,
    /// Of a commit of several streams, only the first is kept, now and then.
    ChildrenLost,
    /// What came to a run is left out of its log, now and then.
    RecordsLost,
    /// A keyed tool forgets its keys when its process dies.
    KeysForgotten,
}

#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) memory: MemoryStore,
    pub(crate) chance: Arc<Mutex<Rng>>,
    pub(crate) plant: Plant,
    /// Whether commits fail now and then.
    pub(crate) is_moody: std::sync::atomic::AtomicBool,
}

impl Disk {
    fn strikes(&self, percent: u8) -> bool {
        self.chance.lock().unwrap().u8(0..100) < percent
    }

    async fn takes_its_time(&self) {
        let millis = self.chance.lock().unwrap().u64(0..4);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    fn spoil(&self, mut commit: Commit) -> Commit {
        match self.plant {
            Plant::None | Plant::KeysForgotten => {}
            Plant::ChildrenLost => {
                if commit.steps.len() > 1 && self.strikes(20) {
                    commit.steps.truncate(1);
                }
            }
            Plant::RecordsLost => {
                let is_record = |body: &[u8]| String::from_utf8_lossy(body).contains("\"Recorded\"");
                for step in &mut commit.steps {
                    if step.records.iter().any(|record| is_record(&record.body)) && self.strikes(20) {
                        step.records.retain(|record| !is_record(&record.body));
                    }
                }
            }
        }
        commit
    }
}

#[async_trait]
impl Store for Disk {
    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        self.takes_its_time().await;
        let is_moody = self.is_moody.load(std::sync::atomic::Ordering::SeqCst);
        if is_moody && self.strikes(2) {
            return Err(CommitError::Unavailable("it is away".to_owned()));
        }
        self.memory.commit(self.spoil(commit)).await?;
        self.takes_its_time().await;
        match is_moody && self.strikes(2) {
            true => Err(CommitError::Unavailable("it does not say".to_owned())),
            false => Ok(()),
        }
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn summary(&self, id: &StreamId) -> Result<Option<(Version, Summary)>, StoreError> {
        self.memory.summary(id).await
    }

    async fn load(&self, id: &StreamId) -> Result<Option<Loaded>, StoreError> {
        self.takes_its_time().await;
        self.memory.load(id).await
    }

    async fn read(&self, id: &StreamId, after: Version, limit: usize) -> Result<Page, StoreError> {
        self.memory.read(id, after, limit).await
    }

    async fn cells(&self, id: &StreamId, prefix: &Key, at: Version) -> Result<Vec<Cell>, StoreError> {
        self.memory.cells(id, prefix, at).await
    }

    async fn list(&self, query: &Query) -> Result<Listing, StoreError> {
        self.memory.list(query).await
    }

    async fn census(&self) -> Result<Vec<Census>, StoreError> {
        self.memory.census().await
    }

    async fn due(&self, before: Timestamp, limit: usize) -> Result<Vec<(StreamId, Summary)>, StoreError> {
        self.memory.due(before, limit).await
    }

    async fn tail(&self, scope: &Scope, after: Cursor, limit: usize) -> Result<Tail, StoreError> {
        self.memory.tail(scope, after, limit).await
    }

    async fn changed(&self, id: &StreamId, after: Version) {
        self.memory.changed(id, after).await;
    }

    async fn mark(&self, id: &StreamId, reader: &str, at: Version) -> Result<(), StoreError> {
        self.memory.mark(id, reader, at).await
    }

    async fn marks(&self, id: &StreamId) -> Result<Vec<(String, Version)>, StoreError> {
        self.memory.marks(id).await
    }

    async fn trim(&self, id: &StreamId, before: Version) -> Result<(), StoreError> {
        self.memory.trim(id, before).await
    }

    async fn forget(&self, id: &StreamId) -> Result<(), StoreError> {
        self.memory.forget(id).await
    }

    fn health(&self) -> Result<(), String> {
        Ok(())
    }
}
