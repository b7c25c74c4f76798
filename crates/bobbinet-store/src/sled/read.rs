//! Reads from the tree what the index says is there.
//!
//! The index is asked first, and again if something was missing: a stream may have been forgotten or trimmed in
//! between. What is still said to be there and is not, is damage.

use std::collections::BTreeMap;

use ::sled::IVec;
use bobbinet_core::StreamId;

use super::{
    Shared,
    bodies::{Chunks, bodies},
    chunks,
    codec::{self, BlobName, Body, StoredRecord, Value},
    index::Index,
    index_entry::{IndexEntry, StepAt},
    keys,
    read_error::{ReadError, guarded},
};
use crate::{Key, StoreError, Summary, Version};

/// How often a stream may change under a reader before he gives up: it would have to be trimmed that often meanwhile.
const AGAIN_MAX: usize = 100;

/// How many chunks are kept at hand while several streams are read: more than a page of a list lies in, about 150 KB.
const CHUNKS_KEPT_MAX: usize = 64;

/// A stream as the index has it, with the steps that a reader wants.
#[derive(Debug)]
pub(super) struct View {
    born: u64,
    pub(super) version: u32,
    pub(super) trimmed: u32,
    pub(super) summary: Option<Summary>,
    has_cells: bool,
    steps: Vec<StepAt>,
}

impl View {
    fn of_all(index: &Index, entry: &IndexEntry) -> Self {
        Self { summary: index.summary(entry), ..Self::of(entry, entry.steps.all()) }
    }

    /// Without its summary.
    fn of(entry: &IndexEntry, steps: &[StepAt]) -> Self {
        Self {
            born: entry.born,
            version: entry.version,
            trimmed: entry.trimmed,
            summary: None,
            has_cells: entry.cells,
            steps: steps.to_vec(),
        }
    }
}

/// A cell whose value may be a blob.
#[derive(Debug)]
pub(super) struct FoundCell {
    pub(super) key: Key,
    pub(super) version: Version,
    pub(super) value: Value,
}

/// All of a stream; large values are still blobs.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) view: View,
    pub(super) cells: Vec<FoundCell>,
    pub(super) records: Vec<StoredRecord>,
}

/// Some records of a stream.
#[derive(Debug)]
pub(super) enum FoundPage {
    Records(Vec<StoredRecord>),
    Trimmed(u32),
}

pub(super) fn load(shared: &Shared, id: &StreamId) -> Result<Option<Found>, StoreError> {
    let view = |index: &Index| index.get(id).map(|entry| View::of_all(index, entry));
    again(shared, id, view, |view| all(shared, &mut Chunks::new(1), id, view))
        .map(|found| found.map(|(view, (cells, records))| Found { view, cells, records }))
}

/// Several streams, each when its turn comes. What lies together is read once.
pub(super) fn load_all(shared: &Shared, ids: &[StreamId]) -> impl Iterator<Item = Result<Option<Found>, StoreError>> {
    let views: Vec<Option<View>> = {
        let index = shared.index();
        ids.iter().map(|id| index.get(id).map(|entry| View::of_all(&index, entry))).collect()
    };
    let mut chunks = Chunks::new(CHUNKS_KEPT_MAX);
    let found = move |(id, view): (&StreamId, Option<View>)| {
        let Some(view) = view else { return Ok(None) };
        match guarded(|| all(shared, &mut chunks, id, &view))? {
            Ok((cells, records)) => Ok(Some(Found { view, cells, records })),
            // Perhaps it is no longer what it was.
            Err(_) => load(shared, id),
        }
    };
    ids.iter().zip(views).map(found)
}

/// The cells and records of a stream.
fn all(
    shared: &Shared,
    chunks: &mut Chunks,
    id: &StreamId,
    view: &View,
) -> Result<(Vec<FoundCell>, Vec<StoredRecord>), ReadError> {
    let bodies = bodies(shared, chunks, id, view.born, &view.steps)?;
    let cells = if view.has_cells { all_cells(shared, id, view, &bodies)? } else { Vec::new() };
    Ok((cells, records(view, bodies, view.trimmed, usize::MAX)?))
}

pub(super) fn page(shared: &Shared, id: &StreamId, after: Version, limit: usize) -> Result<FoundPage, StoreError> {
    let after = u32::try_from(after.0).unwrap_or(u32::MAX);
    let view = |index: &Index| {
        index.get(id).map(|entry| {
            // Each step has a record, and the first one may have only one that is wanted.
            let steps =
                if after < entry.version && limit > 0 { entry.steps.after(after.max(entry.trimmed)) } else { &[] };
            View::of(entry, &steps[..steps.len().min(limit)])
        })
    };
    let found = again(shared, id, view, |view| {
        if after < view.trimmed {
            return Ok(FoundPage::Trimmed(view.trimmed + 1));
        }
        let bodies = bodies(shared, &mut Chunks::new(1), id, view.born, &view.steps)?;
        Ok(FoundPage::Records(records(view, bodies, after, limit)?))
    })?;
    Ok(found.map_or(FoundPage::Records(Vec::new()), |(_, page)| page))
}

pub(super) fn cells(shared: &Shared, id: &StreamId, prefix: &Key, at: Version) -> Result<Vec<FoundCell>, StoreError> {
    let view = |index: &Index| index.get(id).map(|entry| View::of(entry, &[]));
    let found = again(shared, id, view, |view| {
        if view.has_cells {
            scan_cells(shared, id, prefix, at.min(codec::version(view.version)))
        } else {
            Ok(Vec::new())
        }
    })?;
    Ok(found.map_or(Vec::new(), |(_, cells)| cells))
}

pub(super) fn marks(shared: &Shared, id: &StreamId) -> Result<Vec<(String, Version)>, StoreError> {
    let view = |index: &Index| index.get(id).map(|entry| View::of(entry, &[]));
    let found = again(shared, id, view, |_| {
        // Only of a stream that is there: others may be called anything.
        let beginning = keys::marks(id);
        let mut marks = Vec::new();
        for pair in shared.tree.scan_prefix(&beginning) {
            let (key, value) = pair?;
            let reader = std::str::from_utf8(&key[beginning.len()..]).map_err(|_| ReadError::Missing("a mark"))?;
            marks.push((reader.to_owned(), Version(codec::read_number(&value)?)));
        }
        Ok(marks)
    })?;
    Ok(found.map_or(Vec::new(), |(_, marks)| marks))
}

/// The blobs that cells of a stream name, at any version.
pub(super) fn cell_blobs(shared: &Shared, id: &StreamId) -> Result<Vec<(BlobName, Version)>, ReadError> {
    let beginning = keys::cells(id);
    let mut named = Vec::new();
    for pair in shared.tree.scan_prefix(&beginning) {
        let (key, value) = pair?;
        if let Ok(Some(Value::Blob(blob))) = codec::read_cell(&key, &value) {
            let (_, version, _) = keys::read_cell(&key[beginning.len()..]).ok_or(ReadError::Missing("a cell's key"))?;
            named.push((blob, version));
        }
    }
    Ok(named)
}

/// The records after `after` that a reader may see.
fn records(view: &View, bodies: Vec<Body>, after: u32, limit: usize) -> Result<Vec<StoredRecord>, ReadError> {
    let mut records = Vec::new();
    let mut next = after.max(view.trimmed).saturating_add(1);
    for body in bodies {
        for (version, record) in (body.first..).zip(body.records) {
            if version < next || version > view.version {
                continue;
            }
            if version > next {
                return Err(ReadError::Missing("a record"));
            }
            if records.len() == limit {
                return Ok(records);
            }
            records.push(record);
            next += 1;
        }
    }
    let wanted = (view.version.saturating_sub(after.max(view.trimmed)) as usize).min(limit);
    if records.len() < wanted { Err(ReadError::Missing("a record")) } else { Ok(records) }
}

/// The newest value of each cell, and no fewer than the steps say that there are.
fn all_cells(shared: &Shared, id: &StreamId, view: &View, bodies: &[Body]) -> Result<Vec<FoundCell>, ReadError> {
    let found = scan_cells(shared, id, &Key::default(), codec::version(view.version))?;
    let mut expected: BTreeMap<&Key, Option<Version>> = BTreeMap::new();
    for body in bodies {
        for cell in &body.cells {
            expected.insert(&cell.key, cell.there.then(|| codec::version(body.last())));
        }
    }
    let mut seen = found.iter().peekable();
    for (key, version) in expected {
        while seen.next_if(|cell| cell.key < *key).is_some() {}
        let there = seen.next_if(|cell| cell.key == *key).map(|cell| cell.version);
        if there != version {
            return Err(ReadError::Missing("a cell"));
        }
    }
    Ok(found)
}

/// How many older values of a cell are passed over before the next cell is looked for by its key.
const PASS_MAX: usize = 4;

fn scan_cells(shared: &Shared, id: &StreamId, prefix: &Key, at: Version) -> Result<Vec<FoundCell>, ReadError> {
    let beginning = keys::cells_beginning(id, prefix);
    let (key_at, end) = (keys::cells(id).len(), keys::after(&beginning));
    let mut found: Vec<FoundCell> = Vec::new();
    let mut done: Option<Key> = None;
    let mut range = shared.tree.range(beginning..end.clone());
    let mut passed = 0;
    while let Some(pair) = range.next() {
        let (written, first) = pair?;
        let (key, version, part) = keys::read_cell(&written[key_at..]).ok_or(ReadError::Missing("a cell's key"))?;
        let is_done = done.as_ref() == Some(&key);
        if is_done || version > at || part > 0 {
            passed += 1;
            if passed > PASS_MAX {
                passed = 0;
                let next = if is_done { keys::after(&keys::cell(id, &key)) } else { keys::cell_at(id, &key, at) };
                range = shared.tree.range(next..end.clone());
            }
            continue;
        }
        passed = 0;
        let value = whole_cell(&written, first, &mut range)?;
        if let Some(value) = value {
            found.push(FoundCell { key: key.clone(), version, value });
        }
        done = Some(key);
    }
    Ok(found)
}

/// The value of a cell of which the first part was read; the others follow it.
fn whole_cell(key: &[u8], first: IVec, rest: &mut ::sled::Iter) -> Result<Option<Value>, ReadError> {
    if first.len() < chunks::CHUNK_MAX {
        return Ok(codec::read_cell(key, &first)?);
    }
    let mut whole = first.to_vec();
    loop {
        if let Ok(value) = codec::read_cell(key, &whole) {
            return Ok(value);
        }
        match rest.next().transpose()? {
            Some((part, bytes)) if part.starts_with(key) => whole.extend_from_slice(&bytes),
            Some(_) | None => return Err(ReadError::Missing("a part of a cell")),
        }
    }
}

/// Looks at the index, then reads; and looks again if something was missing that the index no longer says is there.
fn again<T>(
    shared: &Shared,
    id: &StreamId,
    view: impl Fn(&Index) -> Option<View>,
    read: impl Fn(&View) -> Result<T, ReadError>,
) -> Result<Option<(View, T)>, StoreError> {
    for _ in 0..AGAIN_MAX {
        let Some(view) = view(&shared.index()) else { return Ok(None) };
        match guarded(|| read(&view))? {
            Ok(found) => return Ok(Some((view, found))),
            Err(fail) => {
                let is_unchanged = shared
                    .index()
                    .get(id)
                    .is_some_and(|entry| entry.born == view.born && entry.trimmed == view.trimmed);
                if is_unchanged {
                    return Err(fail.into_store());
                }
            }
        }
    }
    Err(StoreError::Unavailable("the stream kept changing while it was read".to_owned()))
}
