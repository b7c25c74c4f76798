//! Writes what can be read of a store that is damaged, and says what cannot.
//!
//! A store that does not open is not touched: sled erases what it cannot read, so it is let loose on a copy.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, RwLock, atomic::AtomicBool},
};

use super::{
    Durability, ExportCounts, ExportError, OpenError, Shared, SledOptions,
    blobs::Blobs,
    bodies, check,
    codec::StoredRecord,
    export::{Line, body, text, write_line},
    folder,
    heal::{self, Lock},
    index_entry::IndexEntry,
    key_counts::KeyCounts,
    open, read,
    read_error::guarded,
    scan, whole,
};
use crate::{Summary, Version, wakes::Wakes};

/// Writes all that can be read of the store in a folder, in the lines of [`super::export()`], and a line for each thing that
/// cannot be read. The store must not be open.
///
/// # Errors
/// [`ExportError`] if sled can read nothing at all, or the lines cannot be written.
pub fn salvage(options: impl Into<SledOptions>, mut writer: impl Write) -> Result<ExportCounts, ExportError> {
    let options = options.into();
    check::is_there(&options)?;
    let (shared, faults, _copy) = match open::recover(options.clone()) {
        Ok(recovered) => (recovered.shared, Vec::new(), None),
        Err(OpenError::Corrupt(why)) => open_copy(&options, why)?,
        Err(error) => return Err(error.into()),
    };
    let mut counts = ExportCounts::default();
    for what in faults {
        damaged(&mut writer, &mut counts, what)?;
    }
    for entry in shared.index().iter() {
        stream(&shared, entry, &mut writer, &mut counts)?;
    }
    write_line(&mut writer, &Line::Counts(counts))?;
    writer.flush()?;
    Ok(counts)
}

fn damaged(writer: &mut impl Write, counts: &mut ExportCounts, what: String) -> io::Result<()> {
    counts.damaged += 1;
    write_line(writer, &Line::Damaged { what })
}

fn stream(shared: &Shared, entry: &IndexEntry, writer: &mut impl Write, counts: &mut ExportCounts) -> io::Result<()> {
    counts.streams += 1;
    let summary: Option<Summary> = shared.index().summary(entry);
    let line = Line::Stream {
        id: base64::Engine::encode(&base64::engine::general_purpose::STANDARD, entry.id.as_bytes()),
        name: entry.id.to_string(),
        version: u64::from(entry.version),
        trimmed: u64::from(entry.trimmed),
        summary: summary.as_ref(),
    };
    write_line(writer, &line)?;
    let mut chunks = bodies::Chunks::new(1);
    for step in entry.steps.all() {
        let read = || bodies::bodies(shared, &mut chunks, &entry.id, entry.born, &[*step]);
        let found = match guarded(read) {
            Ok(Ok(found)) => found,
            Ok(Err(fail)) => {
                let what = format!("the records from version {} on: {}", step.first, fail.into_store());
                damaged(writer, counts, what)?;
                continue;
            }
            Err(error) => {
                damaged(writer, counts, format!("the records from version {} on: {error}", step.first))?;
                continue;
            }
        };
        for body in found {
            for (version, record) in (body.first..).zip(body.records) {
                if version > entry.trimmed {
                    self::record(shared, version, record, writer, counts)?;
                }
            }
        }
    }
    match if entry.cells {
        read::cells(shared, &entry.id, &crate::Key::default(), Version(u64::MAX))
    } else {
        Ok(Vec::new())
    } {
        Ok(cells) => {
            for cell in cells {
                match whole::value(shared, cell.value) {
                    Ok(value) => {
                        counts.cells += 1;
                        let line = Line::Cell { key: text(&cell.key.0), version: cell.version.0, value: body(value) };
                        write_line(writer, &line)?;
                    }
                    Err(error) => damaged(writer, counts, format!("the cell {}: {error}", cell.key.0.escape_ascii()))?,
                }
            }
        }
        Err(error) => damaged(writer, counts, format!("its cells: {error}"))?,
    }
    match read::marks(shared, &entry.id) {
        Ok(marks) => {
            for (reader, at) in marks {
                counts.marks += 1;
                write_line(writer, &Line::Mark { reader: &reader, at: at.0 })?;
            }
        }
        Err(error) => damaged(writer, counts, format!("its marks: {error}"))?,
    }
    Ok(())
}

fn record(
    shared: &Shared,
    version: u32,
    kept: StoredRecord,
    writer: &mut impl Write,
    counts: &mut ExportCounts,
) -> io::Result<()> {
    match whole::value(shared, kept.value) {
        Ok(value) => {
            counts.records += 1;
            write_line(writer, &Line::Record { version: u64::from(version), format: kept.format, body: body(value) })
        }
        Err(error) => damaged(writer, counts, format!("the record of version {version}: {error}")),
    }
}

/// A copy of sled's files, for as long as this lives.
#[derive(Debug)]
struct Copy(PathBuf);

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "the copy of the store could not be removed");
        }
    }
}

impl Copy {
    /// Beside the store: where it is there may be room for a second one.
    fn make(store: &Path) -> io::Result<Self> {
        let name = store.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = store.with_file_name(format!("{name}.salvage-{}", std::process::id()));
        folder::make(&path.join("log"), false)?;
        let copy = Self(path);
        for entry in fs::read_dir(store.join("log"))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), copy.0.join("log").join(entry.file_name()))?;
            }
        }
        Ok(copy)
    }
}

type Opened = (Shared, Vec<String>, Option<Copy>);

fn open_copy(options: &SledOptions, why: String) -> Result<Opened, OpenError> {
    let io = |doing| move |source| OpenError::Io { doing, source };
    let lock = Lock::take(&options.path)?;
    let copy = Copy::make(&options.path).map_err(io("copying the store"))?;
    heal::snapshots(&copy.0.join("log")).map_err(io("putting a half-written snapshot right"))?;
    let gaps = scan::behind_gaps(&copy.0.join("log")).map_err(io("reading the log"))?;
    scan::erase(&copy.0.join("log"), &gaps).map_err(io("cutting the log where a part of it is missing"))?;
    let options = options.clone();
    let folder = copy.0.clone();
    // sled panics where it meets damage.
    let opened = open::apart(move || {
        let tree = open::open_sled(&options, &folder.join("log"))?;
        let mut faults = vec![why];
        let (index, _) = open::read_index(&tree, None, &mut |fault| {
            faults.push(fault);
            Ok(())
        })?;
        let data = fs::File::open(folder.join("log/db")).map_err(io("opening the data file a second time"))?;
        let blobs = Blobs::open(options.path.join("blobs"), false).map_err(io("opening the folder of blobs"))?;
        let shared = Shared {
            tree,
            data,
            identity: [0; 16],
            index: RwLock::new(index),
            wakes: Wakes::default(),
            blobs: std::sync::Arc::new(blobs),
            durability: Durability::None,
            free_space_min: 0,
            folder,
            key_counts: Mutex::new(KeyCounts::none()),
            has_garbage: AtomicBool::new(false),
            fault: OnceLock::new(),
            _lock: lock,
        };
        Ok((shared, faults))
    });
    let (shared, faults) = opened?;
    Ok((shared, faults, Some(copy)))
}
