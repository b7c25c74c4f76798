//! Reads the bodies of steps, each from the chunk in which it lies among others.

use bobbinet_core::StreamId;
use bytes::Bytes;

use super::{
    Shared, chunks,
    codec::{Body, BodyLocation},
    index_entry::StepAt,
    keys,
    read_error::ReadError,
};

/// Chunks that have been read, the last few of them: streams that began together lie together.
#[derive(Debug)]
pub(super) struct Chunks {
    read: Vec<(u64, Bytes)>,
    max: usize,
}

impl Chunks {
    /// Keeps `max` chunks at hand.
    pub(super) fn new(max: usize) -> Self {
        Self { read: Vec::new(), max }
    }

    fn get(&mut self, shared: &Shared, number: u64) -> Result<Bytes, ReadError> {
        if let Some((_, chunk)) = self.read.iter().rev().find(|(read, _)| *read == number) {
            return Ok(chunk.clone());
        }
        let chunk = chunk(shared, number)?;
        if self.read.len() == self.max {
            self.read.remove(0);
        }
        self.read.push((number, chunk.clone()));
        Ok(chunk)
    }
}

/// The bodies of some steps of a stream, each checked to be that step's.
pub(super) fn bodies(
    shared: &Shared,
    chunks: &mut Chunks,
    id: &StreamId,
    born: u64,
    steps: &[StepAt],
) -> Result<Vec<Body>, ReadError> {
    let body = |step: &StepAt| {
        let place = step.place();
        let body = body_at(&chunks.get(shared, place.chunk)?, place)?;
        if body.stream != *id || body.born != born || body.first != step.first {
            return Err(ReadError::Missing("a body"));
        }
        Ok(body)
    };
    steps.iter().map(body).collect()
}

fn body_at(chunk: &Bytes, place: BodyLocation) -> Result<Body, ReadError> {
    let body = chunks::bodies(chunk).nth(usize::from(place.at)).flatten().filter(|body| !body.is_empty());
    Ok(Body::read(&chunk.slice_ref(body.ok_or(ReadError::Missing("a body"))?))?)
}

/// A chunk of bodies with all its parts.
fn chunk(shared: &Shared, number: u64) -> Result<Bytes, ReadError> {
    let key = keys::bodies(number);
    let first = shared.tree.get(&key)?.ok_or(ReadError::Missing("a chunk of bodies"))?;
    let mut missing = chunks::missing(&first).ok_or(ReadError::Missing("a chunk of bodies"))?;
    if missing == 0 {
        return Ok(Bytes::copy_from_slice(&first));
    }
    let mut whole = first.to_vec();
    for part in 1.. {
        let part = shared.tree.get(keys::part(&key, part))?.filter(|part| !part.is_empty());
        let part = part.ok_or(ReadError::Missing("a part of a body"))?;
        whole.extend_from_slice(&part);
        missing = missing.saturating_sub(part.len());
        if missing == 0 {
            break;
        }
    }
    Ok(whole.into())
}
