//! A store in memory: for tests and for the engine's simulation.
//!
//! It is written to be obviously right, not fast: the embedded store is compared with it. It has no randomness, so that
//! one seed gives one transcript, and it needs no runtime but for [`Store::changed`].

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bobbinet_core::{StreamId, Timestamp};
use bytes::Bytes;

use crate::{
    Cell, Census, Commit, CommitError, Cursor, IDEMPOTENCY_KEYS_MAX, IDEMPOTENCY_SCOPE_SHARE, Idempotency,
    KEY_LENGTH_MAX, Key, Listing, Loaded, Page, Query, Record, Scope, Step, Store, StoreError, Summary, Tail,
    TailEntry, Version, page_token, wakes::Wakes,
};

/// Keeps streams for as long as it lives.
#[derive(Debug, Default)]
pub struct MemoryStore {
    contents: Mutex<Contents>,
    wakes: Wakes,
    is_shared: bool,
}

#[derive(Debug)]
struct Contents {
    streams: BTreeMap<StreamId, Stream>,
    idempotency: BTreeMap<(String, String), Remembered>,
    idempotency_keys_max: usize,
    log: BTreeMap<u64, (StreamId, Version)>,
    /// The number of the last step of the last commit, in the order of all.
    last: u64,
}

#[derive(Debug, Default)]
struct Stream {
    /// The number of its first step in the order of all commits.
    born: u64,
    summary: Option<Summary>,
    version: Version,
    trimmed: Version,
    records: BTreeMap<Version, Record>,
    /// What each cell has been, by key and version. `None`: no longer there.
    cells: BTreeMap<Key, BTreeMap<Version, Option<Bytes>>>,
    marks: BTreeMap<String, Version>,
}

#[derive(Debug)]
struct Remembered {
    stream: StreamId,
    body_hash: [u8; 32],
    expires: Timestamp,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store for several engines at a time.
    #[must_use]
    pub fn shared() -> Self {
        Self { is_shared: true, ..Self::default() }
    }

    /// An empty store that remembers so many idempotency keys.
    #[must_use]
    pub fn with_idempotency_keys_max(idempotency_keys_max: usize) -> Self {
        let contents = Mutex::new(Contents { idempotency_keys_max, ..Contents::default() });
        Self { contents, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        // Every change is checked before its first assignment, so a panic leaves nothing half-changed.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        commit.check()?;
        let streams: Vec<StreamId> = commit.steps.iter().map(|step| step.stream.clone()).collect();
        self.lock().commit(commit)?;
        self.wakes.hint(&streams);
        Ok(())
    }

    fn is_shared(&self) -> bool {
        self.is_shared
    }

    async fn summary(&self, id: &StreamId) -> Result<Option<(Version, Summary)>, StoreError> {
        Ok(self.lock().streams.get(id).and_then(|stream| Some((stream.version, stream.summary.clone()?))))
    }

    async fn load(&self, id: &StreamId) -> Result<Option<Loaded>, StoreError> {
        Ok(self.lock().streams.get(id).map(Stream::loaded))
    }

    async fn read(&self, id: &StreamId, after: Version, limit: usize) -> Result<Page, StoreError> {
        Ok(self.lock().streams.get(id).map_or(Page::Records(Vec::new()), |stream| stream.page(after, limit)))
    }

    async fn cells(&self, id: &StreamId, prefix: &Key, at: Version) -> Result<Vec<Cell>, StoreError> {
        Ok(self.lock().streams.get(id).map_or(Vec::new(), |stream| stream.cells(prefix, at)))
    }

    async fn list(&self, query: &Query) -> Result<Listing, StoreError> {
        let after = page_token::read(query)?;
        let kept = self.lock();
        let mut matching: Vec<_> = kept
            .streams
            .iter()
            .filter_map(|(id, stream)| {
                let summary = stream.summary.as_ref().filter(|summary| query.matches(summary))?;
                Some(((Reverse(summary.status_at), Reverse(stream.born)), id, stream.version, summary))
            })
            .collect();
        matching.sort_by_key(|(place, ..)| *place);
        let total = matching.len();
        let rest = matching.iter().filter(|(place, ..)| after.is_none_or(|after| *place > after));
        let page: Vec<_> = rest.clone().take(query.page_size).collect();
        let has_more = rest.count() > page.len();
        let borns = page.iter().map(|((_, born), ..)| born.0).collect();
        let entries =
            page.iter().map(|(_, id, version, summary)| ((*id).clone(), *version, (*summary).clone())).collect();
        Ok(Listing { entries, total, filters: page_token::filters(query), borns, has_more })
    }

    async fn census(&self) -> Result<Vec<Census>, StoreError> {
        let mut counts: BTreeMap<_, usize> = BTreeMap::new();
        for Summary { tenant, owner, agent, state, .. } in
            self.lock().streams.values().filter_map(|stream| stream.summary.clone())
        {
            *counts.entry((tenant, owner, agent, state)).or_default() += 1;
        }
        let line = |((tenant, owner, agent, state), count)| Census { tenant, owner, agent, state, count };
        Ok(counts.into_iter().map(line).collect())
    }

    async fn due(&self, before: Timestamp, limit: usize) -> Result<Vec<(StreamId, Summary)>, StoreError> {
        let kept = self.lock();
        let mut due: Vec<_> = kept
            .streams
            .iter()
            .filter_map(|(id, stream)| {
                let summary = stream.summary.as_ref()?;
                let at = summary.due.filter(|due| *due <= before)?;
                Some((at, stream.born, id, summary))
            })
            .collect();
        due.sort_by_key(|(at, born, ..)| (*at, *born));
        Ok(due.into_iter().take(limit).map(|(_, _, id, summary)| (id.clone(), summary.clone())).collect())
    }

    async fn tail(&self, scope: &Scope, after: Cursor, limit: usize) -> Result<Tail, StoreError> {
        let kept = self.lock();
        let mut tail = Tail { entries: Vec::new(), next: after };
        for (number, (stream, version)) in kept.log.range(after.0.saturating_add(1)..) {
            if tail.entries.len() == limit {
                break;
            }
            tail.next = Cursor(*number);
            let summary = kept.streams.get(stream).and_then(|stream| stream.summary.as_ref());
            if kept.streams.contains_key(stream) && scope.covers(summary) {
                tail.entries.push(TailEntry { stream: stream.clone(), version: *version });
            }
        }
        Ok(tail)
    }

    async fn changed(&self, id: &StreamId, after: Version) {
        self.wakes.wait(id, || self.lock().streams.get(id).is_some_and(|stream| stream.version > after)).await;
    }

    async fn mark(&self, id: &StreamId, reader: &str, at: Version) -> Result<(), StoreError> {
        if reader.len() > KEY_LENGTH_MAX {
            return Err(StoreError::Unavailable("the reader's name is too long".to_owned()));
        }
        if let Some(stream) = self.lock().streams.get_mut(id) {
            if at == Version::ZERO {
                stream.marks.remove(reader);
            } else {
                stream.marks.insert(reader.to_owned(), at);
            }
        }
        Ok(())
    }

    async fn marks(&self, id: &StreamId) -> Result<Vec<(String, Version)>, StoreError> {
        let marks = |stream: &Stream| stream.marks.iter().map(|(reader, at)| (reader.clone(), *at)).collect();
        Ok(self.lock().streams.get(id).map_or(Vec::new(), marks))
    }

    async fn trim(&self, id: &StreamId, before: Version) -> Result<(), StoreError> {
        if let Some(stream) = self.lock().streams.get_mut(id) {
            stream.trim(before);
        }
        Ok(())
    }

    async fn forget(&self, id: &StreamId) -> Result<(), StoreError> {
        {
            let mut kept = self.lock();
            kept.streams.remove(id);
            kept.log.retain(|_, (stream, _)| stream != id);
        }
        self.wakes.hint([id]);
        Ok(())
    }

    fn health(&self) -> Result<(), String> {
        Ok(())
    }
}

impl Default for Contents {
    fn default() -> Self {
        Self {
            streams: BTreeMap::new(),
            idempotency: BTreeMap::new(),
            idempotency_keys_max: IDEMPOTENCY_KEYS_MAX,
            log: BTreeMap::new(),
            last: 0,
        }
    }
}

impl Contents {
    fn commit(&mut self, commit: Commit) -> Result<(), CommitError> {
        if let Some(asked) = &commit.idempotency {
            self.check_new(asked)?;
        }
        for step in &commit.steps {
            let actual = self.streams.get(&step.stream).map_or(Version::ZERO, |stream| stream.version);
            if actual != step.expected {
                return Err(CommitError::Conflict { stream: step.stream.clone(), actual });
            }
        }
        if let Some(asked) = &commit.idempotency {
            self.check_room(asked)?;
        }
        if let (Some(Idempotency { scope, key, body_hash, expires, now: _ }), Some(first)) =
            (commit.idempotency, commit.steps.first())
        {
            self.idempotency.insert((scope, key), Remembered { stream: first.stream.clone(), body_hash, expires });
        }
        for step in commit.steps {
            if !step.records.is_empty() {
                self.append(step);
            }
        }
        Ok(())
    }

    fn check_new(&self, asked: &Idempotency) -> Result<(), CommitError> {
        match self.idempotency.get(&(asked.scope.clone(), asked.key.clone())) {
            Some(known) if known.expires >= asked.now => {
                Err(CommitError::Duplicate { stream: known.stream.clone(), body_hash: known.body_hash })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn check_room(&mut self, asked: &Idempotency) -> Result<(), CommitError> {
        let (max, share) = (self.idempotency_keys_max, self.idempotency_keys_max / IDEMPOTENCY_SCOPE_SHARE);
        if self.idempotency.len() < share {
            return Ok(());
        }
        self.idempotency.retain(|_, known| known.expires >= asked.now);
        if self.idempotency.len() >= max {
            return Err(CommitError::Full { what: "idempotency_keys_max", max });
        }
        if self.idempotency.keys().filter(|(scope, _)| *scope == asked.scope).count() >= share {
            return Err(CommitError::Full { what: "idempotency_keys_per_scope_max", max: share });
        }
        Ok(())
    }

    fn append(&mut self, step: Step) {
        self.last += 1;
        let stream =
            self.streams.entry(step.stream.clone()).or_insert_with(|| Stream { born: self.last, ..Stream::default() });
        for record in step.records {
            stream.version = stream.version.plus(1);
            stream.records.insert(stream.version, record);
        }
        for (key, value) in step.cells {
            stream.cells.entry(key).or_default().insert(stream.version, value);
        }
        if step.summary.is_some() {
            stream.summary = step.summary;
        }
        self.log.insert(self.last, (step.stream, stream.version));
    }
}

impl Stream {
    fn loaded(&self) -> Loaded {
        Loaded {
            summary: self.summary.clone(),
            version: self.version,
            cells: self.cells(&Key::default(), self.version),
            trimmed: self.trimmed,
            records: self.records.values().cloned().collect(),
        }
    }

    fn page(&self, after: Version, limit: usize) -> Page {
        if after < self.trimmed {
            return Page::Trimmed { first: self.trimmed.plus(1) };
        }
        let records = self.records.iter().filter(|(version, _)| **version > after);
        Page::Records(records.take(limit).map(|(_, record)| record.clone()).collect())
    }

    fn cells(&self, prefix: &Key, at: Version) -> Vec<Cell> {
        let named = self.cells.iter().filter(|(key, _)| key.0.starts_with(&prefix.0));
        named
            .filter_map(|(key, values)| {
                let (version, value) = values.range(..=at).next_back()?;
                Some(Cell { key: key.clone(), version: *version, value: value.clone()? })
            })
            .collect()
    }

    /// Cells keep what they were at `before`: the records after it may be read beside them.
    fn trim(&mut self, before: Version) {
        let before = before.min(self.version);
        if before <= self.trimmed {
            return;
        }
        self.trimmed = before;
        self.records = self.records.split_off(&before.plus(1));
        for values in self.cells.values_mut() {
            let newest = values.range(..=before).next_back().map(|(version, value)| (*version, value.is_some()));
            values.retain(|version, _| *version > before || newest == Some((*version, true)));
        }
        self.cells.retain(|_, values| !values.is_empty());
    }
}
