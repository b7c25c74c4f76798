//! One group of operations: decided in order, each on what the ones before it leave behind, and written as one.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::StreamId;

use super::{
    Shared,
    blobs::HeldBlob,
    bodies::{Chunks, bodies},
    chunks::{self, CHUNK_MAX, Packing},
    codec::{self, BlobName, Body, CellName, Change, Damaged, Head, HeadsWriter, Remembered, StoredRecord, Value},
    fault::SledError,
    index::Index,
    index_entry::StepAt,
    keys, read,
    read_error::{ReadError, guarded, store_error},
    stamp::Stamp,
};
use crate::{CommitError, Idempotency, Key, StoreError, Summary, Version};

/// How many times more old idempotency keys are looked at when there is no room for a new one.
const KEYS_LOOKED_AT_WHEN_FULL: usize = 64;

/// A commit whose large values are already blobs.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) steps: Vec<PreparedStep>,
    pub(super) idempotency: Option<Idempotency>,
    /// The blobs that it names, kept until it is decided.
    pub(super) held: Vec<HeldBlob>,
}

/// One step of such a commit: its records and cells, the large ones by the names of their blobs.
#[derive(Debug)]
pub(super) struct PreparedStep {
    pub(super) stream: StreamId,
    pub(super) expected: Version,
    pub(super) records: Vec<StoredRecord>,
    pub(super) cells: Vec<(Key, Option<Value>)>,
    pub(super) summary: Option<Arc<Summary>>,
}

impl Prepared {
    /// About how many bytes it adds to a group.
    pub(super) fn size(&self) -> usize {
        let record = |record: &StoredRecord| record.value.size();
        let cell = |(_, value): &(Key, Option<Value>)| value.as_ref().map_or(0, Value::size);
        let step = |step: &PreparedStep| {
            step.records.iter().map(record).sum::<usize>() + step.cells.iter().map(cell).sum::<usize>()
        };
        self.steps.iter().map(step).sum()
    }
}

/// sled failed, or gave back what was not written: the group cannot be decided.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("reading what a commit depends on")]
    Sled(#[source] SledError),
    #[error("reading what a commit depends on")]
    Damaged(#[from] Damaged),
    #[error("reading what a commit depends on: {0}")]
    Unreadable(String),
}

impl From<::sled::Error> for Broken {
    fn from(error: ::sled::Error) -> Self {
        Self::Sled(error.into())
    }
}

/// What a group will write, and what the index will learn when that is durable.
#[derive(Debug)]
pub(super) struct Group<'a> {
    shared: &'a Shared,
    index: &'a Index,
    seen: BTreeMap<StreamId, Option<Seen>>,
    /// The number of the next step.
    next: u64,
    bodies: Packing,
    heads: Vec<(u64, HeadsWriter)>,
    /// Whether one commit's heads lie in two chunks.
    divided: bool,
    /// All that is written or removed beside heads and bodies.
    others: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    effects: Vec<Effect>,
    released: Vec<[u8; 32]>,
    /// Steps that nobody needs any longer since this group.
    garbage: u64,
    /// How many idempotency keys the group added, and the latest time that it was told.
    asked: usize,
    now: u64,
}

/// A stream as the operations so far leave it.
#[derive(Clone, Debug)]
struct Seen {
    born: u64,
    version: u32,
    trimmed: u32,
    cells: bool,
    blobs: bool,
    /// `None` while it is what the index says.
    summary: Option<Option<Arc<Summary>>>,
}

impl Seen {
    fn summary(&mut self, index: &Index, stream: &StreamId) -> Option<Arc<Summary>> {
        let known = || index.get(stream).and_then(|entry| index.summary(entry)).map(Arc::new);
        self.summary.get_or_insert_with(known).clone()
    }
}

/// What the index learns.
#[derive(Debug)]
pub(super) enum Effect {
    Step(Head),
    Forgotten(StreamId),
}

/// A decided group.
#[derive(Debug)]
pub(super) struct Written {
    /// In an order in which any beginning of it leaves the store whole: bodies, then the heads that name them.
    pub(super) in_order: Vec<(Vec<u8>, Vec<u8>)>,
    /// What must come or stay away together with them.
    pub(super) others: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Whether `in_order` needs to be kept as one for another reason.
    pub(super) divided: bool,
    pub(super) effects: Vec<Effect>,
    /// Blobs that lost a name.
    pub(super) released: Vec<[u8; 32]>,
    pub(super) garbage: u64,
    pub(super) last: u64,
    /// The group's number.
    pub(super) number: u64,
    /// Whether it has heads of its own, which carry its number.
    has_heads: bool,
    pub(super) asked: usize,
    pub(super) now: u64,
}

impl Written {
    /// Whether there is nothing to keep.
    pub(super) fn is_empty(&self) -> bool {
        self.in_order.is_empty() && self.others.is_empty()
    }

    /// Sees to it that something of the group carries its number. To be called when all of it is there.
    pub(super) fn seal(&mut self, identity: &[u8; 16]) {
        if !self.has_heads && !self.others.is_empty() {
            let value = codec::write_group(Stamp::end(identity, self.number), self.last);
            self.others.insert(keys::GROUP.to_vec(), Some(value));
        }
    }
}

impl<'a> Group<'a> {
    pub(super) fn new(shared: &'a Shared, index: &'a Index) -> Self {
        Self {
            shared,
            index,
            seen: BTreeMap::new(),
            next: index.last + 1,
            bodies: Packing::default(),
            heads: Vec::new(),
            divided: false,
            others: BTreeMap::new(),
            effects: Vec::new(),
            released: Vec::new(),
            garbage: 0,
            asked: 0,
            now: 0,
        }
    }

    /// Takes a commit in, or says why not. Then it has changed nothing.
    pub(super) fn commit(&mut self, commit: Prepared) -> Result<Result<(), CommitError>, Broken> {
        let mut is_new_key = false;
        if let Some(asked) = &commit.idempotency {
            match self.known(asked)? {
                Some(known) if known.expires >= asked.now => {
                    return Ok(Err(CommitError::Duplicate { stream: known.stream, body_hash: known.body_hash }));
                }
                Some(_) => {}
                None => is_new_key = true,
            }
        }
        for step in &commit.steps {
            let actual = self.seen(&step.stream).map_or(0, |seen| seen.version);
            if step.expected != codec::version(actual) {
                let actual = codec::version(actual);
                return Ok(Err(CommitError::Conflict { stream: step.stream.clone(), actual }));
            }
            if u32::try_from(step.expected.0 + step.records.len() as u64).is_err() {
                return Ok(Err(CommitError::Malformed("more records than a stream can have")));
            }
        }
        if let Some(asked) = commit.idempotency.as_ref().filter(|_| is_new_key) {
            let room = self.shared.key_counts().check_room(&keys::idempotency(&asked.scope, &asked.key));
            if let Err(full) = room {
                // Room is made for the next one.
                self.asked += KEYS_LOOKED_AT_WHEN_FULL;
                self.now = self.now.max(asked.now.as_millis());
                return Ok(Err(full));
            }
        }
        if let Some(Idempotency { scope, key, body_hash, expires, now }) = commit.idempotency {
            let known = Remembered { stream: commit.steps[0].stream.clone(), body_hash, expires };
            let key = keys::idempotency(&scope, &key);
            if is_new_key {
                self.shared.key_counts().add(&key);
            }
            self.others.insert(key, Some(codec::write_remembered(&known)));
            self.asked += 1;
            self.now = self.now.max(now.as_millis());
        }
        let mut heads = Vec::with_capacity(commit.steps.len());
        for step in commit.steps {
            if !step.records.is_empty() {
                heads.push(self.append(step));
            }
        }
        self.keep(heads);
        Ok(Ok(()))
    }

    /// Keeps how far a reader has come.
    pub(super) fn mark(&mut self, stream: &StreamId, reader: &str, at: Version) {
        if self.seen(stream).is_some() {
            let value = (at > Version::ZERO).then(|| codec::write_number(at.0));
            self.others.insert(keys::mark(stream, reader), value);
        }
    }

    /// Drops records up to a version, and what cells were before it.
    pub(super) fn trim(&mut self, stream: &StreamId, before: Version) -> Result<(), Broken> {
        let index = self.index;
        let Some(seen) = self.seen(stream) else { return Ok(()) };
        let to = u32::try_from(before.0).unwrap_or(u32::MAX).min(seen.version);
        if to <= seen.trimmed {
            return Ok(());
        }
        let (born, cells) = (seen.born, seen.cells);
        seen.trimmed = to;
        let summary = seen.summary(index, stream);
        let head = Head {
            stream: stream.clone(),
            born,
            version: seen.version,
            trimmed: to,
            summary,
            cells,
            blobs: seen.blobs,
            change: Change::Trimmed,
        };
        let blobs = seen.blobs;
        if cells {
            self.trim_cells(stream, to)?;
        }
        if blobs {
            self.release(stream, to)?;
        }
        self.garbage += 1;
        self.next += 1;
        self.keep(vec![head]);
        Ok(())
    }

    /// Drops a stream, or says why not: then it has changed nothing. Its bodies stay where they are until they are swept up.
    pub(super) fn forget(&mut self, stream: &StreamId) -> Result<Result<(), StoreError>, Broken> {
        let Some(seen) = self.seen(stream) else { return Ok(Ok(())) };
        let Seen { cells, blobs, .. } = *seen;
        let mut beginnings = vec![keys::marks(stream)];
        beginnings.extend(cells.then(|| keys::cells(stream)));
        let mut removed = Vec::new();
        for beginning in &beginnings {
            match self.kept(beginning) {
                Ok(kept) => removed.extend(kept),
                // What would stay could be taken for a later stream's: this one stays, and keeps nobody else.
                Err(damage @ StoreError::Corrupt(_)) => return Ok(Err(damage)),
                Err(error @ (StoreError::Unavailable(_) | StoreError::BadPageToken)) => {
                    return Err(Broken::Unreadable(error.to_string()));
                }
            }
        }
        if blobs {
            self.release(stream, u32::MAX)?;
        }
        self.others.extend(removed.into_iter().map(|key| (key, None)));
        for beginning in beginnings {
            for (_, value) in self.others.range_mut(beginning.clone()..keys::after(&beginning)) {
                *value = None;
            }
        }
        self.others.insert(keys::forgotten(stream), Some(codec::write_number(self.next - 1)));
        self.garbage += 1 + self.index.get(stream).map_or(0, |entry| entry.steps.all().len() as u64);
        self.effects.push(Effect::Forgotten(stream.clone()));
        self.seen.insert(stream.clone(), None);
        Ok(Ok(()))
    }

    /// The group as it is to be written. Chunks of heads come after the bodies that they name.
    pub(super) fn finish(self) -> Written {
        let mut in_order = self.bodies.finish();
        let (identity, number) = (&self.shared.identity, self.index.group + 1);
        let (has_heads, mut left) = (!self.heads.is_empty(), self.heads.len());
        for (first, heads) in self.heads {
            left -= 1;
            let stamp = if left == 0 { Stamp::end(identity, number) } else { Stamp::new(identity, number) };
            in_order.push((keys::heads(first), heads.finish(stamp)));
        }
        Written {
            number,
            has_heads,
            in_order,
            others: self.others,
            divided: self.divided,
            effects: self.effects,
            released: self.released,
            garbage: self.garbage,
            last: self.next - 1,
            asked: self.asked,
            now: self.now,
        }
    }

    /// What is remembered under this key, also what has expired by now.
    fn known(&self, asked: &Idempotency) -> Result<Option<Remembered>, Broken> {
        let key = keys::idempotency(&asked.scope, &asked.key);
        Ok(match self.others.get(&key) {
            Some(pending) => pending.as_deref().map(codec::read_remembered).transpose()?,
            None => self.shared.tree.get(key)?.map(|known| codec::read_remembered(&known)).transpose()?,
        })
    }

    fn seen(&mut self, stream: &StreamId) -> Option<&mut Seen> {
        let index = self.index;
        self.seen
            .entry(stream.clone())
            .or_insert_with(|| {
                index.get(stream).map(|entry| Seen {
                    born: entry.born,
                    version: entry.version,
                    trimmed: entry.trimmed,
                    cells: entry.cells,
                    blobs: entry.blobs,
                    summary: None,
                })
            })
            .as_mut()
    }

    fn append(&mut self, step: PreparedStep) -> Head {
        let number = self.next;
        self.next += 1;
        let seen = self.seen.get_mut(&step.stream).expect("its version has been looked at");
        let seen = seen.get_or_insert(Seen {
            born: number,
            version: 0,
            trimmed: 0,
            cells: false,
            blobs: false,
            summary: Some(None),
        });
        let first = seen.version + 1;
        let count = step.records.len() as u32;
        seen.version += count;
        let last = codec::version(seen.version);
        seen.cells |= !step.cells.is_empty();
        if step.summary.is_some() {
            seen.summary = Some(step.summary);
        }
        let names = step.cells.iter().map(|(key, value)| CellName { key: key.clone(), there: value.is_some() });
        let body =
            Body { stream: step.stream.clone(), born: seen.born, first, records: step.records, cells: names.collect() };
        for (key, value) in step.cells {
            let key = keys::cell_at(&step.stream, &key, last);
            if let Some(Value::Blob(blob)) = &value {
                seen.blobs = true;
                self.others.insert(keys::blob_reference(&blob.sha256, &step.stream, last), Some(Vec::new()));
            }
            let value = codec::write_cell(&key, value.as_ref());
            chunks::split(key, value, |key, value| {
                self.others.insert(key, Some(value));
            });
        }
        for (version, record) in (first..).zip(&body.records) {
            if let Value::Blob(blob) = &record.value {
                seen.blobs = true;
                let reference = keys::blob_reference(&blob.sha256, &step.stream, codec::version(version));
                self.others.insert(reference, Some(Vec::new()));
            }
        }
        let place = self.bodies.add(number, &body.write());
        Head {
            stream: body.stream.clone(),
            born: seen.born,
            version: seen.version,
            trimmed: seen.trimmed,
            summary: seen.summary(self.index, &body.stream),
            cells: seen.cells,
            blobs: seen.blobs,
            change: Change::Grown { count, place },
        }
    }

    /// Puts the heads of one commit side by side. Their numbers are the last ones given out.
    fn keep(&mut self, heads: Vec<Head>) {
        let written: Vec<Vec<u8>> = heads.iter().map(Head::write).collect();
        let size = written.iter().map(|head| head.len() + 2).sum();
        let is_large = size > CHUNK_MAX;
        self.divided |= is_large;
        let fits = |chunk: &HeadsWriter, size| chunk.size_with(size) <= CHUNK_MAX;
        let mut together = self.heads.last().is_some_and(|(_, chunk)| fits(chunk, size));
        for (number, head) in (self.next - heads.len() as u64..).zip(written) {
            match self.heads.last_mut() {
                Some((_, chunk)) if together || is_large && fits(chunk, head.len()) => chunk.push(&head),
                Some(_) | None => {
                    let mut chunk = HeadsWriter::new();
                    chunk.push(&head);
                    self.heads.push((number, chunk));
                    together = !is_large;
                }
            }
        }
        self.effects.extend(heads.into_iter().map(Effect::Step));
    }

    /// Removes what each cell was before the value that it has at `to`, and that too if it is none.
    fn trim_cells(&mut self, stream: &StreamId, to: u32) -> Result<(), Broken> {
        let beginning = keys::cells(stream);
        let mut kept: Option<(Key, Option<Version>)> = None;
        for pair in self.shared.tree.scan_prefix(&beginning) {
            let (written, value) = pair?;
            let (key, version, part) = keys::read_cell(&written[beginning.len()..]).ok_or(Damaged("a cell's key"))?;
            if version > codec::version(to) {
                continue;
            }
            let newest = match &kept {
                Some((known, newest)) if *known == key => *newest,
                Some(_) | None => {
                    // Only a cell that is not there is so short that it never has parts.
                    let there = value.len() > 5 || part > 0;
                    let newest = there.then_some(version);
                    kept = Some((key, newest));
                    newest
                }
            };
            if newest != Some(version) {
                if let Ok(Some(Value::Blob(blob))) = codec::read_cell(&written, &value) {
                    self.let_go(keys::blob_reference(&blob.sha256, stream, version));
                }
                self.others.insert(written.to_vec(), None);
            }
        }
        Ok(())
    }

    /// All keys in the tree that begin like this.
    fn kept(&self, beginning: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        let scan = self.shared.tree.scan_prefix(beginning).keys();
        let keys = || scan.map(|key| key.map(|key| key.to_vec())).collect::<Result<_, _>>();
        guarded(keys)?.map_err(store_error)
    }

    /// Takes the stream's name off the blobs of records up to `to`, and off those of cells if all of it goes.
    fn release(&mut self, stream: &StreamId, to: u32) -> Result<(), Broken> {
        let mut named: Vec<(BlobName, Version)> = Vec::new();
        if let Some(entry) = self.index.get(stream) {
            let steps: Vec<StepAt> = entry.steps.all().iter().filter(|step| step.first <= to).copied().collect();
            let mut find = || {
                for body in bodies(self.shared, &mut Chunks::new(1), stream, entry.born, &steps)? {
                    for (version, record) in (body.first..=to).zip(&body.records) {
                        if let Value::Blob(blob) = record.value {
                            named.push((blob, codec::version(version)));
                        }
                    }
                }
                if to == u32::MAX {
                    named.extend(read::cell_blobs(self.shared, stream)?);
                }
                Ok(())
            };
            // What is damaged must be possible to forget. Blobs that cannot be told any more stay, and cost room.
            let found =
                guarded(&mut find).and_then(|found: Result<(), ReadError>| found.map_err(ReadError::into_store));
            if let Err(error) = found {
                tracing::warn!(%stream, %error, "a damaged stream is forgotten; its large values stay in the folder of blobs");
            }
        }
        for (blob, version) in named {
            self.let_go(keys::blob_reference(&blob.sha256, stream, version));
        }
        // What this group is about to name is in neither the index nor the tree.
        let pending = self.others.range(keys::BLOBS.to_vec()..keys::after(keys::BLOBS));
        let is_named = |key: &&Vec<u8>| {
            keys::read_blob_reference(key)
                .is_some_and(|(named, version)| named == stream.as_bytes() && version.0 <= u64::from(to))
        };
        let pending: Vec<Vec<u8>> = pending.map(|(key, _)| key).filter(is_named).cloned().collect();
        for reference in pending {
            self.let_go(reference);
        }
        Ok(())
    }

    fn let_go(&mut self, reference: Vec<u8>) {
        self.released.push(reference[1..33].try_into().expect("a reference has the blob's name"));
        self.others.insert(reference, None);
    }
}
