//! Reads every blob in a folder, a piece at a time, and says what is not as it was written. Changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use bobbinet_core::StreamId;

use super::{
    BlobHash, Holding, PIECE,
    disk::{Disk, SUMS, files, with_suffix},
    sums::Sums,
};

/// Of how many pieces of one blob it is said by their numbers that they are damaged.
const NAMED_PIECES_MAX: usize = 8;

/// What is in a folder of blobs, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlobReport {
    /// Contents that somebody holds.
    pub contents: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Who holds what: once for each stream and content.
    pub holdings: u64,
    /// Contents that nobody holds. A killed process leaves such, and the next start removes them.
    pub orphans: u64,
    /// What was only begun to be written. It is the same with those.
    pub unfinished: u64,
    /// What is not as it was written.
    pub faults: Vec<BlobDamage>,
}

/// A blob that is damaged, or what is held and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobDamage {
    /// Which one, if that is known.
    pub hash: Option<BlobHash>,
    /// Who holds it.
    pub holders: Vec<StreamId>,
    /// What is wrong, in words.
    pub why: String,
}

/// Reads all blobs of a folder. No process may have it open. One that is not there has none.
///
/// # Errors
/// If the folder cannot be looked through.
pub fn check(folder: &Path) -> io::Result<BlobReport> {
    let mut report = BlobReport::default();
    if !folder.exists() {
        return Ok(report);
    }
    let disk = Disk::unopened(folder);
    let mut held: BTreeMap<BlobHash, Vec<Holding>> = BTreeMap::new();
    for path in listed(&folder.join("holdings"))? {
        match fs::read(&path).map(|bytes| Holding::read(&bytes)) {
            Ok(Some(holding)) => {
                report.holdings += 1;
                held.entry(holding.hash).or_default().push(holding);
            }
            Ok(None) | Err(_) => {
                let why = format!("who holds a blob cannot be read: {}", path.display());
                report.faults.push(BlobDamage { hash: None, holders: Vec::new(), why });
            }
        }
    }
    for (hash, holdings) in &held {
        // All of one content have one length, or one of them is not as it was written.
        let length = holdings[0].length;
        report.contents += 1;
        report.bytes += length;
        let damage = match holdings.iter().all(|holding| holding.length == length) {
            true => damage(&disk, *hash, length),
            false => Some("those who hold it do not agree how long it is".to_owned()),
        };
        if let Some(why) = damage {
            let holders = holdings.iter().map(|holding| holding.holder.clone()).collect();
            report.faults.push(BlobDamage { hash: Some(*hash), holders, why });
        }
    }
    let names = listed(&folder.join("contents"))?.into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?.to_owned();
        Some(name.strip_suffix(SUMS).map_or(name.clone(), str::to_owned))
    });
    let is_held = |name: &String| BlobHash::parse(name).is_some_and(|hash| held.contains_key(&hash));
    report.orphans = names.filter(|name| !is_held(name)).collect::<BTreeSet<_>>().len() as u64;
    report.unfinished = match fs::read_dir(folder.join("incoming")) {
        Ok(entries) => entries.count() as u64,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(report)
}

fn listed(folder: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    match files(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed,
    }
}

/// What is wrong with a content, if anything is.
fn damage(disk: &Disk, hash: BlobHash, length: u64) -> Option<String> {
    let path = disk.path(hash);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Some("it is not there".to_owned()),
        Err(error) => return Some(format!("it cannot be read: {error}")),
    };
    let sums = match fs::read(with_suffix(&path)) {
        Ok(bytes) => Sums::read(&bytes, hash, length),
        Err(error) => return Some(format!("the hashes of its pieces cannot be read: {error}")),
    };
    let sums = match sums {
        Ok(sums) => sums,
        Err(error) => return Some(error.to_string()),
    };
    let (mut damaged, mut found) = (Vec::new(), 0);
    for number in 0..length.div_ceil(PIECE as u64) {
        let mut piece = Vec::with_capacity(PIECE);
        if let Err(error) = (&mut file).take(PIECE as u64).read_to_end(&mut piece) {
            return Some(format!("its piece {number} cannot be read: {error}"));
        }
        found += piece.len() as u64;
        if !sums.is_piece(number, &piece) {
            damaged.push(number);
        }
    }
    if damaged.is_empty() {
        return None;
    }
    if found < length {
        return Some(format!("it has {found} bytes of {length}"));
    }
    let named = damaged.iter().take(NAMED_PIECES_MAX).map(u64::to_string).collect::<Vec<_>>().join(", ");
    let more = damaged.len().saturating_sub(NAMED_PIECES_MAX);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    Some(format!("its pieces {named}{more} (of 1 MiB, from 0) are not what was written"))
}
