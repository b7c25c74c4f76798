//! Reads sled's data file before sled does, and says what of it cannot be read.
//!
//! sled takes the first place of its log's end that it cannot read for the end, and erases what lies behind; where the
//! beginning of that end is missing it takes the whole log for empty. That is right for what a power cut tore. It is wrong
//! for a sick disk's work: what lies behind that was acknowledged. The two are told apart by the [`stamp`]s of groups. This
//! knows sled 0.34.7's segments and messages (its `pagecache/iterator.rs` and `logger.rs`), and changes nothing.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use super::stamp;

/// sled's data file is made of segments of this length.
const SEGMENT: usize = 512 << 10;

/// A segment begins with its checksum, its number in the log, and how far the log was stable when it was begun.
const SEGMENT_HEADER: usize = 20;

/// A message begins no later than this before the end of its segment.
const MESSAGE_HEADER_MAX: usize = 32;

/// How many bytes are checked in all in the search for messages behind a place that cannot be read: enough for every
/// message of a few segments, and soon over where everything looks like the beginning of one.
const SEARCH_BYTES_MAX: usize = 64 << 20;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// The newest group that is whole before the first place that cannot be read.
    pub(super) whole: u64,
    /// The newest group of which there is anything anywhere.
    pub(super) newest: u64,
    /// How many bytes were written that cannot be read.
    pub(super) dropped: u64,
    /// The first place in the log that cannot be read, if there is one where something was written.
    torn: Option<u64>,
    /// Where in the file segments lie whose header cannot be read.
    without_header: Vec<u64>,
}

impl Scan {
    /// Whether there is anything that was written and cannot be read.
    pub(super) fn is_torn(&self) -> bool {
        self.torn.is_some()
    }

    /// Whether what cannot be read was synced once, if every group was written after the one before it was synced.
    pub(super) fn is_damage(&self) -> bool {
        // The group after the last whole one may be the torn one; one later than that began when that was synced.
        self.newest >= self.whole + 2
    }
}

/// Reads the log in `folder`. `opened` is the group up to which it was whole when it was opened the last time.
pub(super) fn scan(folder: &Path, identity: &[u8; 16], opened: u64) -> io::Result<Scan> {
    let file = File::open(folder.join("db"))?;
    let segments = Segments::read(&file, snapshot(folder)?)?;
    let scan = Scan { whole: opened, newest: opened, ..Scan::default() };
    let mut found = Findings { identity, scan, ends: Vec::new(), batch: None, search: SEARCH_BYTES_MAX };
    let newest = segments.by_number.keys().next_back().copied();
    for (number, at) in &segments.by_number {
        found.segment(&load(&file, *number, *at)?, newest == Some(*number));
    }
    for at in &segments.without_header {
        found.without_header(load(&file, 0, *at)?, &segments, *at);
    }
    if let Some(missing) = segments.missing() {
        found.torn_at(missing);
    }
    Ok(found.finish())
}

/// Where in the file those segments lie that are to be erased so that sled ends at the place that cannot be read: all that is
/// behind it was written by the group that was torn, and half of a group is worse than nothing of it. `None` if sled would
/// not end there.
pub(super) fn behind(folder: &Path, scan: &Scan) -> io::Result<Option<Vec<u64>>> {
    let Some(torn) = scan.torn else { return Ok(Some(Vec::new())) };
    let file = File::open(folder.join("db"))?;
    let mut segments = Segments::read(&file, snapshot(folder)?)?;
    let mut places = segments.take_from(&file, torn.div_ceil(SEGMENT as u64) * SEGMENT as u64)?;
    places.extend(&scan.without_header);
    Ok(segments.missing().is_none().then_some(places))
}

/// Where in the file those segments lie for which sled would take the whole log for empty: the beginning of its end is
/// missing.
pub(super) fn behind_gaps(folder: &Path) -> io::Result<Vec<u64>> {
    let file = File::open(folder.join("db"))?;
    let mut segments = Segments::read(&file, snapshot(folder)?)?;
    let mut places = Vec::new();
    while let Some(missing) = segments.missing() {
        places.extend(segments.take_from(&file, missing)?);
    }
    Ok(places)
}

/// Erases segments, as sled does with those that it drops.
pub(super) fn erase(folder: &Path, places: &[u64]) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(folder.join("db"))?;
    let length = file.metadata()?.len();
    for at in places {
        let size = usize::try_from(length.saturating_sub(*at)).unwrap_or(SEGMENT).min(SEGMENT);
        file.write_all_at(&vec![0; size], *at)?;
    }
    file.sync_all()
}

/// What the newest snapshot covers: the number in the log up to which sled does not read. It is in its name.
fn snapshot(folder: &Path) -> io::Result<u64> {
    let mut newest = 0;
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("snap."));
        newest = newest.max(number.and_then(|number| u64::from_str_radix(number, 16).ok()).unwrap_or(0));
    }
    Ok(newest / SEGMENT as u64 * SEGMENT as u64)
}

/// The segments that sled reads.
#[derive(Debug)]
struct Segments {
    /// Where they lie in the file, by their numbers in the log.
    by_number: BTreeMap<u64, u64>,
    /// Where those lie that have no readable header: sled does not read them.
    without_header: Vec<u64>,
    /// How far the log was stable at least.
    stable: u64,
    /// From which number on sled reads.
    from: u64,
}

impl Segments {
    fn read(file: &File, from: u64) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let mut segments = Self { by_number: BTreeMap::new(), without_header: Vec::new(), stable: from, from };
        for at in (0..length).step_by(SEGMENT) {
            match read_header(file, at)? {
                Some((number, _)) if number < from => {}
                Some((number, stable)) => {
                    segments.by_number.insert(number, at);
                    segments.stable = segments.stable.max(stable);
                }
                None => segments.without_header.push(at),
            }
        }
        Ok(segments)
    }

    /// Takes those out from a number on, as if they had never been.
    fn take_from(&mut self, file: &File, number: u64) -> io::Result<Vec<u64>> {
        let taken = self.by_number.split_off(&number).into_values().collect();
        self.stable = self.from;
        for at in self.by_number.values() {
            self.stable = self.stable.max(read_header(file, *at)?.map_or(0, |(_, stable)| stable));
        }
        Ok(taken)
    }

    /// The first segment that must be there and is not: sled uses none again from the one on in which the log was stable.
    fn missing(&self) -> Option<u64> {
        let newest = *self.by_number.keys().next_back()?;
        let lowest = self.stable / SEGMENT as u64 * SEGMENT as u64;
        (lowest..newest).step_by(SEGMENT).find(|number| !self.by_number.contains_key(number))
    }
}

fn read_header(file: &File, at: u64) -> io::Result<Option<(u64, u64)>> {
    let mut header = [0; SEGMENT_HEADER];
    match file.read_exact_at(&mut header, at) {
        Ok(()) => Ok(read_segment_header(&header)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_segment_header(header: &[u8; SEGMENT_HEADER]) -> Option<(u64, u64)> {
    let checksum = u32::from_le_bytes(header[..4].try_into().ok()?) ^ u32::MAX;
    if checksum != crc32fast::hash(&header[4..]) {
        return None;
    }
    let number = |bytes: &[u8]| {
        let number = i64::from_le_bytes(bytes.try_into().ok()?) ^ i64::MAX;
        // Before the first byte is stable, sled writes minus one.
        u64::try_from(number.max(0)).ok()
    };
    Some((number(&header[4..12])?, number(&header[12..])?))
}

/// A segment in memory.
#[derive(Debug)]
struct Segment {
    /// Its number in the log: that of its first byte.
    number: u64,
    bytes: Vec<u8>,
}

impl Segment {
    /// The number that its messages carry.
    fn ordinal(&self) -> u64 {
        self.number / SEGMENT as u64
    }
}

fn load(file: &File, number: u64, at: u64) -> io::Result<Segment> {
    let mut bytes = vec![0; SEGMENT];
    let mut length = 0;
    while length < SEGMENT {
        match file.read_at(&mut bytes[length..], at + length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(length);
    Ok(Segment { number, bytes })
}

/// What is at a place.
#[derive(Debug, PartialEq, Eq)]
enum Message {
    /// A message. `needs`: the end of the batch that it begins, all of which must be there.
    Whole { length: usize, needs: Option<i64> },
    /// The rest of the segment is empty.
    Cap,
    /// Nothing that can be read.
    None,
    /// The file ends in it.
    Cut,
}

/// The beginning of a message.
struct Header {
    checksum: u32,
    kind: u8,
    /// How long what follows is.
    length: u64,
    /// Of which segment it is.
    ordinal: u64,
    /// How long it is itself.
    size: usize,
}

const CAP: u8 = 2;
const BATCH: u8 = 3;
const LAST_KIND: u8 = 11;

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (checksum, mut rest) = bytes.split_at_checked(4)?;
        let kind = *rest.split_off_first()?;
        let (length, ordinal, _page) = (number(&mut rest)?, number(&mut rest)?, number(&mut rest)?);
        let checksum = u32::from_le_bytes(checksum.try_into().ok()?);
        Some(Self { checksum, kind, length, ordinal, size: bytes.len() - rest.len() })
    }
}

/// sled writes small numbers in few bytes.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let first = *bytes.split_off_first()?;
    match first {
        0..=240 => Some(u64::from(first)),
        241..=248 => Some(240 + 256 * (u64::from(first) - 241) + u64::from(*bytes.split_off_first()?)),
        249 => {
            let (high, low) = (*bytes.split_off_first()?, *bytes.split_off_first()?);
            Some(2_288 + 256 * u64::from(high) + u64::from(low))
        }
        250..=255 => {
            let size = usize::from(first) - 247;
            let mut number = [0; 8];
            number[..size].copy_from_slice(bytes.split_off(..size)?);
            Some(u64::from_le_bytes(number))
        }
    }
}

fn read_message(segment: &[u8], at: usize, ordinal: u64) -> Message {
    // As sled does, what is behind the end of the file is taken for zeros while the beginning is read.
    let mut beginning = [0; 128];
    let there = segment.get(at..).unwrap_or_default();
    let there = &there[..there.len().min(128)];
    beginning[..there.len()].copy_from_slice(there);
    let Some(header) = Header::read(&beginning) else { return Message::None };
    let room = (SEGMENT - at).saturating_sub(header.size);
    if header.length > room as u64 || header.kind == 0 || header.kind > LAST_KIND {
        return Message::None;
    }
    let length = header.length as usize;
    let Some(whole) = segment.get(at..at + header.size + length) else { return Message::Cut };
    let (head, body) = whole.split_at(header.size);
    let mut hash = crc32fast::Hasher::new();
    hash.update(body);
    hash.update(&head[4..]);
    if hash.finalize() ^ u32::MAX != header.checksum || header.ordinal != ordinal {
        return Message::None;
    }
    match header.kind {
        CAP => Message::Cap,
        BATCH => Message::Whole { length: whole.len(), needs: body.try_into().ok().map(i64::from_le_bytes) },
        _ => Message::Whole { length: whole.len(), needs: None },
    }
}

/// What a scan has come to so far.
struct Findings<'a> {
    identity: &'a [u8; 16],
    scan: Scan,
    /// Where in the log which groups end.
    ends: Vec<(u64, u64)>,
    /// The newest batch that was begun, and where in the log it ends: all of it counts or nothing.
    batch: Option<(u64, u64)>,
    /// How many bytes may still be checked in the search for messages.
    search: usize,
}

impl Findings<'_> {
    fn finish(self) -> Scan {
        let Self { scan, ends, .. } = self;
        let first_torn = scan.torn.unwrap_or(u64::MAX);
        let whole = ends.iter().filter(|(at, _)| *at < first_torn).map(|(_, group)| *group);
        Scan { whole: whole.fold(scan.whole, u64::max), ..scan }
    }

    /// Goes through the messages of a segment, of which there must be no end before its own, unless it is the newest.
    fn segment(&mut self, segment: &Segment, is_newest: bool) {
        let mut at = SEGMENT_HEADER;
        loop {
            if at > SEGMENT - MESSAGE_HEADER_MAX {
                return self.stamps(segment, at);
            }
            match read_message(&segment.bytes, at, segment.ordinal()) {
                Message::Whole { length, needs } => {
                    let here = segment.number + at as u64;
                    if let Some(needs) = needs.and_then(|needs| u64::try_from(needs).ok()) {
                        self.batch = Some((here, needs));
                    }
                    at += length;
                }
                Message::Cap => return self.stamps(segment, at),
                Message::None | Message::Cut => break,
            }
        }
        self.stamps(segment, at);
        if is_newest { self.end(segment, at) } else { self.hole(segment, at) }
    }

    /// Notes which groups end before `at`.
    fn stamps(&mut self, segment: &Segment, at: usize) {
        let read = &segment.bytes[..at.min(segment.bytes.len())];
        for (at, stamp) in stamp::find(self.identity, read) {
            self.scan.newest = self.scan.newest.max(stamp.group());
            if stamp.is_end() {
                self.ends.push((segment.number + at as u64, stamp.group()));
            }
        }
    }

    /// Something that was written cannot be read here.
    fn torn_at(&mut self, place: u64) {
        let place = match self.batch {
            Some((begin, end)) if (begin..=end).contains(&place) => begin,
            Some(_) | None => place,
        };
        self.scan.torn = Some(self.scan.torn.map_or(place, |torn| torn.min(place)));
    }

    /// The log ends here. There may be nothing behind, or what the segment had held before it was used again.
    fn end(&mut self, segment: &Segment, at: usize) {
        let length = self.written_until(segment, at);
        let here = segment.number + at as u64;
        // A batch of which something is missing counts for nothing, though all that is there can be read.
        let half = self.batch.filter(|(_, end)| *end >= here).map(|(begin, _)| here.saturating_sub(begin));
        if length > 0 {
            self.drop_bytes(segment, at, length);
        } else if let Some(half) = half {
            self.scan.dropped += half;
            self.torn_at(here);
        }
    }

    /// sled passes over what is here and goes on with the next segment. So this one was full, and all of it was written.
    fn hole(&mut self, segment: &Segment, at: usize) {
        let rest = segment.bytes.get(at..).unwrap_or_default();
        // A later use of the segment, whose header never came to the disk, may have overwritten what was no longer needed.
        if self.search(rest, 0, |ordinal| ordinal > segment.ordinal()).is_none() {
            self.drop_bytes(segment, at, SEGMENT - at);
        }
    }

    /// A segment whose header cannot be read. Of those that sled has erased nothing is left; of others the messages say
    /// which one it is.
    fn without_header(&mut self, mut segment: Segment, segments: &Segments, at: u64) {
        let newest = stamp::find(self.identity, &segment.bytes).map(|(_, stamp)| stamp.group()).max();
        let is_new = |ordinal: u64| {
            let number = ordinal.checked_mul(SEGMENT as u64);
            // Others are what a tear left of one that was written again elsewhere, or what sled does not read any more.
            number.is_some_and(|number| number >= segments.from && !segments.by_number.contains_key(&number))
        };
        let message = self.search(&segment.bytes, 0, is_new).and_then(|(at, _)| Header::read(&segment.bytes[at..]));
        match message {
            Some(header) => segment.number = header.ordinal * SEGMENT as u64,
            None if newest.is_some_and(|newest| newest > self.scan.newest) => {
                segment.number = u64::MAX - SEGMENT as u64
            }
            None => return,
        }
        let used = segment.bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        self.drop_bytes(&segment, 0, used);
        self.scan.without_header.push(at);
    }

    fn drop_bytes(&mut self, segment: &Segment, at: usize, length: usize) {
        self.scan.dropped += length as u64;
        self.torn_at(segment.number + at as u64);
        for (_, stamp) in stamp::find(self.identity, segment.bytes.get(at..).unwrap_or_default()) {
            self.scan.newest = self.scan.newest.max(stamp.group());
        }
    }

    /// How far behind `at` something of this use of the segment was written.
    fn written_until(&mut self, segment: &Segment, at: usize) -> usize {
        let rest = segment.bytes.get(at..).unwrap_or_default();
        if segment.bytes.len() < SEGMENT {
            // The file ends here and grows: there was nothing before.
            return rest.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        }
        let torn = Header::read(rest).filter(|header| {
            let fits = header.length <= (rest.len() - header.size) as u64;
            (1..=LAST_KIND).contains(&header.kind) && header.ordinal == segment.ordinal() && fits
        });
        let mut end = torn.map_or(0, |header| header.size + header.length as usize);
        let newer = stamp::find(self.identity, rest).filter(|(_, stamp)| stamp.group() > self.scan.newest);
        end = newer.map(|(at, _)| at + stamp::LENGTH).max().unwrap_or(0).max(end);
        let mut from = 0;
        while let Some((at, length)) = self.search(rest, from, |ordinal| ordinal == segment.ordinal()) {
            from = at + length;
            end = end.max(from);
        }
        end
    }

    /// The next whole message of a segment of such an ordinal: where, and how long.
    fn search(&mut self, bytes: &[u8], from: usize, is_of: impl Fn(u64) -> bool) -> Option<(usize, usize)> {
        for at in from..bytes.len().saturating_sub(8) {
            let rest = &bytes[at..];
            if !(1..=LAST_KIND).contains(&rest[4]) {
                continue;
            }
            let Some(header) = Header::read(&rest[..rest.len().min(MESSAGE_HEADER_MAX)]) else { continue };
            let size = header.size.saturating_add(usize::try_from(header.length).unwrap_or(usize::MAX));
            if !is_of(header.ordinal) || size > rest.len() {
                continue;
            }
            self.search = self.search.checked_sub(size)?;
            let mut hash = crc32fast::Hasher::new();
            hash.update(&rest[header.size..size]);
            hash.update(&rest[4..header.size]);
            if hash.finalize() ^ u32::MAX == header.checksum {
                return Some((at, size));
            }
        }
        None
    }
}
