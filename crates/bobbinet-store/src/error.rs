//! How a store fails.

use bobbinet_core::StreamId;

use crate::Version;

/// Why a commit was not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Somebody else was first. Nothing was kept.
    #[error("{stream} is at version {actual:?}, no longer where the writer saw it")]
    Conflict {
        /// The first stream of the commit that is not where its step expected it.
        stream: StreamId,
        /// The version that it has.
        actual: Version,
    },
    /// The idempotency key is known. Nothing was kept.
    #[error("the idempotency key was used for {stream}")]
    Duplicate {
        /// The stream of the first step of the commit that used it.
        stream: StreamId,
        /// SHA-256 of what was asked then: another one means that the key was used for two things.
        body_hash: [u8; 32],
    },
    /// A bound of the store is reached. Nothing was kept.
    #[error("{what} is reached: {max}")]
    Full {
        /// The bound's name.
        what: &'static str,
        /// How many it allows.
        max: usize,
    },
    /// The store cannot keep anything now. Whether this was kept is not known.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The store is damaged.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// A commit that no store could keep: two steps for one stream, a key that is too long. Nothing was kept.
    #[error("the commit is malformed: {0}")]
    Malformed(&'static str),
}

/// Why a question was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot answer now.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// What should be there is not, or is not what was written.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// The page token is not one of ours, or was made for another query.
    #[error("the page token is not one that this list gave out")]
    BadPageToken,
}
