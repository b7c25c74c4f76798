//! How an event is written in a record, and read back.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_core::{Event, Generation, Timestamp};
use weft_store::Record;

use crate::EngineError;

/// The format that this version writes: JSON, `{"at": …, "g": …, "event": {…}}`. A newer one is refused, never guessed.
pub const FORMAT: u16 = 1;

#[derive(Serialize)]
struct Line<'a> {
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    g: Option<Generation>,
    event: &'a Event,
}

#[derive(Deserialize)]
struct Read {
    at: Timestamp,
    g: Option<Generation>,
    event: Event,
}

/// An event as it was kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// When it happened.
    pub at: Timestamp,
    /// Which public event it is; `None` for an internal one.
    pub generation: Option<Generation>,
    /// It.
    pub event: Arc<Event>,
}

/// The record of an event.
///
/// # Panics
/// If an event cannot be written as JSON, which would be a fault of its type.
pub fn encode(at: Timestamp, generation: Option<Generation>, event: &Event) -> Record {
    let mut body = Vec::with_capacity(256);
    serde_json::to_writer(&mut body, &Line { at, g: generation, event }).expect("events have string keys");
    Record { format: FORMAT, body: Bytes::from(body) }
}

/// Reads a record back.
///
/// # Errors
/// [`EngineError::Corrupt`] for a newer format and for a body that is none of ours.
pub fn decode(record: &Record) -> Result<Kept, EngineError> {
    if record.format > FORMAT {
        return Err(EngineError::Corrupt(format!(
            "a record has format {}, this version reads up to {FORMAT}: run a newer weft on this data",
            record.format
        )));
    }
    let read: Read = serde_json::from_slice(&record.body)
        .map_err(|error| EngineError::Corrupt(format!("a record cannot be read: {error}")))?;
    Ok(Kept { at: read.at, generation: read.g, event: Arc::new(read.event) })
}
