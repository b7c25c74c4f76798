//! How a store is opened, and why it may not be.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::IDEMPOTENCY_KEYS_MAX;

/// Where a node's store is, in its data folder.
pub const STORE_FOLDER: &str = "store";

/// How much of the data sled keeps in memory, in bytes. Small: what is read again soon is in the kernel's cache too.
pub const CACHE_BYTES: u64 = 8 << 20;

/// With less room than this on the disk nothing more is accepted, in bytes. A disk that is really full cannot even be
/// opened again by sled.
pub const FREE_SPACE_MIN: u64 = 64 << 20;

/// What an acknowledged commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: the disk is told to finish before anybody is answered.
    #[default]
    Power,
    /// The death of the process, not that of the machine.
    Process,
    /// Nothing: for tests that do not restart. What was written since the store was opened may be gone.
    None,
}

impl Durability {
    /// How it is called in the `MARK` file.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Power => "power",
            Self::Process => "process",
            Self::None => "none",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        [Self::Power, Self::Process, Self::None].into_iter().find(|durability| durability.word() == word)
    }
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct SledOptions {
    /// The folder; it is made if it is not there.
    pub path: PathBuf,
    /// How much of the data sled keeps in memory, in bytes. sled takes it as a hint.
    pub cache_bytes: u64,
    /// What an acknowledged commit survives.
    pub durability: Durability,
    /// With less room than this on the disk nothing more is accepted, in bytes.
    pub free_space_min: u64,
    /// How many idempotency keys are remembered at a time.
    pub idempotency_keys_max: usize,
    /// The file that says that there has been a store, so that one whose files are gone does not begin anew as an empty
    /// one. `None`: it lies in the store's own folder. Elsewhere it also outlives that.
    pub witness: Option<PathBuf>,
}

impl SledOptions {
    /// The defaults, in a node's data folder. That there has been a store is said beside it, so that a node whose store is deleted, or lies
    /// on a disk that is not mounted, does not begin anew.
    pub fn beside_witness(data: &Path) -> Self {
        Self { witness: Some(data.join(format!("{STORE_FOLDER}.witness"))), ..Self::new(data.join(STORE_FOLDER)) }
    }

    /// The defaults, in this folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            cache_bytes: CACHE_BYTES,
            durability: Durability::default(),
            free_space_min: FREE_SPACE_MIN,
            idempotency_keys_max: IDEMPOTENCY_KEYS_MAX,
            witness: None,
        }
    }
}

impl<P: AsRef<Path> + ?Sized> From<&P> for SledOptions {
    fn from(path: &P) -> Self {
        Self::new(path.as_ref())
    }
}

/// Why a store was not opened. It is never opened half, and never as an empty one that was not.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or this one, has it open.
    #[error("the store in {} is in use by another process; one folder serves one process", folder.display())]
    InUse {
        /// The folder of the store that is in use.
        folder: PathBuf,
    },
    /// It is damaged. A copy of the folder should be made before anything is tried.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// It was written by a version of this program that was never released.
    #[error("the store has format {found}, which no released version wrote; this program begins at format 2")]
    OlderFormat {
        /// The number of its format.
        found: u32,
    },
    /// It was written by a newer version of this program.
    #[error("the store has format {found}; this program knows formats up to {known}")]
    NewerFormat {
        /// The number of its format.
        found: u32,
        /// The newest one that is known here.
        known: u32,
    },
    /// The disk has no room left, and sled cannot be opened without some.
    #[error("the disk has no room left for opening the store in {}", folder.display())]
    Full {
        /// The folder of the store, on the disk that is full.
        folder: PathBuf,
    },
    /// The folder could not be read or written.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}
