//! How much there may be, and how it fails.

use std::{io, time::Duration};

use serde::{Deserialize, Serialize};

/// The bounds of blobs that a node's operator may change. Times are in milliseconds, sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlobLimits {
    /// Bytes of one blob.
    pub blob_bytes_max: u64,
    /// Bytes of all blobs.
    pub blobs_bytes_max: u64,
    /// Bytes of the blobs of one tenant.
    pub blobs_bytes_per_tenant_max: u64,
    /// Bytes of the blobs of one owner.
    pub blobs_bytes_per_owner_max: u64,
    /// Blobs at a time, each counted once for each stream that holds it.
    pub blobs_max: usize,
    /// How long an upload is kept for a message that names it. A task that was given it keeps it as long as itself.
    pub upload_life_ms: u64,
    /// With less room than this on the disk nothing more is taken in.
    #[serde(skip)]
    pub free_space_min: u64,
}

impl Default for BlobLimits {
    fn default() -> Self {
        Self {
            blob_bytes_max: 2 << 30,
            blobs_bytes_max: 20 << 30,
            blobs_bytes_per_tenant_max: 16 << 30,
            blobs_bytes_per_owner_max: 8 << 30,
            blobs_max: 100_000,
            upload_life_ms: 24 * 60 * 60 * 1_000,
            free_space_min: crate::FREE_SPACE_MIN,
        }
    }
}

impl BlobLimits {
    /// How long an upload is kept.
    pub fn upload_life(&self) -> Duration {
        Duration::from_millis(self.upload_life_ms)
    }
}

/// Why a blob was not kept, or not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// Nobody holds it, or not this one.
    #[error("there is no such blob")]
    NotFound,
    /// A single one is larger than it may be.
    #[error("the blob is larger than {max} bytes")]
    Large {
        /// How many it may have.
        max: u64,
    },
    /// A bound of all is reached: there is room when others are gone.
    #[error("a limit is reached: {what} is {max}")]
    Full {
        /// The bound's name.
        what: &'static str,
        /// How many it allows.
        max: u64,
    },
    /// What lies on the disk is not what was written.
    #[error("the blob is damaged: {0}")]
    Corrupt(String),
    /// It is kept for its owner to look at, and nothing else is made of it.
    #[error("the blob is a result that is not as its tool has promised, and nothing is made of it")]
    Quarantined,
    /// It could not be read or written now.
    #[error("the blobs are unavailable: {0}")]
    Unavailable(String),
}

impl BlobError {
    pub(super) fn unavailable(error: io::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}
