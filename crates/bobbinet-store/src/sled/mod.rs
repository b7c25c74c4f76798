//! The embedded store: one process, one folder, on sled.
//!
//! sled keeps ordered keys; everything that makes a store of it is here. One thread writes ([`committer`]), in groups
//! that are durable before anybody sees them; reads go by an index in memory ([`index`]) that knows only what is
//! durable. What a step did is its *head*, what it said its *body* ([`keys`]); both are packed, many to a key
//! ([`chunks`]). Damage is found by checksums of our own and by a mark beside the data ([`mark_file`]).

mod blobs;
mod bodies;
mod cache;
mod check;
mod chunks;
mod codec;
mod committer;
mod entry;
mod export;
mod group;
mod heal;
mod index;
mod key_counts;
mod keys;
mod list;
mod mark_file;
mod names;
mod open;
mod options;
mod orders;
mod ranked;
mod read;
mod shared;
mod sweep;
mod tail;

use std::{io, sync::Arc, thread::JoinHandle};

use async_trait::async_trait;
use bobbinet_core::{StreamId, Timestamp};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::{
    Cell, Census, Commit, CommitError, Cursor, INLINE_MAX, KEY_LENGTH_MAX, Key, Listing, Loaded, Page, Query, Record,
    Scope, Store, StoreError, Summary, Tail, Version,
};
use blobs::{Blobs, Held};
use codec::{Kept, Value};
use committer::Operation;
use group::{Prepared, PreparedStep};

pub use check::{Report, check};
pub use export::{Counts, ExportError, export};
pub use options::{CACHE_BYTES, Durability, FREE_SPACE_MIN, OpenError, SledOptions};
use shared::Shared;

/// Streams in a folder.
///
/// Dropping it waits until all that was asked for is answered, writes the mark and frees the folder.
#[derive(Debug)]
pub struct SledStore {
    shared: Arc<Shared>,
    /// `None` only while it is being dropped.
    operations: Option<mpsc::Sender<Operation>>,
    committer: Option<JoinHandle<()>>,
    marker: Option<(std::sync::mpsc::Sender<()>, JoinHandle<()>)>,
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
            let mut held: Vec<Held> = Vec::new();
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

    /// A stream that was found, its large values read from their files.
    async fn loaded(&self, id: &StreamId, found: read::Found) -> Result<Option<Loaded>, StoreError> {
        let read::Found { view, cells, records } = found;
        let found = async { Ok((self.found_cells(cells).await?, self.records(records).await?)) };
        match found.await {
            Ok((cells, records)) => Ok(Some(Loaded {
                summary: view.summary,
                version: codec::version(view.version),
                cells,
                trimmed: codec::version(view.trimmed),
                records,
            })),
            // Its blobs went with it.
            Err(StoreError::Corrupt(_)) if !self.still_there(id) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The values themselves, large ones read from their files.
    async fn values(&self, values: Vec<Value>) -> Result<Vec<Bytes>, StoreError> {
        if values.iter().all(|value| matches!(value, Value::Inline(_))) {
            return read_values(&self.shared.blobs, values);
        }
        let blobs = self.shared.blobs.clone();
        match tokio::task::spawn_blocking(move || read_values(&blobs, values)).await {
            Ok(values) => values,
            Err(error) => Err(StoreError::Unavailable(format!("a blob could not be read: {error}"))),
        }
    }

    async fn records(&self, kept: Vec<Kept>) -> Result<Vec<Record>, StoreError> {
        let inline = |record: &Kept| match &record.value {
            Value::Inline(body) => Some(Record { format: record.format, body: body.clone() }),
            Value::Blob(_) => None,
        };
        if let Some(records) = kept.iter().map(inline).collect() {
            return Ok(records);
        }
        let formats: Vec<u16> = kept.iter().map(|record| record.format).collect();
        let bodies = self.values(kept.into_iter().map(|record| record.value).collect()).await?;
        Ok(formats.into_iter().zip(bodies).map(|(format, body)| Record { format, body }).collect())
    }

    async fn found_cells(&self, found: Vec<read::FoundCell>) -> Result<Vec<Cell>, StoreError> {
        let (names, values): (Vec<_>, Vec<_>) =
            found.into_iter().map(|cell| ((cell.key, cell.version), cell.value)).unzip();
        let values = self.values(values).await?;
        Ok(names.into_iter().zip(values).map(|((key, version), value)| Cell { key, version, value }).collect())
    }

    /// Whether a stream is still what it was when something of it could not be found.
    fn still_there(&self, id: &StreamId) -> bool {
        self.shared.index().get(id).is_some()
    }
}

#[async_trait]
impl Store for SledStore {
    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        commit.check()?;
        let prepared = self.prepare(commit).await?;
        self.ask(|answer| Operation::Commit(prepared, answer), |text| Err(CommitError::Unavailable(text))).await
    }

    async fn summary(&self, id: &StreamId) -> Result<Option<Summary>, StoreError> {
        let index = self.shared.index();
        Ok(index.get(id).and_then(|entry| index.summary(entry)))
    }

    async fn load(&self, id: &StreamId) -> Result<Option<Loaded>, StoreError> {
        match read::load(&self.shared, id)? {
            Some(found) => self.loaded(id, found).await,
            None => Ok(None),
        }
    }

    async fn load_all(&self, ids: &[StreamId]) -> Result<Vec<Option<Loaded>>, StoreError> {
        let mut all = Vec::with_capacity(ids.len());
        for (id, found) in ids.iter().zip(read::load_all(&self.shared, ids)?) {
            all.push(match found {
                Some(found) => self.loaded(id, found).await?,
                None => None,
            });
        }
        Ok(all)
    }

    async fn read(&self, id: &StreamId, after: Version, limit: usize) -> Result<Page, StoreError> {
        match read::page(&self.shared, id, after, limit)? {
            read::FoundPage::Records(records) => match self.records(records).await {
                Ok(records) => Ok(Page::Records(records)),
                Err(StoreError::Corrupt(_)) if !self.still_there(id) => Ok(Page::Records(Vec::new())),
                Err(error) => Err(error),
            },
            read::FoundPage::Trimmed(first) => Ok(Page::Trimmed { first: codec::version(first) }),
        }
    }

    async fn cells(&self, id: &StreamId, prefix: &Key, at: Version) -> Result<Vec<Cell>, StoreError> {
        let found = read::cells(&self.shared, id, prefix, at)?;
        match self.found_cells(found).await {
            Err(StoreError::Corrupt(_)) if !self.still_there(id) => Ok(Vec::new()),
            cells => cells,
        }
    }

    async fn list(&self, query: &Query) -> Result<Listing, StoreError> {
        list::list(&self.shared.index(), query)
    }

    async fn census(&self) -> Result<Vec<Census>, StoreError> {
        Ok(list::census(&self.shared.index()))
    }

    async fn due(&self, before: Timestamp, limit: usize) -> Result<Vec<(StreamId, Summary)>, StoreError> {
        let index = self.shared.index();
        let summary = |entry: &entry::Entry| index.summary(entry).expect("what is due has a summary");
        Ok(index.due(before).take(limit).map(|entry| (entry.id.clone(), summary(entry))).collect())
    }

    async fn tail(&self, scope: &Scope, after: Cursor, limit: usize) -> Result<Tail, StoreError> {
        tail::tail(&self.shared, scope, after, limit)
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
        read::marks(&self.shared, id)
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
        if let Some((stop, marker)) = self.marker.take() {
            drop(stop);
            let _ = marker.join();
        }
    }
}

fn prepare(commit: Commit, mut value: impl FnMut(Bytes) -> io::Result<Value>, held: Vec<Held>) -> io::Result<Prepared> {
    let mut steps = Vec::with_capacity(commit.steps.len());
    for step in commit.steps {
        let mut records = Vec::with_capacity(step.records.len());
        for Record { format, body } in step.records {
            records.push(Kept { format, value: value(body)? });
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

fn read_values(blobs: &Blobs, values: Vec<Value>) -> Result<Vec<Bytes>, StoreError> {
    let read = |value| match value {
        Value::Inline(bytes) => Ok(bytes),
        Value::Blob(name) => blobs.read(&name).map_err(|error| {
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) {
                StoreError::Corrupt("a blob is missing or not what was written".to_owned())
            } else {
                StoreError::Unavailable(format!("a blob could not be read: {error}"))
            }
        }),
    };
    values.into_iter().map(read).collect()
}
