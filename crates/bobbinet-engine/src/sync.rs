//! The lock of what many share about a live task. In this crate's own tests it is shuttle's, so that they choose who goes
//! on where; everywhere else it is the standard library's.

#[cfg(test)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(test))]
pub(crate) use std::sync::{Mutex, MutexGuard};
