//! Webhooks on a real engine, in paused time: receivers that fail, hang and come back, and nodes that are killed.
#![allow(clippy::unwrap_used, reason = "tests may")]

mod delivery;
mod lab;
mod registration;
mod slow;
