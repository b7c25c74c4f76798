//! How heads, bodies, cells and the rest are written. Every value carries a checksum: sled has been seen to lose what
//! it was given without a word, and what was lost must be found.

use std::sync::Arc;

use bobbinet_core::{StreamId, Timestamp};
use bytes::Bytes;

use super::stamp::{self, Stamp};
use crate::{Key, Summary, Version};

/// The number of the format of all values. A store with a higher one is refused.
///
/// 2: chunks of heads say which group wrote them. 1 was never released.
pub(super) const FORMAT: u32 = 2;

/// What is written is not what is read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not what was written")]
pub(super) struct Damaged(pub(super) &'static str);

/// Where the body of a step lies: the number of the chunk of bodies, and which one in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BodyLocation {
    pub(super) chunk: u64,
    pub(super) at: u16,
}

/// What the index must know of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) stream: StreamId,
    /// The number of the stream's first step in the order of all steps.
    pub(super) born: u64,
    /// The stream's version after the step.
    pub(super) version: u32,
    /// How far the stream is trimmed after the step.
    pub(super) trimmed: u32,
    /// The stream's summary after the step.
    pub(super) summary: Option<Arc<Summary>>,
    /// Whether the stream has, or had, cells.
    pub(super) cells: bool,
    /// Whether the stream names, or named, blobs.
    pub(super) blobs: bool,
    pub(super) change: Change,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It appended `count` records, whose bodies lie there.
    Grown { count: u32, place: BodyLocation },
    /// It dropped records from the front.
    Trimmed,
}

/// The records of a step as they are kept, and the names of the cells that it set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) stream: StreamId,
    pub(super) born: u64,
    /// The version of the first record.
    pub(super) first: u32,
    pub(super) records: Vec<StoredRecord>,
    pub(super) cells: Vec<CellName>,
}

/// A record as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredRecord {
    pub(super) format: u16,
    pub(super) value: Value,
}

/// A value, or where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Inline(Bytes),
    Blob(BlobName),
}

/// The name of a blob: the SHA-256 of its bytes, and how many these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BlobName {
    pub(super) sha256: [u8; 32],
    pub(super) length: u64,
}

/// A cell that a step set or took away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CellName {
    pub(super) key: Key,
    pub(super) there: bool,
}

/// A known idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) stream: StreamId,
    pub(super) body_hash: [u8; 32],
    pub(super) expires: Timestamp,
}

/// A chunk of heads. Those that are no longer needed are `None`, so that the numbers of the others stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heads {
    /// Which group wrote them first.
    pub(super) stamp: Stamp,
    /// How many numbers from this chunk's to the next one's, so that a chunk that is missing is noticed.
    pub(super) span: u64,
    pub(super) entries: Vec<Option<Head>>,
}

impl Body {
    /// The version after the last record.
    pub(super) fn last(&self) -> u32 {
        self.first + (self.records.len() as u32).saturating_sub(1)
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let size: usize = self.records.iter().map(|record| record.value.size() + 8).sum();
        let mut out = Writer::checked(size + 64);
        out.stream(&self.stream);
        out.u64(self.born);
        out.u32(self.first);
        out.u32(self.records.len() as u32);
        for record in &self.records {
            out.u16(record.format);
            out.value(&record.value);
        }
        out.u32(self.cells.len() as u32);
        for cell in &self.cells {
            out.short(&cell.key.0);
            out.u8(u8::from(cell.there));
        }
        out.finish()
    }

    /// Reads a body. Its records stay where they are in `bytes`.
    pub(super) fn read(bytes: &Bytes) -> Result<Self, Damaged> {
        Reader::checked(bytes).and_then(|mut read| read.body(bytes)).ok_or(Damaged("a body"))
    }

    /// Whose body it is and its first version, without reading all of it or its checksum.
    pub(super) fn peek(bytes: &[u8]) -> Option<(StreamId, u64, u32, u32)> {
        let mut read = Reader(bytes.get(4..)?);
        Some((read.stream()?, read.u64()?, read.u32()?, read.u32()?))
    }
}

/// Writes a chunk of heads, one by one.
#[derive(Debug)]
pub(super) struct HeadsWriter {
    out: Writer,
    count: u64,
}

impl HeadsWriter {
    pub(super) fn new() -> Self {
        let mut out = Writer::checked(4_096);
        out.0.extend_from_slice(&[0; stamp::LENGTH]);
        out.u64(0);
        Self { out, count: 0 }
    }

    /// Takes a head that was written by [`Head::write`].
    pub(super) fn push(&mut self, head: &[u8]) {
        self.out.short(head);
        self.count += 1;
    }

    /// How long the chunk would be with this much more.
    pub(super) fn size_with(&self, size: usize) -> usize {
        self.out.0.len() + size + 2
    }

    pub(super) fn finish(mut self, stamp: Stamp) -> Vec<u8> {
        let span = 4 + stamp::LENGTH;
        self.out.0[4..span].copy_from_slice(stamp.as_bytes());
        self.out.0[span..span + 8].copy_from_slice(&self.count.to_le_bytes());
        self.out.finish()
    }
}

impl Heads {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Writer::checked(self.entries.len() * 160 + 32);
        out.0.extend_from_slice(self.stamp.as_bytes());
        out.u64(self.span);
        for entry in &self.entries {
            match entry {
                None => out.u16(0),
                Some(head) => out.short(&head.write()),
            }
        }
        out.finish()
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let heads = || {
            let mut read = Reader::checked(bytes)?;
            let stamp = Stamp::from_bytes(read.take(stamp::LENGTH)?.try_into().ok()?);
            let span = read.u64()?;
            let mut entries = Vec::new();
            while !read.0.is_empty() {
                entries.push(match read.short()? {
                    [] => None,
                    head => Some(Reader(head).head()?),
                });
            }
            Some(Self { stamp, span, entries })
        };
        heads().ok_or(Damaged("a chunk of heads"))
    }
}

impl Head {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(256));
        let (kind, count, place) = match self.change {
            Change::Grown { count, place } => (0, count, place),
            Change::Trimmed => (1, 0, BodyLocation { chunk: 0, at: 0 }),
        };
        out.u8(kind | u8::from(self.cells) << 1 | u8::from(self.blobs) << 2 | u8::from(self.summary.is_some()) << 3);
        out.stream(&self.stream);
        out.u64(self.born);
        out.u32(self.version);
        out.u32(self.trimmed);
        out.u32(count);
        out.u64(place.chunk);
        out.u16(place.at);
        if let Some(summary) = &self.summary {
            out.summary(summary);
        }
        out.0
    }
}

impl Value {
    /// How long it is as it is written.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Inline(bytes) => bytes.len() + 5,
            Self::Blob(_) => 41,
        }
    }
}

/// A cell's value with its checksum, which covers the key too: a value in another's place is noticed.
pub(super) fn write_cell(key: &[u8], value: Option<&Value>) -> Vec<u8> {
    let mut out = Writer::checked(value.map_or(1, Value::size));
    match value {
        None => out.u8(2),
        Some(value) => out.value(value),
    }
    out.finish_with(key)
}

pub(super) fn read_cell(key: &[u8], bytes: &[u8]) -> Result<Option<Value>, Damaged> {
    let cell = || {
        let mut read = Reader::checked_with(bytes, key)?;
        if read.0 == [2] { Some(None) } else { Some(Some(read.value(Bytes::copy_from_slice)?)) }
    };
    cell().ok_or(Damaged("a cell"))
}

pub(super) fn write_remembered(known: &Remembered) -> Vec<u8> {
    let mut out = Writer::checked(64);
    out.stream(&known.stream);
    out.0.extend_from_slice(&known.body_hash);
    out.u64(known.expires.as_millis());
    out.finish()
}

pub(super) fn read_remembered(bytes: &[u8]) -> Result<Remembered, Damaged> {
    let known = || {
        let mut read = Reader::checked(bytes)?;
        let stream = read.stream()?;
        let body_hash = read.take(32)?.try_into().ok()?;
        Some(Remembered { stream, body_hash, expires: Timestamp::from_millis(read.u64()?) })
    };
    known().ok_or(Damaged("an idempotency key"))
}

/// A number alone, with its checksum: a mark, or when a stream was forgotten.
pub(super) fn write_number(number: u64) -> Vec<u8> {
    let mut out = Writer::checked(8);
    out.u64(number);
    out.finish()
}

pub(super) fn read_number(bytes: &[u8]) -> Result<u64, Damaged> {
    Reader::checked(bytes).and_then(|mut read| read.u64()).ok_or(Damaged("a number"))
}

/// What a group without heads says of itself: its stamp, and the number of the last step until then.
pub(super) fn write_group(stamp: Stamp, last: u64) -> Vec<u8> {
    let mut out = Writer::checked(24);
    out.0.extend_from_slice(stamp.as_bytes());
    out.u64(last);
    out.finish()
}

pub(super) fn read_group(bytes: &[u8]) -> Result<(Stamp, u64), Damaged> {
    let group = || {
        let mut read = Reader::checked(bytes)?;
        let stamp = Stamp::from_bytes(read.take(stamp::LENGTH)?.try_into().ok()?);
        Some((stamp, read.u64()?))
    };
    group().ok_or(Damaged("the number of the last group"))
}

/// What the store is: the number of its format, and sixteen bytes that no other store has.
pub(super) fn write_identity(format: u32, identity: &[u8; 16]) -> Vec<u8> {
    let mut out = Writer::checked(20);
    out.u32(format);
    out.0.extend_from_slice(identity);
    out.finish()
}

pub(super) fn read_identity(bytes: &[u8]) -> Result<(u32, [u8; 16]), Damaged> {
    let identity = || {
        let mut read = Reader::checked(bytes)?;
        Some((read.u32()?, read.take(16)?.try_into().ok()?))
    };
    identity().ok_or(Damaged("the store's identity"))
}

/// Writes little-endian numbers and texts with their lengths.
#[derive(Debug)]
struct Writer(Vec<u8>);

impl Writer {
    /// Leaves room for the checksum that [`Writer::finish`] puts first.
    fn checked(size: usize) -> Self {
        let mut bytes = Vec::with_capacity(size + 4);
        bytes.extend_from_slice(&[0; 4]);
        Self(bytes)
    }

    fn finish(self) -> Vec<u8> {
        self.finish_with(&[])
    }

    fn finish_with(mut self, also: &[u8]) -> Vec<u8> {
        let checksum = checksum(&self.0[4..], also);
        self.0[..4].copy_from_slice(&checksum.to_le_bytes());
        self.0
    }

    fn u8(&mut self, number: u8) {
        self.0.push(number);
    }

    fn u16(&mut self, number: u16) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn u32(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn short(&mut self, bytes: &[u8]) {
        self.u16(u16::try_from(bytes.len()).expect("a name longer than a commit may have"));
        self.0.extend_from_slice(bytes);
    }

    fn stream(&mut self, stream: &StreamId) {
        self.short(stream.as_bytes());
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Inline(bytes) => {
                self.u8(0);
                self.u32(u32::try_from(bytes.len()).expect("a large value is a blob"));
                self.0.extend_from_slice(bytes);
            }
            Value::Blob(BlobName { sha256, length }) => {
                self.u8(1);
                self.0.extend_from_slice(sha256);
                self.u64(*length);
            }
        }
    }

    fn summary(&mut self, summary: &Summary) {
        let Summary { tenant, owner, agent, context, state, status_at, due } = summary;
        for text in [tenant, owner, agent, context] {
            self.short(text.as_bytes());
        }
        self.u8(*state);
        self.u64(status_at.as_millis());
        match due {
            None => self.u8(0),
            Some(due) => {
                self.u8(1);
                self.u64(due.as_millis());
            }
        }
    }
}

/// Reads what a [`Writer`] wrote; `None` where that cannot be.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn checked(bytes: &'a [u8]) -> Option<Self> {
        Self::checked_with(bytes, &[])
    }

    fn checked_with(bytes: &'a [u8], also: &[u8]) -> Option<Self> {
        let (written, rest) = bytes.split_at_checked(4)?;
        (written == checksum(rest, also).to_le_bytes()).then_some(Self(rest))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn short(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    fn text(&mut self) -> Option<Arc<str>> {
        Some(std::str::from_utf8(self.short()?).ok()?.into())
    }

    fn stream(&mut self) -> Option<StreamId> {
        Some(StreamId::from_bytes(self.short()?))
    }

    /// `keep` is how an inline value is taken from what is read.
    fn value(&mut self, keep: impl Fn(&[u8]) -> Bytes) -> Option<Value> {
        match self.u8()? {
            0 => {
                let length = usize::try_from(self.u32()?).ok()?;
                Some(Value::Inline(keep(self.take(length)?)))
            }
            1 => Some(Value::Blob(BlobName { sha256: self.take(32)?.try_into().ok()?, length: self.u64()? })),
            _ => None,
        }
    }

    /// Reads a body that is part of `whole`.
    fn body(&mut self, whole: &Bytes) -> Option<Body> {
        let (stream, born, first) = (self.stream()?, self.u64()?, self.u32()?);
        let count = self.u32()?;
        let keep = |value: &[u8]| whole.slice_ref(value);
        // No more room than there are bytes, whatever the count says.
        let mut records = Vec::with_capacity((count as usize).min(whole.len()));
        for _ in 0..count {
            records.push(StoredRecord { format: self.u16()?, value: self.value(keep)? });
        }
        let count = self.u32()?;
        let cell = |_| Some(CellName { key: Key(Bytes::copy_from_slice(self.short()?)), there: self.u8()? == 1 });
        let cells = (0..count).map(cell).collect::<Option<_>>()?;
        Some(Body { stream, born, first, records, cells })
    }

    fn head(&mut self) -> Option<Head> {
        let flags = self.u8()?;
        let (stream, born, version, trimmed) = (self.stream()?, self.u64()?, self.u32()?, self.u32()?);
        let (count, chunk, at) = (self.u32()?, self.u64()?, self.u16()?);
        let summary = if flags & 8 == 0 { None } else { Some(Arc::new(self.summary()?)) };
        let change =
            if flags & 1 == 0 { Change::Grown { count, place: BodyLocation { chunk, at } } } else { Change::Trimmed };
        Some(Head { stream, born, version, trimmed, summary, cells: flags & 2 != 0, blobs: flags & 4 != 0, change })
    }

    fn summary(&mut self) -> Option<Summary> {
        let (tenant, owner, agent, context) = (self.text()?, self.text()?, self.text()?, self.text()?);
        let (state, status_at) = (self.u8()?, Timestamp::from_millis(self.u64()?));
        let due = if self.u8()? == 0 { None } else { Some(Timestamp::from_millis(self.u64()?)) };
        Some(Summary { tenant, owner, agent, context, state, status_at, due })
    }
}

fn checksum(bytes: &[u8], also: &[u8]) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    hash.update(bytes);
    hash.update(also);
    hash.finalize()
}

/// A version as this store counts them.
pub(super) fn version(version: u32) -> Version {
    Version(u64::from(version))
}
