//! What the stores promise, kept to over restarts, kills and damage.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "store/crashes.rs"]
mod crashes;
#[path = "store/damage.rs"]
mod damage;
#[path = "store/figures.rs"]
mod figures;
#[path = "store/full.rs"]
mod full;
#[path = "store/model.rs"]
mod model;
#[path = "store/promises.rs"]
mod promises;
#[path = "store/reopen.rs"]
mod reopen;
#[path = "store/writer.rs"]
mod writer;
