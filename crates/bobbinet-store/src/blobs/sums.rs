//! The hash of each piece of a blob, so that one can be checked without the others.

use sha2::{Digest, Sha256};

use super::{BlobError, BlobHash, PIECE};

/// What a file of hashes begins with; the digit is its format.
const MAGIC: &[u8; 8] = b"BBSUMS1\n";

/// Hashes of the pieces, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pieces: Vec<[u8; 32]>,
}

impl Sums {
    pub(super) fn add(&mut self, piece: &[u8]) {
        self.pieces.push(Sha256::digest(piece).into());
    }

    /// Whether this is that piece.
    pub(super) fn is_piece(&self, number: u64, piece: &[u8]) -> bool {
        let known = usize::try_from(number).ok().and_then(|number| self.pieces.get(number));
        known.is_some_and(|known| <[u8; 32]>::from(Sha256::digest(piece)) == *known)
    }

    /// With the blob's name and length, and a hash of its own.
    pub(super) fn write(&self, hash: BlobHash, length: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(MAGIC.len() + 8 + 32 * (self.pieces.len() + 2));
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&hash.0);
        out.extend_from_slice(&length.to_be_bytes());
        self.pieces.iter().for_each(|piece| out.extend_from_slice(piece));
        let own: [u8; 32] = Sha256::digest(&out).into();
        out.extend_from_slice(&own);
        out
    }

    /// Reads them back, of this blob and no other.
    pub(super) fn read(bytes: &[u8], hash: BlobHash, length: u64) -> Result<Self, BlobError> {
        let damaged = || BlobError::Corrupt("the hashes of its pieces are not what was written".to_owned());
        let (told, own) = bytes.split_last_chunk::<32>().ok_or_else(damaged)?;
        if <[u8; 32]>::from(Sha256::digest(told)) != *own {
            return Err(damaged());
        }
        let rest = told.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(&hash.0)).ok_or_else(damaged)?;
        let pieces = rest.strip_prefix(&length.to_be_bytes()).ok_or_else(damaged)?;
        let (pieces, odd) = pieces.as_chunks::<32>();
        let is_whole = odd.is_empty() && pieces.len() as u64 == length.div_ceil(PIECE as u64);
        if is_whole { Ok(Self { pieces: pieces.to_vec() }) } else { Err(damaged()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_of_one_blob_and_whole() {
        let mut sums = Sums::default();
        sums.add(b"one");
        let (hash, length) = (BlobHash([7; 32]), 3);
        let written = sums.write(hash, length);
        let read = Sums::read(&written, hash, length).unwrap();
        assert_eq!(read, sums);
        assert!(read.is_piece(0, b"one") && !read.is_piece(0, b"two") && !read.is_piece(1, b"one"));
        assert!(Sums::read(&written, BlobHash([8; 32]), length).is_err());
        assert!(Sums::read(&written, hash, 4).is_err());
        for at in 0..written.len() {
            let mut flipped = written.clone();
            flipped[at] ^= 1;
            assert!(Sums::read(&flipped, hash, length).is_err(), "{at}");
            assert!(Sums::read(&written[..at], hash, length).is_err(), "{at}");
        }
    }
}
