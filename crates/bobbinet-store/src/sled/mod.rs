//! The embedded store: one process, one folder, on sled.
//!
//! sled keeps ordered keys; everything that makes a store of it is here. One thread writes, in groups that are durable before
//! anybody sees them; reads go by an index in memory that knows only what is durable. What a step did is its *head*, what it
//! said its *body*; both are packed, many to a key. Damage is found by checksums of our own and by a watermark beside the data.
//! Begin with [`keys`] and [`committer`].
//!
//! Opening and healing:
//! - [`options`]: how a store is opened, and why it may not be.
//! - [`open`]: the order in which it happens.
//! - [`heal`]: the lock, and what is put right before sled looks.
//! - [`scan`]: reads sled's data file for what a power cut has torn.
//! - [`watermark`]: the `MARK` file: which store this is, and how far its log must reach.
//! - [`folder`]: folders and files that a power cut does not undo.
//! - [`fault`]: sled's errors, in words.
//!
//! What is written, and how:
//! - [`keys`]: the keys of the one tree.
//! - [`codec`]: the values, each with a checksum.
//! - [`chunks`]: many bodies packed under one key.
//! - [`stamp`]: which group wrote something, to be recognised without sled.
//! - `golden`: the format on the disk, held by a test.
//!
//! Writing:
//! - [`committer`]: the one thread that writes.
//! - [`group`]: operations decided in order, written as one.
//! - [`blobs`]: large values, in files named by what they hold.
//! - [`key_counts`]: how many idempotency keys there are, in all and of each scope.
//! - [`shared`]: what the committer and the readers have in common.
//!
//! Keeping place in memory:
//! - [`index`]: every stream: its version, where its bodies lie, how it is listed.
//! - [`index_entry`]: one stream of it, in as little room as it goes.
//! - [`stream_slots`]: the entries by number.
//! - [`interner`]: texts that many streams share, kept once.
//! - [`ranked`]: a sorted list that knows how many come before.
//! - [`orders`]: the four orders in which streams are listed.
//!
//! Reading:
//! - [`list`]: answers a query from the index alone.
//! - [`readers`]: the threads that wait for the disk.
//! - [`whole`]: what a caller is given, its large values read from their files.
//! - [`read`]: one stream, or several, as the index says that they are there.
//! - [`bodies`]: the records of steps, out of their chunks.
//! - [`tail`]: which streams grew, from the heads in their order.
//! - [`read_error`]: damage, or a stream that went meanwhile.
//! - [`cache`]: keeps sled's memory near the size that it was given.
//!
//! Looking after:
//! - [`watermark_writer`]: writes the watermark, and looks whether the files are still there.
//! - [`sweep`]: reclaims what forgotten and trimmed streams leave behind.
//! - [`mod@check`]: reads everything and reports what is wrong.
//! - [`mod@export`]: the whole store as lines of JSON.
//! - [`mod@salvage`]: the same of a damaged one, as far as it can be read.

mod blobs;
mod bodies;
mod cache;
mod check;
mod chunks;
mod codec;
mod committer;
mod export;
mod fault;
pub(crate) mod folder;
#[cfg(test)]
mod golden;
mod group;
mod heal;
mod index;
mod index_entry;
mod interner;
mod key_counts;
mod keys;
mod list;
mod open;
mod options;
mod orders;
mod ranked;
mod read;
mod read_error;
mod readers;
mod salvage;
mod scan;
mod shared;
mod stamp;
mod stream_slots;
mod sweep;
mod tail;
mod watermark;
mod watermark_writer;
mod whole;

use std::{io, sync::Arc, thread::JoinHandle};

use async_trait::async_trait;
use bobbinet_core::{StreamId, Timestamp};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::{
    Cell, Census, Commit, CommitError, Cursor, INLINE_MAX, KEY_LENGTH_MAX, Key, Listing, Loaded, Page, Query, Record,
    Scope, Store, StoreError, Summary, Tail, Version,
};
use blobs::HeldBlob;
use codec::{StoredRecord, Value};
use committer::Operation;
use group::{Prepared, PreparedStep};
use index_entry::IndexEntry;
use readers::Readers;

pub use check::{CheckReport, check};
pub use export::{ExportCounts, ExportError, export};
pub use folder::make as make_folder;
pub use options::{CACHE_BYTES, Durability, FREE_SPACE_MIN, OpenError, STORE_FOLDER, SledOptions};
pub use salvage::salvage;
use shared::Shared;
pub(crate) use shared::free_space;
pub use watermark::TornTail;

/// Streams in a folder.
///
/// Dropping it waits until all that was asked for is answered, writes the watermark and frees the folder.
#[derive(Debug)]
pub struct SledStore {
    shared: Arc<Shared>,
    readers: Readers,
    /// `None` only while it is being dropped.
    operations: Option<mpsc::Sender<Operation>>,
    committer: Option<JoinHandle<()>>,
    watermark_writer: Option<(std::sync::mpsc::Sender<()>, JoinHandle<()>)>,
}

impl SledStore {
    /// Opens the store in a folder, or makes one. Blocks: it reads what the index must know of every stream.
    ///
    /// # Errors
    /// [`OpenError`] says what to do. A folder whose data is not what it was is refused, never opened as far as it goes.
    pub fn open(options: SledOptions) -> Result<Self, OpenError> {
        open::open(options)
    }

    /// Why nothing will ever be accepted again by this process, if that is so; a disk that is full may get room again.
    pub fn fault(&self) -> Option<&str> {
        self.shared.fault.get().map(String::as_str)
    }

    async fn ask<T>(
        &self,
        operation: impl FnOnce(oneshot::Sender<T>) -> Operation,
        unavailable: impl Fn(String) -> T,
    ) -> T {
        let (answer, answered) = oneshot::channel();
        let operations = self.operations.as_ref().expect("a store that is asked is not being dropped");
        if operations.send(operation(answer)).await.is_err() {
            return unavailable(self.shared.fault_text());
        }
        match answered.await {
            Ok(result) => result,
            Err(_) => unavailable(self.shared.fault_text()),
        }
    }

    /// Writes what is too large for the log, so that the commit can name it.
    async fn prepare(&self, commit: Commit) -> Result<Prepared, CommitError> {
        let is_large = |value: &Bytes| value.len() > INLINE_MAX;
        let has_large = commit.steps.iter().any(|step| {
            step.records.iter().any(|record| is_large(&record.body))
                || step.cells.iter().any(|(_, value)| value.as_ref().is_some_and(is_large))
        });
        if !has_large {
            let prepared = prepare(commit, |value| Ok(Value::Inline(value)), Vec::new());
            return prepared.map_err(|error| CommitError::Unavailable(error.to_string()));
        }
        if self.shared.is_full() {
            return Err(CommitError::Unavailable(self.shared.full_text()));
        }
        let blobs = self.shared.blobs.clone();
        let write = move || {
            let mut held: Vec<HeldBlob> = Vec::new();
            let value = |value: Bytes| {
                if value.len() <= INLINE_MAX {
                    return Ok(Value::Inline(value));
                }
                let blob = blobs.write(&value)?;
                let name = blob.name;
                held.push(blob);
                Ok(Value::Blob(name))
            };
            prepare(commit, value, Vec::new()).map(|prepared| Prepared { held, ..prepared })
        };
        match tokio::task::spawn_blocking(write).await {
            Ok(Ok(prepared)) => Ok(prepared),
            Ok(Err(error)) => Err(CommitError::Unavailable(format!("a blob could not be written: {error}"))),
            Err(error) => Err(CommitError::Unavailable(format!("a blob could not be written: {error}"))),
        }
    }

    /// Reads something that may lie on the disk only, on a thread that may wait for it.
    async fn read_disk<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.read(self.shared.clone(), read).await
    }
}

#[async_trait]
impl Store for SledStore {
    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        commit.check()?;
        let prepared = self.prepare(commit).await?;
        self.ask(|answer| Operation::Commit(prepared, answer), |text| Err(CommitError::Unavailable(text))).await
    }

    /// The folder's lock keeps every other process out.
    fn is_shared(&self) -> bool {
        false
    }

    async fn summary(&self, id: &StreamId) -> Result<Option<(Version, Summary)>, StoreError> {
        let index = self.shared.index();
        let entry = index.get(id);
        Ok(entry.and_then(|entry| Some((codec::version(entry.version), index.summary(entry)?))))
    }

    async fn load(&self, id: &StreamId) -> Result<Option<Loaded>, StoreError> {
        if self.shared.index().get(id).is_none() {
            return Ok(None);
        }
        let id = id.clone();
        self.read_disk(move |shared| whole::load(shared, &id)).await
    }

    async fn load_all(&self, ids: &[StreamId], bytes_max: usize) -> Vec<Result<Option<Loaded>, StoreError>> {
        if ids.is_empty() {
            return Vec::new();
        }
        let (count, ids) = (ids.len(), ids.to_vec());
        let read = self.read_disk(move |shared| Ok(whole::load_all(shared, &ids, bytes_max))).await;
        read.unwrap_or_else(|error| vec![Err(error); count])
    }

    async fn read(&self, id: &StreamId, after: Version, limit: usize) -> Result<Page, StoreError> {
        let is_empty = |entry: &IndexEntry| codec::version(entry.version) <= after;
        if limit == 0 || self.shared.index().get(id).is_none_or(is_empty) {
            return Ok(Page::Records(Vec::new()));
        }
        let id = id.clone();
        self.read_disk(move |shared| whole::page(shared, &id, after, limit)).await
    }

    async fn cells(&self, id: &StreamId, prefix: &Key, at: Version) -> Result<Vec<Cell>, StoreError> {
        if self.shared.index().get(id).is_none_or(|entry| !entry.cells) {
            return Ok(Vec::new());
        }
        let (id, prefix) = (id.clone(), prefix.clone());
        self.read_disk(move |shared| whole::cells(shared, &id, &prefix, at)).await
    }

    async fn list(&self, query: &Query) -> Result<Listing, StoreError> {
        list::list(&self.shared.index(), query)
    }

    async fn census(&self) -> Result<Vec<Census>, StoreError> {
        Ok(list::census(&self.shared.index()))
    }

    async fn due(&self, before: Timestamp, limit: usize) -> Result<Vec<(StreamId, Summary)>, StoreError> {
        let index = self.shared.index();
        let summary = |entry: &IndexEntry| index.summary(entry).expect("what is due has a summary");
        Ok(index.due(before).take(limit).map(|entry| (entry.id.clone(), summary(entry))).collect())
    }

    async fn tail(&self, scope: &Scope, after: Cursor, limit: usize) -> Result<Tail, StoreError> {
        if limit == 0 || after.0 >= self.shared.index().last {
            return Ok(Tail { entries: Vec::new(), next: after });
        }
        let scope = scope.clone();
        self.read_disk(move |shared| tail::tail(shared, &scope, after, limit)).await
    }

    async fn changed(&self, id: &StreamId, after: Version) {
        let grown = || self.shared.index().get(id).is_some_and(|entry| codec::version(entry.version) > after);
        self.shared.wakes.wait(id, grown).await;
    }

    async fn mark(&self, id: &StreamId, reader: &str, at: Version) -> Result<(), StoreError> {
        if reader.len() > KEY_LENGTH_MAX {
            return Err(StoreError::Unavailable("the reader's name is too long".to_owned()));
        }
        let operation = |answer| Operation::Mark(id.clone(), reader.to_owned(), at, answer);
        self.ask(operation, |text| Err(StoreError::Unavailable(text))).await
    }

    async fn marks(&self, id: &StreamId) -> Result<Vec<(String, Version)>, StoreError> {
        if self.shared.index().get(id).is_none() {
            return Ok(Vec::new());
        }
        let id = id.clone();
        self.read_disk(move |shared| read::marks(shared, &id)).await
    }

    async fn trim(&self, id: &StreamId, before: Version) -> Result<(), StoreError> {
        let operation = |answer| Operation::Trim(id.clone(), before, answer);
        self.ask(operation, |text| Err(StoreError::Unavailable(text))).await
    }

    async fn forget(&self, id: &StreamId) -> Result<(), StoreError> {
        self.ask(|answer| Operation::Forget(id.clone(), answer), |text| Err(StoreError::Unavailable(text))).await
    }

    fn health(&self) -> Result<(), String> {
        match self.shared.fault.get() {
            Some(fault) => Err(fault.clone()),
            None if self.shared.is_full() => Err(self.shared.full_text()),
            None => Ok(()),
        }
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        self.operations = None;
        if let Some(committer) = self.committer.take() {
            // A panic in there has been noted as the store's fault.
            let _ = committer.join();
        }
        if let Some((stop, writer)) = self.watermark_writer.take() {
            drop(stop);
            let _ = writer.join();
        }
    }
}

fn prepare(
    commit: Commit,
    mut value: impl FnMut(Bytes) -> io::Result<Value>,
    held: Vec<HeldBlob>,
) -> io::Result<Prepared> {
    let mut steps = Vec::with_capacity(commit.steps.len());
    for step in commit.steps {
        let mut records = Vec::with_capacity(step.records.len());
        for Record { format, body } in step.records {
            records.push(StoredRecord { format, value: value(body)? });
        }
        let mut cells = Vec::with_capacity(step.cells.len());
        for (key, cell) in step.cells {
            cells.push((key, cell.map(&mut value).transpose()?));
        }
        steps.push(PreparedStep {
            stream: step.stream,
            expected: step.expected,
            records,
            cells,
            summary: step.summary.map(Arc::new),
        });
    }
    Ok(Prepared { steps, idempotency: commit.idempotency, held })
}
