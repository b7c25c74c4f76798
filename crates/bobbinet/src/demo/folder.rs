//! The demo's folder: its user's alone, and gone afterwards.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use bobbinet_engine::{Env, SystemEnv};

/// A folder that is removed when dropped, unless it is kept.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    is_kept: bool,
}

impl Folder {
    /// Makes a new one where the system wants temporary files.
    pub(super) fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("bobbinet-demo-{}", SystemEnv.uuid().simple()));
        // Whoever can read a node's folder is its owner; and a folder that is there already is somebody else's.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, is_kept: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.is_kept {
            // If it cannot be removed there is nobody left to tell; the system clears its temporary files.
            fs::remove_dir_all(&self.path).ok();
        }
    }
}
