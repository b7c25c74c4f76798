//! What the stores promise, kept to over restarts, kills and damage.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "store/promises.rs"]
mod promises;
