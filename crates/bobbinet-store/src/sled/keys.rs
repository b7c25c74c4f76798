//! The keys of the one tree. Numbers are big-endian, so that they are in order.
//!
//! | key | value |
//! |---|---|
//! | `v` | the number of the store's format and the store's identity |
//! | `g` | the newest group that had no heads, and the number of the last step until then |
//! | `h` number | *heads*: what the index knows of some consecutive steps; the number is the first one's |
//! | `l` number \[part\] | *bodies* of some steps; the number is the first one's |
//! | `x` stream | the number of the last step when the stream was forgotten |
//! | `c` stream key version \[part\] | what a cell became at a version, newest first |
//! | `m` stream reader | a reader's mark |
//! | `i` scope key | an idempotency key |
//! | `b` sha256 stream version | a blob is named by that step of that stream |

use bobbinet_core::StreamId;

use crate::{Key, Version};

pub(super) const FORMAT: &[u8] = b"v";
pub(super) const GROUP: &[u8] = b"g";
pub(super) const HEADS: &[u8] = b"h";
pub(super) const BODIES: &[u8] = b"l";
pub(super) const FORGOTTEN: &[u8] = b"x";
pub(super) const CELLS: &[u8] = b"c";
pub(super) const IDEMPOTENCY: &[u8] = b"i";
pub(super) const BLOBS: &[u8] = b"b";

pub(super) fn heads(number: u64) -> Vec<u8> {
    numbered(HEADS, number)
}

pub(super) fn bodies(number: u64) -> Vec<u8> {
    numbered(BODIES, number)
}

/// The number of a key of heads or bodies.
pub(super) fn number(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(1..9)?.try_into().ok()?))
}

fn numbered(kind: &[u8], number: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(9);
    key.extend_from_slice(kind);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The key of a part, after the first, of a value that is too long for one.
pub(super) fn part(of: &[u8], number: usize) -> Vec<u8> {
    let number = u16::try_from(number).expect("a value of more parts is a blob");
    [of, &number.to_be_bytes()].concat()
}

pub(super) fn forgotten(stream: &StreamId) -> Vec<u8> {
    [FORGOTTEN, stream.as_bytes()].concat()
}

/// All cells of a stream begin like this.
pub(super) fn cells(stream: &StreamId) -> Vec<u8> {
    sized(CELLS, stream.as_bytes())
}

/// All versions of a cell begin like this. The key is written so that one key is never the beginning of another and
/// keys keep their order: a zero byte becomes `00 ff`, and `00 00` ends it.
pub(super) fn cell(stream: &StreamId, key: &Key) -> Vec<u8> {
    let mut bytes = cells_beginning(stream, key);
    bytes.extend_from_slice(&[0, 0]);
    bytes
}

/// All cells whose keys begin with `prefix` begin like this.
pub(super) fn cells_beginning(stream: &StreamId, prefix: &Key) -> Vec<u8> {
    let mut bytes = cells(stream);
    for byte in &prefix.0 {
        bytes.push(*byte);
        if *byte == 0 {
            bytes.push(0xff);
        }
    }
    bytes
}

/// What a cell became at a version. Newer ones come first.
pub(super) fn cell_at(stream: &StreamId, key: &Key, version: Version) -> Vec<u8> {
    let mut bytes = cell(stream, key);
    bytes.extend_from_slice(&(!version.0).to_be_bytes());
    bytes
}

/// Reads the cell's key, its version and the part back from what follows [`cells`] in a key.
pub(super) fn read_cell(rest: &[u8]) -> Option<(Key, Version, usize)> {
    let mut key = Vec::with_capacity(rest.len());
    let mut at = 0;
    loop {
        match (*rest.get(at)?, rest.get(at + 1)) {
            (0, Some(0)) => break,
            (0, Some(0xff)) => {
                key.push(0);
                at += 2;
            }
            (0, Some(_) | None) => return None,
            (byte, _) => {
                key.push(byte);
                at += 1;
            }
        }
    }
    let rest = &rest[at + 2..];
    let version = Version(!u64::from_be_bytes(rest.get(..8)?.try_into().ok()?));
    let part = match rest.get(8..)? {
        [] => 0,
        part => usize::from(u16::from_be_bytes(part.try_into().ok()?)),
    };
    Some((Key(key.into()), version, part))
}

/// All marks of a stream begin like this; the reader's name follows.
pub(super) fn marks(stream: &StreamId) -> Vec<u8> {
    sized(b"m", stream.as_bytes())
}

pub(super) fn mark(stream: &StreamId, reader: &str) -> Vec<u8> {
    [&*marks(stream), reader.as_bytes()].concat()
}

pub(super) fn idempotency(scope: &str, key: &str) -> Vec<u8> {
    [&*sized(IDEMPOTENCY, scope.as_bytes()), key.as_bytes()].concat()
}

/// What all keys of one scope begin with, of one of them.
pub(super) fn idempotency_scope(key: &[u8]) -> &[u8] {
    let length = key.get(1..3).map_or(0, |length| usize::from(u16::from_be_bytes([length[0], length[1]])));
    key.get(..3 + length).unwrap_or(key)
}

/// All references to a blob begin like this.
pub(super) fn blob(sha256: &[u8; 32]) -> Vec<u8> {
    [BLOBS, sha256].concat()
}

pub(super) fn blob_reference(sha256: &[u8; 32], stream: &StreamId, version: Version) -> Vec<u8> {
    [BLOBS, sha256, stream.as_bytes(), &version.0.to_be_bytes()].concat()
}

/// The stream and the version that a reference to a blob is from.
pub(super) fn read_blob_reference(key: &[u8]) -> Option<(&[u8], Version)> {
    let (stream, version) = key.get(33..)?.split_last_chunk::<8>()?;
    Some((stream, Version(u64::from_be_bytes(*version))))
}

/// A kind and a text with its length before it, so that what follows is no part of it.
fn sized(kind: &[u8], text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a name longer than a commit may have");
    let mut key = Vec::with_capacity(3 + text.len() + 32);
    key.extend_from_slice(kind);
    key.extend_from_slice(&length.to_be_bytes());
    key.extend_from_slice(text);
    key
}

/// The first key after all those that begin with `prefix`.
pub(super) fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < 0xff {
            *last += 1;
            return end;
        }
        end.pop();
    }
    unreachable!("every key begins with a kind, and no kind is ff")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cells_key_is_read_back_and_keys_keep_their_order(
            a in proptest::collection::vec(prop_oneof![Just(0u8), Just(0xff), any::<u8>()], 0..6),
            b in proptest::collection::vec(prop_oneof![Just(0u8), Just(0xff), any::<u8>()], 0..6),
            version in any::<u64>(),
        ) {
            let stream = StreamId::from_bytes(b"c1");
            let (a, b) = (Key(a.into()), Key(b.into()));
            let written = cell_at(&stream, &a, Version(version));
            let rest = &written[cells(&stream).len()..];
            prop_assert_eq!(read_cell(rest), Some((a.clone(), Version(version), 0)));
            prop_assert_eq!(read_cell(&part(rest, 3)), Some((a.clone(), Version(version), 3)));
            prop_assert_eq!(cell(&stream, &a).cmp(&cell(&stream, &b)), a.cmp(&b));
        }
    }
}
