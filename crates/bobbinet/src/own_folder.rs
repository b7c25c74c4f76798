//! A folder that a command makes for itself: its user's alone, and gone afterwards.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use bobbinet_engine::{Env, SystemEnv};

/// A folder that is removed when dropped, unless it is kept.
#[derive(Debug)]
pub(crate) struct OwnFolder {
    path: PathBuf,
    is_kept: bool,
}

impl OwnFolder {
    /// Makes a new one where the system wants temporary files.
    pub(crate) fn new(what: &str) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("bobbinet-{what}-{}", SystemEnv.uuid().simple()));
        // Whoever can read a node's folder is its owner; and a folder that is there already is somebody else's.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, is_kept: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn keep(&mut self) {
        self.is_kept = true;
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        if !self.is_kept {
            // If it cannot be removed there is nobody left to tell; the system clears its temporary files.
            fs::remove_dir_all(&self.path).ok();
        }
    }
}
