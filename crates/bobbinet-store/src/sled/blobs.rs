//! Values too large for the log: one file each, named by what is in it.
//!
//! A blob is synced before the commit that names it. Which streams name it, the tree knows; when the last one is gone,
//! so is the file. A blob that a waiting commit is about to name is held, so that it is not taken away under it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{
    codec::BlobName,
    folder::{self, sync_folder},
};

/// The most files that are looked at for leftovers when the store is opened.
const SWEEP_MAX: usize = 10_000;

const TEMPORARY: &str = ".tmp";

/// The folder of blobs.
#[derive(Debug)]
pub(super) struct Blobs {
    folder: PathBuf,
    synced: bool,
    held: Mutex<BTreeMap<[u8; 32], usize>>,
    /// Numbers the temporary files.
    next: AtomicU64,
}

/// A blob that is kept for as long as this lives.
#[derive(Debug)]
pub(super) struct HeldBlob {
    blobs: Arc<Blobs>,
    pub(super) name: BlobName,
}

impl Blobs {
    pub(super) fn open(folder: PathBuf, synced: bool) -> io::Result<Self> {
        folder::make(&folder, synced)?;
        Ok(Self { folder, synced, held: Mutex::default(), next: AtomicU64::new(0) })
    }

    /// Whether there is any blob in a folder: that what cannot be read is none is not said.
    pub(super) fn has_any(folder: &Path) -> bool {
        let files = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        files(folder).any(|folder| files(&folder).any(|file| sha256_of(&file).is_some()))
    }

    /// Keeps a value. When this returns it survives what the store's durability says.
    pub(super) fn write(self: &Arc<Self>, value: &[u8]) -> io::Result<HeldBlob> {
        let name = BlobName { sha256: Sha256::digest(value).into(), length: value.len() as u64 };
        let held = self.hold(name);
        let path = self.path(&name.sha256);
        let folder = path.parent().expect("a blob lies in a folder");
        if fs::metadata(&path).is_ok_and(|known| known.len() == name.length) {
            // Whoever wrote it may not have come to this yet.
            self.sync(folder)?;
            return Ok(held);
        }
        folder::make(folder, self.synced)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!("{number}{TEMPORARY}"));
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(value)?;
        if self.synced {
            file.sync_all()?;
        }
        fs::rename(&temporary, &path)?;
        self.sync(folder)?;
        Ok(held)
    }

    /// Reads a value back; an error of kind `InvalidData` if it is not what was written.
    pub(super) fn read(&self, name: &BlobName) -> io::Result<Bytes> {
        let value = fs::read(self.path(&name.sha256))?;
        if value.len() as u64 != name.length || <[u8; 32]>::from(Sha256::digest(&value)) != name.sha256 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a blob is not what was written"));
        }
        Ok(value.into())
    }

    /// Takes a blob away that no stream names any longer, unless a waiting commit is about to.
    pub(super) fn remove(&self, sha256: &[u8; 32]) {
        let held = self.lock();
        if held.contains_key(sha256) {
            return;
        }
        // What cannot be removed now is found when the store is opened the next time.
        if let Err(error) = fs::remove_file(self.path(sha256)) {
            tracing::debug!(%error, "a blob could not be removed");
        }
    }

    /// Removes what a killed process left behind: temporary files, and blobs that nothing names. A bounded look.
    pub(super) fn sweep(&self, named: impl Fn(&[u8; 32]) -> bool) -> io::Result<()> {
        let mut files = Vec::new();
        for folder in fs::read_dir(&self.folder)? {
            let folder = folder?.path();
            if folder.is_dir() {
                for file in fs::read_dir(folder)?.take(SWEEP_MAX - files.len()) {
                    files.push(file?.path());
                }
            }
        }
        for path in files {
            let is_named = sha256_of(&path).is_some_and(|sha256| named(&sha256));
            if !is_named {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn hold(self: &Arc<Self>, name: BlobName) -> HeldBlob {
        *self.lock().entry(name.sha256).or_default() += 1;
        HeldBlob { blobs: self.clone(), name }
    }

    fn path(&self, sha256: &[u8; 32]) -> PathBuf {
        let name = hex::encode(sha256);
        self.folder.join(&name[..2]).join(name)
    }

    fn sync(&self, folder: &Path) -> io::Result<()> {
        if self.synced { sync_folder(folder) } else { Ok(()) }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], usize>> {
        // Counting up and down cannot stop half-way.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for HeldBlob {
    fn drop(&mut self) {
        let mut held = self.blobs.lock();
        if let Some(count) = held.get_mut(&self.name.sha256) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.name.sha256);
            }
        }
    }
}

fn sha256_of(path: &Path) -> Option<[u8; 32]> {
    let mut sha256 = [0; 32];
    hex::decode_to_slice(path.file_name()?.to_str()?, &mut sha256).ok()?;
    Some(sha256)
}
