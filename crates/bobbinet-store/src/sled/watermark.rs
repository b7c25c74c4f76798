//! The `MARK` file: which store this is, how far its log had come a moment ago, and what it has lost.
//!
//! It lies beside the data, not in it. sled opens a file that was cut off as if nothing had ever been behind the cut;
//! a log that ends before its watermark shows that.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::{Durability, OpenError, folder::sync_folder};

const NAME: &str = "MARK";
const NEW: &str = "MARK.new";
const BEGINNING: &str = "bobbinet-store 2 ";
const OLD_BEGINNING: &str = "bobbinet-store 1 ";

/// How many tears are remembered: the newest ones, since each is told when it is found.
const TEARS_MAX: usize = 16;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watermark {
    /// The sixteen bytes that the data begins with as well.
    pub(super) identity: [u8; 16],
    /// The number of a step that the log must have reached.
    pub(super) last: u64,
    /// The number of a group that the log must have reached.
    pub(super) group: u64,
    /// The number from which groups were counted on when the store was opened.
    pub(super) opened: u64,
    /// What everything survives that was written since the store was opened.
    pub(super) durability: Durability,
    /// What of the log's end could not be read when the store was opened, oldest first.
    pub(super) tears: Vec<TornTail>,
}

/// An end of the log that could not be read, and so was dropped: what was being written when the process or the power
/// failed, or the work of a sick disk in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The number of the last group that is whole before it.
    pub after: u64,
    /// The highest number of a group of which anything was seen in it or behind it.
    pub newest: u64,
    /// How many bytes were dropped.
    pub bytes: u64,
}

impl Watermark {
    /// `None` if there is no such file.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, OpenError> {
        let text = match fs::read_to_string(folder.join(NAME)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(OpenError::Corrupt("the MARK file is not what was written".to_owned()));
            }
            Err(source) => return Err(OpenError::Io { doing: "reading the MARK file", source }),
        };
        if text.starts_with(OLD_BEGINNING) {
            return Err(OpenError::OlderFormat { found: 1 });
        }
        let watermark =
            parse(&text).ok_or_else(|| OpenError::Corrupt("the MARK file is not what was written".to_owned()))?;
        Ok(Some(watermark))
    }

    /// Whether there is such a file.
    pub(super) fn is_there(folder: &Path) -> bool {
        folder.join(NAME).exists()
    }

    /// Replaces the file. When this returns, the new one survives a power cut if `synced`, else a killed process.
    pub(super) fn write(&self, folder: &Path, synced: bool) -> io::Result<()> {
        let new = folder.join(NEW);
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(self.text().as_bytes())?;
        if synced {
            file.sync_all()?;
        }
        fs::rename(&new, folder.join(NAME))?;
        if synced { sync_folder(folder) } else { Ok(()) }
    }

    /// Remembers a tear.
    pub(super) fn note(&mut self, tear: TornTail) {
        if self.tears.len() == TEARS_MAX {
            self.tears.remove(0);
        }
        self.tears.push(tear);
    }

    pub(super) fn text(&self) -> String {
        let Self { identity, last, group, opened, durability, tears } = self;
        let identity = hex::encode(identity);
        let tears: Vec<String> =
            tears.iter().map(|TornTail { after, newest, bytes }| format!("{after}:{newest}:{bytes}")).collect();
        let tears = if tears.is_empty() { "-".to_owned() } else { tears.join(",") };
        let line = format!("{BEGINNING}{identity} {last} {group} {opened} {} {tears}", durability.word());
        format!("{line} {:08x}\n", crc32fast::hash(line.as_bytes()))
    }
}

fn parse(text: &str) -> Option<Watermark> {
    let (line, checksum) = text.strip_suffix('\n')?.rsplit_once(' ')?;
    if checksum != format!("{:08x}", crc32fast::hash(line.as_bytes())) {
        return None;
    }
    let words: Vec<&str> = line.strip_prefix(BEGINNING)?.split(' ').collect();
    let [identity, last, group, opened, durability, tears] = words[..] else { return None };
    let mut bytes = [0; 16];
    hex::decode_to_slice(identity, &mut bytes).ok()?;
    Some(Watermark {
        identity: bytes,
        last: last.parse().ok()?,
        group: group.parse().ok()?,
        opened: opened.parse().ok()?,
        durability: Durability::from_word(durability)?,
        tears: if tears == "-" { Vec::new() } else { tears.split(',').map(tear).collect::<Option<_>>()? },
    })
}

fn tear(text: &str) -> Option<TornTail> {
    let (after, rest) = text.split_once(':')?;
    let (newest, bytes) = rest.split_once(':')?;
    Some(TornTail { after: after.parse().ok()?, newest: newest.parse().ok()?, bytes: bytes.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watermark() -> Watermark {
        Watermark {
            identity: *b"0123456789abcdef",
            last: 42,
            group: 17,
            opened: 16,
            durability: Durability::Power,
            tears: vec![TornTail { after: 7, newest: 8, bytes: 900 }, TornTail { after: 15, newest: 15, bytes: 1 }],
        }
    }

    #[test]
    fn a_watermark_is_read_back_and_a_changed_one_is_refused() {
        for watermark in [watermark(), Watermark { tears: Vec::new(), durability: Durability::None, ..watermark() }] {
            assert_eq!(parse(&watermark.text()), Some(watermark.clone()));
            let text = watermark.text();
            for at in 0..text.len() {
                let mut changed = text.clone().into_bytes();
                changed[at] ^= 1;
                assert_eq!(String::from_utf8(changed).ok().and_then(|text| parse(&text)), None, "changed at {at}");
                assert_eq!(parse(&text[..at]), None, "cut at {at}");
            }
        }
    }

    #[test]
    fn only_the_newest_tears_are_remembered() {
        let mut watermark = watermark();
        for after in 100..200 {
            watermark.note(TornTail { after, newest: after, bytes: 1 });
        }
        assert_eq!((watermark.tears.len(), watermark.tears[0].after, watermark.tears[15].after), (TEARS_MAX, 184, 199));
    }
}
