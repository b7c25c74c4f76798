//! What is asked of what comes in, and simple values, alike in both packages.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bobbinet_core::{Base64, ContextId, IdError, Json, Role, Secret, Timestamp};
use bobbinet_wire::sha256_hex;
use bytes::Bytes;
use prost_types::Struct;

use crate::{
    faults::{At, Author, Faults},
    json,
};

/// How many elements a list in a request may have: a part takes few bytes on the wire, and many more in memory.
const LIST_LENGTH_MAX: usize = 1_000;

const MILLIS: i64 = 1_000;
const NANOS_OF_MILLI: i32 = 1_000_000;
const NANOS_OF_SECOND: i32 = 1_000_000_000;

/// The id of what an agent gave none.
const UNNAMED: &str = "unnamed";

/// A text that says something. In proto3 an empty text is the same as none.
pub(crate) fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// A text that must say something.
pub(crate) fn required(text: String, at: At<'_>, faults: &mut Faults) -> Option<String> {
    let text = given(text);
    if text.is_none() {
        faults.wrong(at, "is required");
    }
    text
}

/// A secret as it goes out. In proto3 none is an empty text.
pub(crate) fn revealed(secret: Option<&Secret>) -> String {
    secret.map_or_else(String::new, |secret| secret.reveal().to_owned())
}

/// The same as [`given`], to be held by many.
pub(crate) fn word(text: String) -> Option<Arc<str>> {
    given(text).map(Arc::from)
}

/// An id that its sender has chosen. Of an agent any text will do, and none: what is no id of ours is told apart by its hash.
pub(crate) fn own_id<T>(
    text: &str,
    at: At<'_>,
    faults: &mut Faults,
    parse: impl Fn(&str) -> Result<T, IdError>,
) -> Option<T> {
    match faults.author {
        Author::Client => match parse(text) {
            Ok(id) => Some(id),
            Err(_) if text.is_empty() => {
                faults.wrong(at, "is required");
                None
            }
            Err(error) => {
                faults.wrong(at, format!("cannot be read: {error}"));
                None
            }
        },
        Author::Agent if text.is_empty() => parse(UNNAMED).ok(),
        Author::Agent => parse(text).or_else(|_| parse(&sha256_hex(text.as_bytes()))).ok(),
    }
}

/// The context that a message names. An agent's own ids are its own business.
pub(crate) fn context_id(text: String, at: At<'_>, faults: &mut Faults) -> Option<String> {
    let text = given(text)?;
    if faults.author == Author::Client
        && let Err(error) = ContextId::parse(&text)
    {
        faults.wrong(at, format!("cannot be read: {error}"));
    }
    Some(text)
}

/// Who speaks. Whoever sends us a message is the user of its task, whatever the message says; an agent that says nothing of it is one.
pub(crate) fn role(role: Option<Role>, at: At<'_>, faults: &mut Faults) -> Option<Role> {
    match (faults.author, role) {
        (Author::Client, Some(_)) => Some(Role::User),
        (Author::Client, None) => {
            faults.wrong(at, "must be ROLE_USER");
            None
        }
        (Author::Agent, role) => Some(role.unwrap_or(Role::Agent)),
    }
}

/// A list whose length is bounded, if a client wrote it.
pub(crate) fn list<T>(items: Vec<T>, at: At<'_>, faults: &mut Faults) -> Vec<T> {
    if faults.author == Author::Client && items.len() > LIST_LENGTH_MAX {
        faults.wrong(at, format!("must have at most {LIST_LENGTH_MAX} elements, not {}", items.len()));
        return Vec::new();
    }
    items
}

/// Texts that may be held by many.
pub(crate) fn words(words: Vec<String>, at: At<'_>, faults: &mut Faults) -> Vec<Arc<str>> {
    let words = list(words, at, faults);
    let mut read = Vec::with_capacity(words.len());
    for (index, text) in words.into_iter().enumerate() {
        match given(text) {
            Some(text) => read.push(Arc::from(text)),
            None if faults.author == Author::Agent => {}
            None => faults.wrong(at.index(index), "may not be empty"),
        }
    }
    read
}

/// Parts, each as `read` takes it. The specification wants at least one; agents that stream text have been seen to send none.
pub(crate) fn parts<T, P>(
    parts: Vec<T>,
    at: At<'_>,
    faults: &mut Faults,
    read: impl Fn(T, At<'_>, &mut Faults) -> Option<P>,
) -> Vec<P> {
    if parts.is_empty() && faults.author == Author::Client {
        faults.wrong(at, "must have at least one part");
    }
    let parts = list(parts, at, faults);
    parts.into_iter().enumerate().filter_map(|(index, part)| read(part, at.index(index), faults)).collect()
}

/// An object.
pub(crate) fn object(fields: Option<Struct>, at: At<'_>, faults: &mut Faults) -> Option<Json> {
    match json::json_object(fields?) {
        Ok(json) => Some(json),
        Err(error) => {
            faults.wrong(at, format!("cannot be read: {error}"));
            None
        }
    }
}

/// Zero is no history at all, nothing is all of it.
pub(crate) fn history_length(length: Option<i32>, at: At<'_>, faults: &mut Faults) -> Option<u32> {
    let length = u32::try_from(length?);
    if length.is_err() {
        faults.wrong(at, "may not be negative");
    }
    length.ok()
}

/// Bytes as the core keeps them.
pub(crate) fn base64(bytes: &[u8]) -> Base64 {
    Base64::from_checked(&STANDARD.encode(bytes))
}

/// Bytes as protobuf has them.
pub(crate) fn bytes(base64: &Base64) -> Bytes {
    Bytes::from(STANDARD.decode(base64.as_str()).unwrap_or_default())
}

/// A time, rounded up to the next millisecond, since what is asked for is "not before". Nothing of ours is older than 1970.
pub(crate) fn timestamp(time: prost_types::Timestamp, at: At<'_>, faults: &mut Faults) -> Option<Timestamp> {
    if !(0..NANOS_OF_SECOND).contains(&time.nanos) {
        if faults.author == Author::Client {
            faults.wrong(at, "must have nanos between 0 and 999999999");
        }
        return None;
    }
    let millis = i64::from(time.nanos.unsigned_abs().div_ceil(NANOS_OF_MILLI.unsigned_abs()));
    let since = time.seconds.saturating_mul(MILLIS).saturating_add(millis);
    Some(Timestamp::from_millis(u64::try_from(since).unwrap_or(0)))
}

/// A time as protobuf has it.
pub(crate) fn time(at: Timestamp) -> prost_types::Timestamp {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    let nanos = i32::try_from(millis % MILLIS).unwrap_or_default() * NANOS_OF_MILLI;
    prost_types::Timestamp { seconds: millis / MILLIS, nanos }
}

/// Copies of texts that others hold.
pub(crate) fn texts(words: &[Arc<str>]) -> Vec<String> {
    words.iter().map(|word| word.as_ref().to_owned()).collect()
}

/// A copy of a text that may be none.
pub(crate) fn text(word: Option<&Arc<str>>) -> String {
    word.map_or_else(String::new, |word| word.as_ref().to_owned())
}
