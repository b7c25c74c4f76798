//! Agents written against this crate alone, asked over HTTP.

#![allow(clippy::unwrap_used, reason = "a test: what cannot be unwrapped has failed")]

mod clerk;
mod declares;
mod served;
mod works;
