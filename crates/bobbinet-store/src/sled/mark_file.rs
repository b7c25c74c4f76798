//! The `MARK` file: which store this is, and how far its log had come a moment ago.
//!
//! It lies beside the data, not in it. sled opens a file that was cut off as if nothing had ever been behind the cut;
//! a log that ends before its mark shows that.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use super::OpenError;

const NAME: &str = "MARK";
const NEW: &str = "MARK.new";

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The sixteen bytes that the data begins with as well.
    pub(super) identity: [u8; 16],
    /// The number of a step that the log must have reached.
    pub(super) last: u64,
}

impl Mark {
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
        let mark =
            parse(&text).ok_or_else(|| OpenError::Corrupt("the MARK file is not what was written".to_owned()))?;
        Ok(Some(mark))
    }

    /// Replaces the file. When this returns, the new one survives a power cut if `synced`, else a killed process.
    pub(super) fn write(&self, folder: &Path, synced: bool) -> io::Result<()> {
        let new = folder.join(NEW);
        let mut file = File::create(&new)?;
        file.write_all(self.text().as_bytes())?;
        if synced {
            file.sync_all()?;
        }
        fs::rename(&new, folder.join(NAME))?;
        if synced { sync_folder(folder) } else { Ok(()) }
    }

    fn text(&self) -> String {
        let identity: String = self.identity.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = format!("bobbinet-store 1 {identity} {}", self.last);
        format!("{line} {:08x}\n", crc32fast::hash(line.as_bytes()))
    }
}

/// Makes what was created, renamed or removed in a folder survive a power cut.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn parse(text: &str) -> Option<Mark> {
    let (line, checksum) = text.strip_suffix('\n')?.rsplit_once(' ')?;
    if checksum != format!("{:08x}", crc32fast::hash(line.as_bytes())) {
        return None;
    }
    let (identity, last) = line.strip_prefix("bobbinet-store 1 ")?.split_once(' ')?;
    if identity.len() != 32 || !identity.is_ascii() {
        return None;
    }
    let mut bytes = [0; 16];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&identity[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(Mark { identity: bytes, last: last.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_and_a_changed_one_is_refused() {
        let mark = Mark { identity: *b"0123456789abcdef", last: 42 };
        assert_eq!(parse(&mark.text()), Some(mark));
        let text = mark.text();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1;
            assert_eq!(String::from_utf8(changed).ok().and_then(|text| parse(&text)), None, "changed at {at}");
            assert_eq!(parse(&text[..at]), None, "cut at {at}");
        }
    }
}
