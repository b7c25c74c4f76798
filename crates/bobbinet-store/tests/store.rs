//! What the stores promise, kept to over restarts, kills and damage.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "store/blobs.rs"]
mod blobs;
#[path = "store/crashes.rs"]
mod crashes;
#[path = "store/damage.rs"]
mod damage;
#[path = "store/figures.rs"]
mod figures;
#[path = "store/full.rs"]
mod full;
#[path = "store/gone.rs"]
mod gone;
#[path = "store/model.rs"]
mod model;
#[path = "store/needs.rs"]
mod needs;
#[path = "store/promises.rs"]
mod promises;
#[path = "store/reopen.rs"]
mod reopen;
#[path = "store/salvage.rs"]
mod salvage;
#[path = "store/tears.rs"]
mod tears;
#[path = "store/threads.rs"]
mod threads;
#[path = "store/writer.rs"]
mod writer;
