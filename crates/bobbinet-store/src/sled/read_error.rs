//! Why something could not be read, and sled's panics caught on the way.

use std::panic::AssertUnwindSafe;

use super::{codec::Damaged, fault::SledError};
use crate::StoreError;

/// Why something could not be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// It is not there, or is not what it should be. That is damage only if the index still says so.
    Missing(&'static str),
    Sled(::sled::Error),
}

impl ReadError {
    pub(super) fn into_store(self) -> StoreError {
        match self {
            Self::Missing(what) => StoreError::Corrupt(format!("{what} is missing or not what was written")),
            Self::Sled(error) => store_error(error),
        }
    }
}

impl From<::sled::Error> for ReadError {
    fn from(error: ::sled::Error) -> Self {
        Self::Sled(error)
    }
}

impl From<Damaged> for ReadError {
    fn from(Damaged(what): Damaged) -> Self {
        Self::Missing(what)
    }
}

/// What sled's error means to the one who asks.
pub(super) fn store_error(error: ::sled::Error) -> StoreError {
    let is_damage = matches!(error, ::sled::Error::Corruption { .. } | ::sled::Error::ReportableBug(_));
    let told = SledError::from(error).to_string();
    if is_damage { StoreError::Corrupt(told) } else { StoreError::Unavailable(told) }
}

/// sled panics where it meets damage: that is an answer too.
pub(super) fn guarded<T>(read: impl FnOnce() -> T) -> Result<T, StoreError> {
    std::panic::catch_unwind(AssertUnwindSafe(read))
        .map_err(|_| StoreError::Corrupt("sled panicked while reading".to_owned()))
}
