//! Writes a store as lines of JSON, so that its data can be read without it.

use std::io::{self, Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{OpenError, SledOptions, check, open, read, whole};
use crate::{StoreError, Summary};

/// How much an export or a salvage wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExportCounts {
    /// How many streams were written.
    pub streams: u64,
    /// How many of their records, trimmed ones not among them.
    pub records: u64,
    /// Cells, each with its newest value.
    pub cells: u64,
    /// Readers' marks.
    pub marks: u64,
    /// Lines that say that something could not be read. An export has none; it ends at the first.
    #[serde(skip_serializing_if = "is_zero")]
    pub damaged: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Why an export was not finished.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store could not be opened.
    #[error("opening the store")]
    Open(#[from] OpenError),
    /// A stream could not be read.
    #[error("reading {stream}")]
    Read {
        /// The stream's id.
        stream: String,
        /// What the store says of it.
        source: StoreError,
    },
    /// What was read could not be written.
    #[error("writing the export")]
    Write(#[from] io::Error),
}

/// One line. What is not text is in base64.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line<'a> {
    Stream {
        id: String,
        name: String,
        version: u64,
        trimmed: u64,
        summary: Option<&'a Summary>,
    },
    Record {
        version: u64,
        format: u16,
        body: Body,
    },
    Cell {
        key: Text,
        version: u64,
        value: Body,
    },
    Mark {
        reader: &'a str,
        at: u64,
    },
    /// Something that could not be read: of the store, or of the stream before.
    Damaged {
        what: String,
    },
    /// The last line: an export without it was cut off.
    Counts(ExportCounts),
}

/// JSON as it is, or anything.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Body {
    Json(Box<RawValue>),
    Base64(String),
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Text {
    Text(String),
    Base64(String),
}

/// Writes all of the store in a folder: for each stream a line, then a line for each of its records, cells and marks; at
/// the end a line with how many there were. The store must not be open.
///
/// # Errors
/// [`ExportError`]; what was written until then ends without the line of counts.
pub fn export(options: impl Into<SledOptions>, mut writer: impl Write) -> Result<ExportCounts, ExportError> {
    let options = options.into();
    check::is_there(&options)?;
    let shared = open::recover(options)?.shared;
    let mut counts = ExportCounts::default();
    for entry in shared.index().iter() {
        let failed = |source| ExportError::Read { stream: entry.id.to_string(), source };
        let Some(found) = read::load(&shared, &entry.id).map_err(failed)? else { continue };
        counts.streams += 1;
        let stream = Line::Stream {
            id: STANDARD.encode(entry.id.as_bytes()),
            name: entry.id.to_string(),
            version: u64::from(found.view.version),
            trimmed: u64::from(found.view.trimmed),
            summary: found.view.summary.as_ref(),
        };
        write_line(&mut writer, &stream)?;
        for (version, record) in (u64::from(found.view.trimmed) + 1..).zip(found.records) {
            counts.records += 1;
            let body = body(whole::value(&shared, record.value).map_err(failed)?);
            write_line(&mut writer, &Line::Record { version, format: record.format, body })?;
        }
        for cell in found.cells {
            counts.cells += 1;
            let value = body(whole::value(&shared, cell.value).map_err(failed)?);
            write_line(&mut writer, &Line::Cell { key: text(&cell.key.0), version: cell.version.0, value })?;
        }
        for (reader, at) in read::marks(&shared, &entry.id).map_err(failed)? {
            counts.marks += 1;
            write_line(&mut writer, &Line::Mark { reader: &reader, at: at.0 })?;
        }
    }
    write_line(&mut writer, &Line::Counts(counts))?;
    writer.flush()?;
    Ok(counts)
}

pub(super) fn write_line(writer: &mut impl Write, line: &Line<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *writer, line)?;
    writer.write_all(b"\n")
}

pub(super) fn body(value: Bytes) -> Body {
    // A line break can stand in JSON only between its words; it would cut the line here.
    let json = std::str::from_utf8(&value).ok().filter(|text| !text.contains(['\n', '\r']));
    match json.and_then(|text| RawValue::from_string(text.to_owned()).ok()) {
        Some(json) => Body::Json(json),
        None => Body::Base64(STANDARD.encode(&value)),
    }
}

pub(super) fn text(key: &[u8]) -> Text {
    match std::str::from_utf8(key) {
        Ok(text) => Text::Text(text.to_owned()),
        Err(_) => Text::Base64(STANDARD.encode(key)),
    }
}
