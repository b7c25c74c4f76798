//! Which group wrote something, in sixteen bytes that are recognised in the data file without sled.
//!
//! A group is written only after the one before it is durable. So a stamp of a later group that lies behind a place that
//! cannot be read proves that what is there was synced once: a power cut does not do that, a sick disk does.

/// What begins a stamp. No text has these bytes, so nothing that a caller says looks like one.
const MAGIC: [u8; 4] = [0xff, 0xb0, 0xbb, 0xfe];

/// How long a stamp is, in bytes.
pub(super) const LENGTH: usize = 16;

/// The highest bit of the number says that nothing of the group that has a number follows.
const END: u64 = 1 << 63;

/// The number of a group, with a checksum that covers the store's identity too: another store's stamps, and those that
/// somebody who does not know the identity would make up, are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp([u8; LENGTH]);

impl Stamp {
    /// The stamp of what is not the last of its group.
    pub(super) fn new(identity: &[u8; 16], group: u64) -> Self {
        Self::write(identity, group)
    }

    /// The stamp of the last of its group.
    pub(super) fn end(identity: &[u8; 16], group: u64) -> Self {
        Self::write(identity, group | END)
    }

    fn write(identity: &[u8; 16], number: u64) -> Self {
        let mut bytes = [0; LENGTH];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..12].copy_from_slice(&number.to_le_bytes());
        let checksum = checksum(identity, &bytes[..12]);
        bytes[12..].copy_from_slice(&checksum);
        Self(bytes)
    }

    /// Reads a stamp; `None` if that is none of this store.
    pub(super) fn read(identity: &[u8; 16], bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; LENGTH] = bytes.try_into().ok()?;
        let is_one = bytes.starts_with(&MAGIC) && bytes[12..] == checksum(identity, &bytes[..12]);
        is_one.then_some(Self(bytes))
    }

    /// Takes sixteen bytes as a stamp whose checksum is looked at elsewhere.
    pub(super) fn from_bytes(bytes: [u8; LENGTH]) -> Self {
        Self(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }

    fn number(&self) -> u64 {
        let mut number = [0; 8];
        number.copy_from_slice(&self.0[4..12]);
        u64::from_le_bytes(number)
    }

    pub(super) fn group(&self) -> u64 {
        self.number() & !END
    }

    pub(super) fn is_end(&self) -> bool {
        self.number() & END != 0
    }
}

/// All stamps of a store in some bytes, with where they begin.
pub(super) fn find<'a>(identity: &'a [u8; 16], bytes: &'a [u8]) -> impl Iterator<Item = (usize, Stamp)> + 'a {
    memchr::memmem::find_iter(bytes, &MAGIC)
        .filter_map(move |at| Some((at, Stamp::read(identity, bytes.get(at..at + LENGTH)?)?)))
}

fn checksum(identity: &[u8; 16], bytes: &[u8]) -> [u8; 4] {
    let mut hash = crc32fast::Hasher::new();
    hash.update(identity);
    hash.update(bytes);
    hash.finalize().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_found_among_other_bytes_and_only_those_of_the_store() {
        let (ours, others) = (*b"0123456789abcdef", *b"0123456789abcdeF");
        let mut bytes = vec![0xff; 7];
        bytes.extend_from_slice(Stamp::new(&ours, 7).as_bytes());
        bytes.extend_from_slice(Stamp::new(&others, 8).as_bytes());
        bytes.extend_from_slice(Stamp::end(&ours, 9).as_bytes());
        bytes.extend_from_slice(&Stamp::end(&ours, 10).as_bytes()[..LENGTH - 1]);
        let found: Vec<_> = find(&ours, &bytes).map(|(at, stamp)| (at, stamp.group(), stamp.is_end())).collect();
        assert_eq!(found, [(7, 7, false), (39, 9, true)]);
        assert_eq!(std::str::from_utf8(&MAGIC[..1]).ok(), None, "a text has no such byte");
    }
}
