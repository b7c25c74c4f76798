//! How many small things share a key, and how a large one takes several.
//!
//! What sled does costs by the key more than by the byte, so the bodies of a group's steps are packed together. But no
//! value may be large either: sled writes a node of up to 16 values at once, and a node of more than 128 KiB into a file
//! of its own that it never syncs.

use super::{codec::BodyLocation, keys};

/// The longest value under one key, in bytes. Larger ones make fewer keys; but a node of 19, the most that a merge of two
/// makes, must stay far below 128 KiB, a cold read has to take a whole node in, and sled keeps hundreds of them in memory.
pub(super) const CHUNK_MAX: usize = 2_400;

/// Packs the bodies of a group, in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Packing {
    first: u64,
    count: u16,
    bytes: Vec<u8>,
    done: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Packing {
    /// Where the body of the step with this number will lie.
    pub(super) fn add(&mut self, number: u64, body: &[u8]) -> BodyLocation {
        if self.count > 0 && self.bytes.len() + 4 + body.len() > CHUNK_MAX {
            self.finish_chunk();
        }
        if self.count == 0 {
            self.first = number;
            self.bytes.reserve_exact(CHUNK_MAX.max(4 + body.len()));
        }
        append(&mut self.bytes, body);
        self.count += 1;
        BodyLocation { chunk: self.first, at: self.count - 1 }
    }

    /// The keys and values of all chunks.
    pub(super) fn finish(mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.finish_chunk();
        self.done
    }

    fn finish_chunk(&mut self) {
        if self.count > 0 {
            self.count = 0;
            split(keys::bodies(self.first), std::mem::take(&mut self.bytes), |key, value| self.done.push((key, value)));
        }
    }
}

/// A value under its key, or under the key and those of its parts.
pub(super) fn split(key: Vec<u8>, value: Vec<u8>, mut put: impl FnMut(Vec<u8>, Vec<u8>)) {
    if value.len() <= CHUNK_MAX {
        put(key, value);
        return;
    }
    for (number, part) in value.chunks(CHUNK_MAX).enumerate() {
        let key = if number == 0 { key.clone() } else { keys::part(&key, number) };
        put(key, part.to_vec());
    }
}

/// How many more parts a chunk has whose first part is this, and how long they are together.
pub(super) fn missing(first: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(first.get(..4)?.try_into().ok()?) as usize;
    Some((4 + length).saturating_sub(first.len()))
}

/// The bodies of a chunk; an empty one has been swept away.
pub(super) fn bodies(mut chunk: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    std::iter::from_fn(move || {
        if chunk.is_empty() {
            return None;
        }
        let body = chunk
            .split_at_checked(4)
            .and_then(|(length, rest)| rest.split_at_checked(u32::from_le_bytes(length.try_into().ok()?) as usize));
        let Some((body, rest)) = body else {
            chunk = &[];
            return Some(None);
        };
        chunk = rest;
        Some(Some(body))
    })
}

/// Appends a body to a chunk.
pub(super) fn append(chunk: &mut Vec<u8>, body: &[u8]) {
    let length = u32::try_from(body.len()).expect("a step's large records are blobs");
    chunk.extend_from_slice(&length.to_le_bytes());
    chunk.extend_from_slice(body);
}
