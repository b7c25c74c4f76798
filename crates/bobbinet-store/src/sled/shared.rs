//! What the committer and the readers share.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic::AtomicBool,
    },
};

use super::{Durability, blobs::Blobs, heal, index::Index, key_counts::KeyCounts, keys, watermark::Watermark};
use crate::wakes::Wakes;

/// An open store without its threads.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) tree: ::sled::Db,
    /// A second handle of sled's data file, for the sync that sled does not make.
    pub(super) data: File,
    /// The sixteen bytes that no other store has.
    pub(super) identity: [u8; 16],
    pub(super) index: RwLock<Index>,
    pub(super) wakes: Wakes,
    pub(super) blobs: Arc<Blobs>,
    pub(super) durability: Durability,
    pub(super) free_space_min: u64,
    pub(super) folder: PathBuf,
    pub(super) key_counts: Mutex<KeyCounts>,
    pub(super) has_garbage: AtomicBool,
    /// Why nothing is accepted any longer, for ever.
    pub(super) fault: OnceLock<String>,
    /// The last field, so that the folder is free for another process only when all else is closed.
    pub(super) _lock: heal::Lock,
}

impl Shared {
    pub(super) fn index(&self) -> RwLockReadGuard<'_, Index> {
        // A panic while the index is changed ends the committer; what readers see then is at most too old.
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn key_counts(&self) -> MutexGuard<'_, KeyCounts> {
        // A panic of the committer is the store's fault for ever: nobody counts any more.
        self.key_counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says for ever that nothing can be kept.
    pub(super) fn fail(&self, error: &dyn std::error::Error) {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        tracing::error!(error = text, "the store has stopped; the process must be started again");
        // The first fault is the one to repair.
        let _ = self.fault.set(text);
    }

    pub(super) fn fault_text(&self) -> String {
        self.fault.get().cloned().unwrap_or_else(|| "the store is closed".to_owned())
    }

    /// Whether the files that are written to are those that a later start will find.
    ///
    /// # Errors
    /// [`Gone`], with what is not there any more.
    pub(super) fn are_files_there(&self) -> Result<(), Gone> {
        let db = self.folder.join("log/db");
        let is_data = match (fs::metadata(&db), self.data.metadata()) {
            (Ok(there), Ok(open)) => (there.dev(), there.ino()) == (open.dev(), open.ino()),
            (Err(error), _) | (_, Err(error)) => error.kind() != io::ErrorKind::NotFound,
        };
        if !is_data {
            return Err(Gone(db));
        }
        if !Watermark::is_there(&self.folder) {
            return Err(Gone(self.folder.join("MARK")));
        }
        Ok(())
    }

    /// Whether the data file still has a name. Asked before each group, so it asks nothing of the disk.
    ///
    /// # Errors
    /// [`Gone`] if it has none: what is written to it then goes with this process.
    pub(super) fn is_data_named(&self) -> Result<(), Gone> {
        match self.data.metadata() {
            Ok(open) if open.nlink() == 0 => Err(Gone(self.folder.join("log/db"))),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Whether the folder is still that of this store.
    pub(super) fn is_ours(&self) -> bool {
        self.are_files_there().is_ok()
    }

    pub(super) fn is_full(&self) -> bool {
        match free_space(&self.folder) {
            Ok(free) => free < self.free_space_min,
            Err(error) => {
                tracing::warn!(%error, "the room on the disk is not known");
                false
            }
        }
    }

    pub(super) fn full_text(&self) -> String {
        format!("less than {} MiB are free on the disk", self.free_space_min >> 20)
    }

    /// Removes the files of blobs that have lost their last name by now.
    pub(super) fn remove_unnamed(&self, blobs: &[[u8; 32]]) {
        for sha256 in blobs {
            // What cannot be read may be a name.
            if self.tree.scan_prefix(keys::blob(sha256)).next().is_none() {
                self.blobs.remove(sha256);
            }
        }
    }
}

/// A file of an open store was deleted or replaced.
#[derive(Debug, thiserror::Error)]
#[error("{} was deleted or replaced while the store was in use, and what is written now would be lost", .0.display())]
pub(super) struct Gone(PathBuf);

/// How many bytes may still be written.
pub(crate) fn free_space(folder: &Path) -> io::Result<u64> {
    let disk = nix::sys::statvfs::statvfs(folder)?;
    Ok(disk.blocks_available() * disk.fragment_size())
}
