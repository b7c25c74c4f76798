//! What a reader is given: what was found in the tree, its large values read from their files.

use std::io;

use bobbinet_core::StreamId;
use bytes::Bytes;

use super::{
    Shared,
    codec::{self, StoredRecord, Value},
    read::{self, Found, FoundCell, FoundPage},
};
use crate::{Cell, Key, Loaded, Page, Record, StoreError, Version};

pub(super) fn load(shared: &Shared, id: &StreamId) -> Result<Option<Loaded>, StoreError> {
    read::load(shared, id)?.map_or(Ok(None), |found| loaded(shared, id, found))
}

/// Several streams, until they are enough bytes. One that is damaged keeps none of the others.
pub(super) fn load_all(shared: &Shared, ids: &[StreamId], bytes_max: usize) -> Vec<Result<Option<Loaded>, StoreError>> {
    let (mut all, mut bytes) = (Vec::with_capacity(ids.len()), 0);
    for (id, found) in ids.iter().zip(read::load_all(shared, ids)) {
        let loaded = found.and_then(|found| found.map_or(Ok(None), |found| loaded(shared, id, found)));
        bytes += loaded.as_ref().ok().and_then(Option::as_ref).map_or(0, Loaded::bytes);
        all.push(loaded);
        if bytes >= bytes_max {
            break;
        }
    }
    all
}

pub(super) fn page(shared: &Shared, id: &StreamId, after: Version, limit: usize) -> Result<Page, StoreError> {
    match read::page(shared, id, after, limit)? {
        FoundPage::Records(kept) => {
            let records = records(shared, kept);
            if_there(shared, id, records, Vec::new).map(Page::Records)
        }
        FoundPage::Trimmed(first) => Ok(Page::Trimmed { first: codec::version(first) }),
    }
}

pub(super) fn cells(shared: &Shared, id: &StreamId, prefix: &Key, at: Version) -> Result<Vec<Cell>, StoreError> {
    let found = found_cells(shared, read::cells(shared, id, prefix, at)?);
    if_there(shared, id, found, Vec::new)
}

fn loaded(shared: &Shared, id: &StreamId, found: Found) -> Result<Option<Loaded>, StoreError> {
    let Found { view, cells, records: kept } = found;
    let loaded = || {
        let cells = found_cells(shared, cells)?;
        let records = records(shared, kept)?;
        let (version, trimmed) = (codec::version(view.version), codec::version(view.trimmed));
        Ok(Some(Loaded { summary: view.summary, version, cells, trimmed, records }))
    };
    if_there(shared, id, loaded(), || None)
}

/// A stream that is not what it was when something of it could not be found was forgotten, and its blobs went with it.
fn if_there<T>(
    shared: &Shared,
    id: &StreamId,
    read: Result<T, StoreError>,
    gone: impl FnOnce() -> T,
) -> Result<T, StoreError> {
    match read {
        Err(StoreError::Corrupt(_)) if shared.index().get(id).is_none() => Ok(gone()),
        read => read,
    }
}

fn records(shared: &Shared, kept: Vec<StoredRecord>) -> Result<Vec<Record>, StoreError> {
    let record = |StoredRecord { format, value: kept }| Ok(Record { format, body: value(shared, kept)? });
    kept.into_iter().map(record).collect()
}

fn found_cells(shared: &Shared, found: Vec<FoundCell>) -> Result<Vec<Cell>, StoreError> {
    let cell = |FoundCell { key, version, value: kept }| Ok(Cell { key, version, value: value(shared, kept)? });
    found.into_iter().map(cell).collect()
}

/// A value itself.
pub(super) fn value(shared: &Shared, value: Value) -> Result<Bytes, StoreError> {
    match value {
        Value::Inline(bytes) => Ok(bytes),
        Value::Blob(name) => shared.blobs.read(&name).map_err(|error| {
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) {
                StoreError::Corrupt("a blob is missing or not what was written".to_owned())
            } else {
                StoreError::Unavailable(format!("a blob could not be read: {error}"))
            }
        }),
    }
}
