//! How an event is written in a record, and read back.

use std::{borrow::Cow, fmt::Display};

use bobbinet_core::{Event, Generation, Timestamp};
use bobbinet_store::Record;
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::EngineError;

/// The format that this version writes: JSON, `{"at": …, "g": …, "event": {…}}`. A newer one is refused, never guessed.
pub const FORMAT: u16 = 1;

/// Room for what an ordinary commit says: one piece of memory for all its records, no larger than what is quick to get.
const COMMIT_CAPACITY: usize = 1_000;

#[derive(Serialize)]
struct Line<'a, E> {
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    g: Option<Generation>,
    event: &'a E,
}

#[derive(Deserialize)]
struct Read<E> {
    at: Timestamp,
    g: Option<Generation>,
    event: E,
}

/// An event as it was kept.
#[derive(Clone, Debug)]
pub struct RecordedEvent<E = Event> {
    /// When it happened.
    pub at: Timestamp,
    /// Which public event it is; `None` for an internal one.
    pub generation: Option<Generation>,
    /// What happened.
    pub event: E,
}

/// The records of events that happen at once, in their order. Each comes with its generation, if it is public.
///
/// # Panics
/// If an event cannot be written as JSON, which would be a fault of its type.
pub fn encode<'a, E: Serialize + 'a>(
    at: Timestamp,
    events: impl ExactSizeIterator<Item = (Option<Generation>, &'a E)>,
) -> Vec<Record> {
    let mut whole = Vec::with_capacity(COMMIT_CAPACITY);
    let mut ends = Vec::with_capacity(events.len());
    for (generation, event) in events {
        serde_json::to_writer(&mut whole, &Line { at, g: generation, event }).expect("events have string keys");
        ends.push(whole.len());
    }
    let whole = Bytes::from(whole);
    let mut begin = 0;
    let record = |end| Record { format: FORMAT, body: whole.slice(std::mem::replace(&mut begin, end)..end) };
    ends.into_iter().map(record).collect()
}

/// Reads a record back.
///
/// # Errors
/// [`EngineError::Corrupt`] for a newer format and for a body that is none of ours.
pub fn decode<E: DeserializeOwned>(record: &Record) -> Result<RecordedEvent<E>, EngineError> {
    decode_as(record, Cow::Borrowed)
}

/// The same, of the text that somebody makes of what was kept.
pub(crate) fn decode_as<'a, E: DeserializeOwned>(
    record: &'a Record,
    read: impl FnOnce(&'a str) -> Cow<'a, str>,
) -> Result<RecordedEvent<E>, EngineError> {
    if record.format > FORMAT {
        return Err(EngineError::Corrupt(format!(
            "a record has format {}, this version reads up to {FORMAT}: run a newer bobbinet on this data",
            record.format
        )));
    }
    let corrupt = |error: &dyn Display| EngineError::Corrupt(format!("a record cannot be read: {error}"));
    // That it is text is looked at once, not again for each of its words.
    let text = std::str::from_utf8(&record.body).map_err(|error| corrupt(&error))?;
    let read: Read<E> = serde_json::from_str(&read(text)).map_err(|error| corrupt(&error))?;
    Ok(RecordedEvent { at: read.at, generation: read.g, event: read.event })
}
