//! Reads everything in a store and says what is not as it was written.

use super::{
    OpenError, Shared, SledOptions, TornTail,
    codec::{self, Value},
    index_entry::IndexEntry,
    keys,
    open::{self, Recovered},
    read,
};

/// What is in a store, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// How many streams the index has.
    pub streams: u64,
    /// Records that are not trimmed away.
    pub records: u64,
    /// Values of cells, older ones included.
    pub cells: u64,
    /// Names that streams have for blobs.
    pub blobs: u64,
    /// The number of the last step.
    pub last: u64,
    /// What of the log's end could not be read when the store was opened, this time or before, oldest first.
    pub torn: Vec<TornTail>,
    /// What is not as it was written, in words.
    pub faults: Vec<String>,
}

/// Reads all of the store in a folder: every checksum, every stream's versions without a gap, every cell and blob that
/// its records name, the watermark. The store must not be open.
///
/// # Errors
/// [`OpenError`] if it cannot even be opened.
pub fn check(options: impl Into<SledOptions>) -> Result<CheckReport, OpenError> {
    let options = options.into();
    is_there(&options)?;
    let Recovered { shared, watermark, .. } = open::recover(options)?;
    let index = shared.index();
    let mut report =
        CheckReport { streams: index.len() as u64, last: index.last, torn: watermark.tears, ..CheckReport::default() };
    for entry in index.iter() {
        check_stream(&shared, entry, &mut report);
    }
    check_cells(&shared, &mut report);
    check_blobs(&shared, &mut report);
    Ok(report)
}

/// To look at a store must not make one.
pub(super) fn is_there(options: &SledOptions) -> Result<(), OpenError> {
    if options.path.join("LOCK").exists() {
        return Ok(());
    }
    if open::witness_path(options).exists() {
        return Err(OpenError::Corrupt("all of its files are gone".to_owned()));
    }
    Err(OpenError::Io { doing: "looking for a store in the folder", source: std::io::ErrorKind::NotFound.into() })
}

fn check_stream(shared: &Shared, entry: &IndexEntry, report: &mut CheckReport) {
    let id = &entry.id;
    match read::load(shared, id) {
        Ok(Some(found)) => {
            report.records += found.records.len() as u64;
            let named =
                found.records.iter().map(|record| &record.value).chain(found.cells.iter().map(|cell| &cell.value));
            for value in named {
                if let Value::Blob(name) = value
                    && let Err(error) = shared.blobs.read(name)
                {
                    report.faults.push(format!("{id}: a blob: {error}"));
                }
            }
        }
        Ok(None) => report.faults.push(format!("{id}: it is listed and not there")),
        Err(error) => report.faults.push(format!("{id}: {error}")),
    }
    if let Err(error) = read::marks(shared, id) {
        report.faults.push(format!("{id}: its marks: {error}"));
    }
}

/// Every value of every cell, also those that no reader asks for any longer.
fn check_cells(shared: &Shared, report: &mut CheckReport) {
    let mut pairs = shared.tree.scan_prefix(keys::CELLS).peekable();
    while let Some(pair) = pairs.next() {
        let Ok((key, value)) = pair else {
            report.faults.push("a cell cannot be read".to_owned());
            return;
        };
        let mut whole = value.to_vec();
        while let Some(Ok((_, part))) = pairs.next_if(|next| next.as_ref().is_ok_and(|(next, _)| is_part(&key, next))) {
            whole.extend_from_slice(&part);
        }
        report.cells += 1;
        if codec::read_cell(&key, &whole).is_err() {
            report.faults.push(format!("cell {}: it is not what was written", key.escape_ascii()));
        }
    }
}

fn is_part(of: &[u8], key: &[u8]) -> bool {
    key.len() == of.len() + 2 && key.starts_with(of)
}

fn check_blobs(shared: &Shared, report: &mut CheckReport) {
    for key in shared.tree.scan_prefix(keys::BLOBS).keys() {
        let Ok(key) = key else {
            report.faults.push("a blob's name cannot be read".to_owned());
            return;
        };
        report.blobs += 1;
        let stream = keys::read_blob_reference(&key).map(|(stream, _)| bobbinet_core::StreamId::from_bytes(stream));
        match stream {
            Some(stream) if shared.index().get(&stream).is_some() => {}
            Some(stream) => report.faults.push(format!("{stream}: it names a blob and is not there")),
            None => report.faults.push("a blob's name is not what was written".to_owned()),
        }
    }
}
