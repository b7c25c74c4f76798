//! Blobs in a folder: `contents/HH/HASH` with its `HASH.sums`, `holdings/HH/NAME`, and `incoming/` for what is being written.
//!
//! Each file is written under another name, synced and renamed, and its folder synced: a content before the first that says who holds
//! it. What a killed process leaves is a content that nobody holds, or a file in `incoming/`; both are removed at the next start.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::{BlobError, BlobHash, Holding, PIECE, sums::Sums};
use crate::sled::{folder, free_space};

/// What the name of a content's hashes ends in.
pub(super) const SUMS: &str = ".sums";

#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
    synced: bool,
    free_space_min: u64,
    /// Numbers what is being written.
    next: AtomicU64,
}

/// A file that is being written, and goes with this unless it gets its name.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) file: File,
    path: PathBuf,
    is_placed: bool,
}

impl Disk {
    /// The folder as it is: for whoever looks at it and writes nothing.
    pub(super) fn unopened(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), synced: false, free_space_min: 0, next: AtomicU64::new(0) }
    }

    /// Opens the folder, and tells who holds what in it.
    pub(super) fn open(folder: &Path, synced: bool, free_space_min: u64) -> io::Result<(Self, Vec<Holding>)> {
        let disk = Self { folder: folder.to_owned(), synced, free_space_min, next: AtomicU64::new(0) };
        for name in ["contents", "holdings", "incoming"] {
            folder::make(&folder.join(name), synced)?;
        }
        for left in fs::read_dir(folder.join("incoming"))? {
            fs::remove_file(left?.path())?;
        }
        let (mut holdings, mut unread) = (Vec::new(), 0);
        for path in files(&folder.join("holdings"))? {
            match fs::read(&path).map(|bytes| Holding::read(&bytes)) {
                Ok(Some(holding)) => holdings.push(holding),
                Ok(None) | Err(_) => unread += 1,
            }
        }
        if unread > 0 {
            // What cannot be read may hold anything.
            tracing::error!(unread, folder = %folder.display(), "who holds some blobs cannot be read; nothing is removed");
            return Ok((disk, holdings));
        }
        let held: BTreeSet<String> = holdings.iter().map(|holding| holding.hash.to_string()).collect();
        for path in files(&folder.join("contents"))? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !held.contains(name.strip_suffix(SUMS).unwrap_or(name)) {
                fs::remove_file(&path)?;
            }
        }
        Ok((disk, holdings))
    }

    /// A new file.
    pub(super) fn incoming(&self) -> Result<Incoming, BlobError> {
        if free_space(&self.folder).is_ok_and(|free| free < self.free_space_min) {
            let max = self.free_space_min;
            return Err(BlobError::Unavailable(format!("less than {} MiB are free on the disk", max >> 20)));
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join("incoming").join(number.to_string());
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
        Ok(Incoming { file: file.map_err(BlobError::unavailable)?, path, is_placed: false })
    }

    /// Gives a whole content its name, in the place of the same one that is perhaps there.
    pub(super) fn place(&self, incoming: Incoming, hash: BlobHash, length: u64, sums: &Sums) -> Result<(), BlobError> {
        if self.synced {
            incoming.file.sync_all().map_err(BlobError::unavailable)?;
        }
        let path = self.path(hash);
        self.write(&with_suffix(&path), &sums.write(hash, length))?;
        self.rename(incoming, &path).map_err(BlobError::unavailable)
    }

    pub(super) fn write_holding(&self, holding: &Holding) -> io::Result<()> {
        self.write(&self.holding_path(holding), &holding.write()).map_err(|error| io::Error::other(error.to_string()))
    }

    pub(super) fn remove_holding(&self, holding: &Holding) -> io::Result<()> {
        match fs::remove_file(self.holding_path(holding)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            // That it is gone need not survive: found again at the next start, it is released again.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Removes a content. What cannot be removed now is found at the next start.
    pub(super) fn remove(&self, hash: BlobHash) {
        let path = self.path(hash);
        for path in [with_suffix(&path), path] {
            if let Err(error) = fs::remove_file(path) {
                tracing::debug!(%error, %hash, "a blob could not be removed");
            }
        }
    }

    pub(super) fn read_sums(&self, hash: BlobHash, length: u64) -> Result<Sums, BlobError> {
        let read = fs::read(with_suffix(&self.path(hash))).map_err(|error| gone(hash, &error))?;
        Sums::read(&read, hash, length).inspect_err(|error| tracing::error!(%hash, %error, "a blob is damaged"))
    }

    pub(super) fn read_piece(&self, hash: BlobHash, sums: &Sums, number: u64) -> Result<bytes::Bytes, BlobError> {
        let mut file = File::open(self.path(hash)).map_err(|error| gone(hash, &error))?;
        file.seek(SeekFrom::Start(number * PIECE as u64)).map_err(BlobError::unavailable)?;
        let mut piece = Vec::with_capacity(PIECE);
        file.take(PIECE as u64).read_to_end(&mut piece).map_err(BlobError::unavailable)?;
        if sums.is_piece(number, &piece) {
            return Ok(piece.into());
        }
        let error = BlobError::Corrupt(format!("its piece {number} is not what was written"));
        tracing::error!(%hash, %error, "a blob is damaged");
        Err(error)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), BlobError> {
        let mut incoming = self.incoming()?;
        let written = incoming.file.write_all(bytes).and_then(|()| match self.synced {
            true => incoming.file.sync_all(),
            false => Ok(()),
        });
        written.and_then(|()| self.rename(incoming, path)).map_err(BlobError::unavailable)
    }

    fn rename(&self, mut incoming: Incoming, path: &Path) -> io::Result<()> {
        let folder = path.parent().expect("a file lies in a folder");
        folder::make(folder, self.synced)?;
        fs::rename(&incoming.path, path)?;
        incoming.is_placed = true;
        if self.synced { folder::sync_folder(folder) } else { Ok(()) }
    }

    pub(super) fn path(&self, hash: BlobHash) -> PathBuf {
        let name = hash.to_string();
        self.folder.join("contents").join(&name[..2]).join(name)
    }

    fn holding_path(&self, holding: &Holding) -> PathBuf {
        let name = holding.file_name();
        self.folder.join("holdings").join(&name[..2]).join(name)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.is_placed
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(%error, "what was left of a blob could not be removed");
        }
    }
}

pub(super) fn with_suffix(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(SUMS);
    path.into()
}

/// What is held and is not there is damage, unless it was released this moment.
fn gone(hash: BlobHash, error: &io::Error) -> BlobError {
    tracing::error!(%hash, %error, "a blob cannot be read");
    if error.kind() == io::ErrorKind::NotFound {
        return BlobError::Corrupt("it is not there any more".to_owned());
    }
    BlobError::Unavailable(error.to_string())
}

/// The files in the folders of a folder.
pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for inner in fs::read_dir(folder)? {
        let inner = inner?.path();
        if inner.is_dir() {
            for file in fs::read_dir(inner)? {
                let file = file?;
                // What is no file of ours is left alone.
                if file.metadata()?.is_file() {
                    found.push(file.path());
                }
            }
        }
    }
    Ok(found)
}
